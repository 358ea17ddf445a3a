"""Sessions of other versions: read whole, upgraded or refused, and written back with what was changed.

The protocol has no conditional write. So whoever writes an upgrade reads the session once more right before, and writes
only what is still due: between two processes, what is left is the time of one request. In one process it is a lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ndb_models.client import NdbClient
from ndb_models.errors import (
    NewerVersionError,
    OlderVersionError,
    ProtocolError,
    StoredDataError,
    UnstorableError,
)
from ndb_models.repository.access import SessionAccess
from ndb_models.repository.lifetimes import lock_of
from ndb_models.repository.reading import Read, Reading
from ndb_models.repository.staging import own_keys, plan_upgrade
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.envelope import REMOVED, RESERVED_KEY, is_reserved, signed
from ndb_models.schema.model import Stored
from ndb_models.schema.versions import Outdated, Upgrades
from ndb_models.types import SessionToken

# Another version is written by two writes of the reserved key at the most; nobody writes version after version.
_READS: Final = 8


class Upgrading:
    """Reads and writes the sessions of one class that are not of its version.

    Args:
        client: an open client.
        access: the way to the sessions.
        codec: of the class.
        model: the name of the class, for errors.
        upgrades: its steps.
    """

    def __init__(
        self, client: NdbClient, access: SessionAccess, codec: ModelCodec[Any], model: str, upgrades: Upgrades
    ) -> None:
        self._client = client
        self._access = access
        self._codec = codec
        self._name = model
        self._upgrades = upgrades
        self._version = upgrades.version
        self._has_been_upgraded = upgrades.version > 1
        self.names: tuple[str, ...] = codec.names
        """The keys of the class's fields."""
        self.reads_whole: bool = codec.open and self._has_been_upgraded
        """Whether sessions are read by `upgraded` alone: an upgrade may come between their names and their keys."""

    def is_due(self, read: Read) -> bool:
        """Tell whether what was read is not to be taken as it is: it is of another version, or its upgrade unfinished.

        Of a session that was never written back there is no upgrade that could be unfinished.
        """
        envelope = read.envelope
        if envelope is None:
            return False
        if envelope.version != self._version:
            return True
        return envelope.upgraded and (envelope.staged is not None or REMOVED in read.keys.values())

    async def upgraded(self, tkn: SessionToken, seen: Read) -> tuple[Read, Outdated | None]:
        """Return the keys of a session in the version of the class, and what of it is to be written back.

        Args:
            tkn: the token of the session.
            seen: what was read of it.

        Raises:
            NewerVersionError, OlderVersionError, UpgradeError: see there. Nothing was written.
            And as `SessionAccess.read`.
        """
        self._refuse(tkn, seen)
        return self._run(tkn, await self._whole(tkn, seen.reserved))

    async def as_stored(self, tkn: SessionToken) -> Read:
        """Return all keys of a session as they count, in the version that it is stored in.

        Raises:
            NewerVersionError, OlderVersionError: see there.
            And as `SessionAccess.read`.
        """
        if not self._has_been_upgraded:
            whole = await self._access.read_all(tkn)
            self._refuse_newer(tkn, whole)
        else:
            whole = await self._whole(tkn, (await self._access.read(tkn, (), Reading.UPKEEP)).reserved)
        return whole.with_keys(own_keys(whole))

    async def counted(self, tkn: SessionToken, seen: Read) -> Read:
        """Return the keys of a session as they count, in whatever version: all of them, if it is not the class's.

        Args:
            tkn: the token of the session.
            seen: its fields, as they were read.
        """
        if not self.is_due(seen):
            return seen
        whole = await self._stable(tkn, seen.reserved)
        return whole.with_keys(own_keys(whole))

    def made(self, tkn: SessionToken, counted: Read, names: tuple[str, ...]) -> Mapping[str, bytes] | None:
        """Return the texts that fields of these names have in a model of a session; None if there can be none.

        Of fields that are not stored it is their default, unless that is another one each time.
        """
        try:
            self._refuse(tkn, counted)
            read, _ = self._run(tkn, counted)
            texts = self._codec.texts(self._codec.load(read.text, tkn), names)
            if not read.keys.keys() >= {*names}:
                again = self._codec.texts(self._codec.load(read.text, tkn), names)
                texts = {name: text for name, text in texts.items() if again.get(name) == text}
        except (NewerVersionError, OlderVersionError, StoredDataError, UnstorableError):
            return None
        return texts

    async def save(self, stored: Stored, changed: Mapping[str, bytes], removed: Sequence[str]) -> None:
        """Write keys of a session, and remove others, in the version of the class; write the upgrade back where due.

        The reserved key says from then on that this form of the class wrote.

        Raises:
            NewerVersionError: newer code has upgraded the session since it was read. Nothing was written.
            OlderVersionError, UpgradeError, StoredDataError: what is stored has changed since it was read, and does not
                fit any more. Nothing was written.
        """
        tkn, outdated = stored.tkn, stored.outdated
        async with lock_of(self._client, tkn):
            if outdated is None:
                now = await self._access.read(tkn, (), Reading.UPKEEP)
                if not self.is_due(now):
                    await self._access.change(tkn, self._signed(now, changed), removed)
                    return
                reserved = now.reserved
            else:
                reserved = outdated.reserved
            whole, upgraded = await self._renewed(tkn, reserved, outdated)
            await self._write(tkn, whole, upgraded, changed, removed)

    async def _renewed(
        self, tkn: SessionToken, reserved: bytes, outdated: Outdated | None
    ) -> tuple[Read, Mapping[str, bytes]]:
        """Return a session whole, and its keys in this version; where it is of another, with its class's expiry."""
        lifetimes = self._access.lifetimes
        for _ in range(_READS):
            whole = await self._whole(tkn, reserved)
            upgraded = self._upgraded_once_more(tkn, whole, outdated)
            envelope = whole.envelope
            if envelope is None or envelope.version == self._version:
                return whole, upgraded
            renewed = await self._access.of_session(tkn, lifetimes.renew(tkn, envelope, whole.reserved))
            if renewed is not None:
                return whole.with_reserved(*renewed), upgraded
            reserved = whole.reserved
        raise ProtocolError("the expiry of the session was changed again and again while it was upgraded")

    async def _write(
        self,
        tkn: SessionToken,
        whole: Read,
        upgraded: Mapping[str, bytes],
        changed: Mapping[str, bytes],
        removed: Sequence[str],
    ) -> None:
        envelope = whole.envelope
        if envelope is None or (envelope.version == self._version and envelope.staged is None):
            marked = [name for name, text in whole.keys.items() if text == REMOVED and not is_reserved(name)]
            removed = [*removed, *(name for name in marked if name not in changed)]
            await self._access.change(tkn, self._signed(whole, changed), removed)
            return
        final = {name: text for name, text in {**upgraded, **changed}.items() if name not in removed}
        plan = plan_upgrade(self._name, whole, final, self._version, self._client.max_payload, self._access.by)
        for part in plan.writes:
            await self._access.set(tkn, part)
        if plan.removals:
            await self._access.remove(tkn, plan.removals)

    def _signed(self, read: Read, changed: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return what is to be written, with the reserved key where that says that another form of the class wrote."""
        if not changed or not read.is_by_another_form(self._access.by):
            return changed
        return {**changed, RESERVED_KEY: signed(read.reserved, self._access.by)}

    def _upgraded_once_more(self, tkn: SessionToken, whole: Read, outdated: Outdated | None) -> Mapping[str, bytes]:
        """Return what the keys are in this version: as when they were read, if they are still the same."""
        if outdated is not None and (outdated.reserved, outdated.stored) == (whole.reserved, whole.keys):
            return outdated.upgraded
        read, anew = self._run(tkn, whole)
        if anew is None:
            return read.keys
        self._codec.load(read.text, tkn)
        return anew.upgraded

    async def _whole(self, tkn: SessionToken, reserved: bytes) -> Read:
        """Return all keys of a session whose reserved key was this before, so that none of them is missed.

        Raises:
            NewerVersionError, OlderVersionError: see there.
        """
        whole = await self._stable(tkn, reserved)
        self._refuse(tkn, whole)
        return whole

    async def _stable(self, tkn: SessionToken, reserved: bytes) -> Read:
        """Return the same, of whatever version.

        Asking for the names, and then for the keys, is no snapshot: an upgrade may come between.
        """
        for _ in range(_READS):
            whole = await self._access.read_all(tkn)
            if whole.reserved == reserved:
                return whole
            reserved = whole.reserved
        raise ProtocolError("the session was upgraded again and again while it was read")

    def _run(self, tkn: SessionToken, whole: Read) -> tuple[Read, Outdated | None]:
        keys: Mapping[str, bytes] = own_keys(whole)
        envelope = whole.envelope
        if envelope is not None and envelope.version != self._version:
            keys = self._upgrades.run(keys, envelope.version, tkn)
        due = Outdated(whole.keys, whole.reserved, keys) if self.is_due(whole) else None
        names = keys if self._codec.open else self._codec.names
        return whole.with_keys({name: keys[name] for name in names if name in keys}), due

    def _refuse(self, tkn: SessionToken, read: Read) -> None:
        self._refuse_newer(tkn, read)
        if read.envelope is not None and read.envelope.version < self._upgrades.oldest:
            raise OlderVersionError(self._name, tkn, read.envelope.version, self._upgrades.oldest)

    def _refuse_newer(self, tkn: SessionToken, read: Read) -> None:
        if read.envelope is not None and read.envelope.version > self._version:
            raise NewerVersionError(self._name, tkn, read.envelope.version, self._version)
