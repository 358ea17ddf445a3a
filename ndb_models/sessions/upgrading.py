"""Sessions of other versions: read whole, then upgraded or refused, and written back with later changes.

The session is read once more right before an upgrade is written, and only the upgrade that is still due is written. The
write compares the reserved key, so that nothing comes between. NemesisDB's protocol has no such write: there a gap of
one request remains between two processes, and a lock closes it within one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ndb_models.client import NdbClient
from ndb_models.errors import (
    NewerVersionError,
    OlderVersionError,
    ProtocolError,
    StoredDataError,
    UnstorableError,
    UnsupportedError,
)
from ndb_models.json_text import ObjectText
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.envelope import REMOVED, RESERVED_KEY, is_reserved
from ndb_models.schema.envelope import signed as signed_by
from ndb_models.schema.model import Stored
from ndb_models.schema.versions import Outdated, Upgrades
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.locks import RESERVED_KEYS
from ndb_models.sessions.reading import Read, ReadEffect
from ndb_models.sessions.upgrade_plan import own_keys, plan_upgrade
from ndb_models.sessions.writing import ContestedError
from ndb_models.types import SessionToken

# Attempts at a stable read. An upgrade writes the reserved key twice at most, and upgrades do not follow each other.
_READS: Final = 8


class Upgrading:
    """Reads and writes the sessions of one class that are not of its version.

    Args:
        client: an open client.
        access: the access to the sessions.
        codec: the codec of the class.
        model: the name of the class, for errors.
        upgrades: the upgrade steps of the class.
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
        """The names of the class's fields."""
        self.reads_whole: bool = codec.open and self._has_been_upgraded
        """True if sessions are read by `upgraded` alone: an upgrade may come between reading names and reading keys."""

    def is_due(self, read: Read) -> bool:
        """Return True if a read cannot be taken as it is: it is of another version, or its upgrade is unfinished.

        A session that was never written back cannot have an unfinished upgrade.
        """
        envelope = read.envelope
        if envelope is None:
            return False
        if envelope.version != self._version:
            return True
        return envelope.upgraded and (envelope.staged is not None or REMOVED in read.keys.values())

    async def upgraded(self, tkn: SessionToken, seen: Read) -> tuple[Read, Outdated | None]:
        """Return the keys of a session in the version of the class, and the upgrade to write back, if any.

        Args:
            tkn: the token of the session.
            seen: an earlier read of the session.

        Raises:
            NewerVersionError, OlderVersionError, UpgradeError: as each of them documents. No key was written.
            And as `SessionAccess.read`.
        """
        self._refuse(tkn, seen)
        return self._run(tkn, await self._whole(tkn, seen.reserved))

    async def as_stored(self, tkn: SessionToken) -> Read:
        """Return the effective keys of a session, in the version that it is stored in.

        Raises:
            NewerVersionError, OlderVersionError: as each of them documents.
            And as `SessionAccess.read`.
        """
        if not self._has_been_upgraded:
            whole = await self._access.read_all(tkn)
            self._refuse_newer(tkn, whole)
        else:
            whole = await self._whole(tkn, (await self._access.read(tkn, (), ReadEffect.UPKEEP)).reserved)
        return whole.with_keys(own_keys(whole))

    async def counted(self, tkn: SessionToken, seen: Read) -> Read:
        """Return the effective keys of a session of any version. Only for the class's own version, `seen` is enough.

        Args:
            tkn: the token of the session.
            seen: an earlier read of its fields.
        """
        if not self.is_due(seen):
            return seen
        whole = await self._stable(tkn, seen.reserved)
        return whole.with_keys(own_keys(whole))

    def made(self, tkn: SessionToken, counted: Read, names: tuple[str, ...]) -> Mapping[str, bytes] | None:
        """Return the texts of these fields in the model of a session; None if its keys do not make a model.

        A field that is not stored has its default, unless the default differs each time.
        """
        try:
            read = counted
            if self._codec.open or not counted.is_common:
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
        """Write keys of a session and remove others, in the version of the class. Write an upgrade back if it is due.

        From then on the reserved key names this form of the class as the writer. The errors below are raised before any
        write.

        Raises:
            NewerVersionError: newer code has upgraded the session since it was read.
            OlderVersionError, UpgradeError, StoredDataError: the stored keys have changed since they were read, and do
                not fit any more.
        """
        tkn = stored.tkn
        async with RESERVED_KEYS.holding(self._client, tkn):
            for _ in range(_READS):
                with contextlib.suppress(ContestedError):  # the reserved key was changed after it was read
                    await self._save(tkn, stored.outdated, changed, removed)
                    return
        raise ProtocolError("the reserved key of the session was changed again and again while it was written")

    async def _save(
        self, tkn: SessionToken, outdated: Outdated | None, changed: Mapping[str, bytes], removed: Sequence[str]
    ) -> None:
        if outdated is None:
            now = await self._access.read(tkn, (), ReadEffect.UPKEEP)
            if not self.is_due(now):
                await self._change(tkn, now, changed, removed)
                return
            reserved = now.reserved
        else:
            reserved = outdated.reserved
        whole, upgraded = await self._renewed(tkn, reserved, outdated)
        await self._write(tkn, whole, upgraded, changed, removed)

    async def _change(
        self, tkn: SessionToken, read: Read, changed: Mapping[str, bytes], removed: Sequence[str]
    ) -> None:
        """Write keys of a session and remove others. Sign it, if another form of the class wrote it last."""
        keys = self.signed(read, changed)
        if RESERVED_KEY not in keys or not await self._write_over(tkn, keys, removed, read.reserved):
            await self._access.change(tkn, keys, removed)

    async def _write_over(
        self, tkn: SessionToken, keys: Mapping[str, bytes], removed: Sequence[str], reserved: bytes
    ) -> bool:
        """Write keys, the reserved key among them, and remove others, in one frame, unless that key was changed since.

        Return False if one frame does not hold them, or the server cannot compare.

        Raises:
            ContestedError: the reserved key was changed meanwhile, for example by a renewed credential.
        """
        expected = {RESERVED_KEY: reserved}
        if not self._access.takes(keys, expected, removed):
            return False
        try:
            await self._access.change_if(tkn, ObjectText.joined(keys), removed, expected)
        except UnsupportedError:  # the server cannot compare
            return False
        return True

    async def _renewed(
        self, tkn: SessionToken, reserved: bytes, outdated: Outdated | None
    ) -> tuple[Read, Mapping[str, bytes]]:
        """Return a session whole, and its keys in this version. One of another version gets its class's expiry."""
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
            await self._change(tkn, whole, changed, removed)
            return
        final = {name: text for name, text in {**upgraded, **changed}.items() if name not in removed}
        plan = plan_upgrade(self._name, whole, final, self._version, self._client.max_payload, self._access.by)
        reserved = whole.reserved
        for part in plan.writes:
            if RESERVED_KEY not in part or not await self._write_over(tkn, part, (), reserved):
                await self._access.set(tkn, part)
            reserved = part.get(RESERVED_KEY, reserved)
        if plan.removals:
            await self._access.remove(tkn, plan.removals)

    def signed(self, read: Read, changed: Mapping[str, bytes]) -> ObjectText:
        """Return the keys to write. If another form of the class wrote last, this includes the reserved key."""
        if not changed or not read.is_by_another_form(self._access.by):
            return ObjectText.joined(changed)
        return ObjectText.joined({**changed, RESERVED_KEY: signed_by(read.reserved, self._access.by)})

    def _upgraded_once_more(self, tkn: SessionToken, whole: Read, outdated: Outdated | None) -> Mapping[str, bytes]:
        """Return the keys in this version: the earlier upgrade, if the stored keys are still the same."""
        if outdated is not None and (outdated.reserved, outdated.stored) == (whole.reserved, whole.keys):
            return outdated.upgraded
        read, anew = self._run(tkn, whole)
        if anew is None:
            return read.keys
        self._codec.load(read.text, tkn)
        return anew.upgraded

    async def _whole(self, tkn: SessionToken, reserved: bytes) -> Read:
        """Return all keys of a session that had this reserved key before the read, so that no key is missed.

        Raises:
            NewerVersionError, OlderVersionError: as each of them documents.
        """
        whole = await self._stable(tkn, reserved)
        self._refuse(tkn, whole)
        return whole

    async def _stable(self, tkn: SessionToken, reserved: bytes) -> Read:
        """Return the same as `_whole`, for a session of any version.

        Reading first the names and then the keys is not a snapshot: an upgrade may come between.
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
