"""Access to the sessions of a repository: reads and writes keys, and checks the sessions that tokens name.

The verbs are built on it. It knows keys and the reserved key; of a model it knows only the name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from ndb_models.client import NdbClient
from ndb_models.errors import (
    ForeignSessionError,
    IncompleteSessionError,
    NdbError,
    SessionExpiredError,
    SessionGoneError,
    WrongSchemaError,
)
from ndb_models.json_text import NO_MEMBERS, ObjectText
from ndb_models.protocol.commands import COMMANDS, MAX_TOKEN
from ndb_models.protocol.prepared import Parameters, Prepared, reading_answer
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.schema.envelope import (
    RESERVED_KEY,
    Envelope,
    split_envelope,
    write_envelope,
)
from ndb_models.schema.lifetime import envelope_of, extends_on_read
from ndb_models.sessions.common_envelope import CommonEnvelope
from ndb_models.sessions.lifetimes import SH_PEEK, Lifetimes
from ndb_models.sessions.reading import USE, Mismatch, Read, ReadEffect, judged
from ndb_models.sessions.timers import SessionTimers
from ndb_models.sessions.use_recording import UseRecording
from ndb_models.sessions.writing import not_a_token
from ndb_models.types import SessionToken

T = TypeVar("T")

_SH_GET: Final = COMMANDS["SH_GET"]
_SH_ADD: Final = COMMANDS["SH_ADD"]

_NO_KEYS: Final = Parameters(keys=())

# Reads of a session whose reserved key holds another token. An answer that went astray does not come twice, but keys
# that were copied by hand do.
_READS: Final = 2


class SessionAccess(SessionTimers):
    """Reads and writes the sessions of one schema.

    Args:
        client: an open client.
        model: the name of the class, for errors.
        schema: the name under which its sessions are stored.
        version: the version in which they are written.
        by: the form of the class that writes them.
        lifetimes: the lifetimes of these sessions.
        foreign: True to accept sessions without a reserved key, which other clients wrote.
        track: the last use of a session is recorded at most once in so many seconds; None for never.
    """

    def __init__(
        self,
        client: NdbClient,
        model: str,
        schema: str,
        version: int,
        by: str,
        lifetimes: Lifetimes,
        *,
        foreign: bool = False,
        track: int | None = None,
    ) -> None:
        super().__init__(client, model, lifetimes)
        self.schema: str = schema
        self.by: str = by
        """The form of the class that writes them."""
        self.common_envelope: CommonEnvelope = CommonEnvelope(
            envelope_of(schema, version, None, lifetimes.of_class, by)
        )
        """The reserved key of most sessions."""
        expiry = lifetimes.expiry
        self.is_extended_by_writes: bool = track is None and (expiry is None or expiry.extends_on_write)
        """True if a write does all that a use of a session does."""
        self._tracks = track is not None
        self.uses: UseRecording = UseRecording(client, lifetimes, track)
        self._has_deadlines = expiry is not None and expiry.absolute is not None
        self._foreign = foreign

    async def refuse(self, tkn: SessionToken) -> bool:
        """End a session whose contested creation is unfinished, so that it can never be finished.

        Returns False, and leaves the session, if its creation was finished meanwhile. Returns True otherwise, also if
        the session is gone already.
        """
        try:
            if await self.commit(tkn, {RESERVED_KEY: write_envelope(Envelope(self.schema, 1))}):
                return False
        except SessionGoneError:
            return True
        await self.end(tkn)
        return True

    async def commit(self, tkn: SessionToken, part: Mapping[str, bytes]) -> bool:
        """Write the last part of a creation, or the reserved key that refuses it.

        Of two reserved keys the first one stays. Returns True if the session is whole afterwards.
        """
        await self._write(_SH_ADD, tkn, ObjectText.joined(part))
        parts = self._requests_for(())
        _, envelope, _ = split_envelope((await self._read_parts(tkn, parts, ReadEffect.UPKEEP))["keys"])
        return envelope is not None and envelope.tkn == tkn

    async def read(self, tkn: SessionToken, names: tuple[str, ...], reading: ReadEffect = USE) -> Read:
        """Return the keys with these names, of a session that must be of this schema.

        Raises:
            UnsupportedError: the read must not extend the expiry, and the server has no such read.
            InvalidArgumentError: the value is not a token.
            SessionGoneError, SessionExpiredError, WrongSchemaError, IncompleteSessionError, ForeignSessionError: as
                each of them documents.
        """
        begun = self.begin_read(tkn, names, reading)
        return begun if isinstance(begun, Read) else await begun

    def begin_read(
        self, tkn: SessionToken, names: tuple[str, ...], reading: ReadEffect = USE, tries: int = _READS
    ) -> Read | Awaitable[Read]:
        """Work as `read`, but return the read itself if it is known at once, otherwise an awaitable for it.

        An engine in this process answers at once, if its store does not wait. Then errors are raised at once, too.
        """
        if type(tkn) is not int or not 0 <= tkn <= MAX_TOKEN:  # as `is_token`, without a call
            raise not_a_token(tkn)
        client, requests = self._client, self._read_requests
        is_latest = names is requests.latest_names and client.max_payload == requests.limit
        parts = requests.latest if is_latest else self._requests_for(names)
        answering: dict[str, Any] | Awaitable[dict[str, Any]]
        if len(parts) > 1:
            answering = self._read_parts(tkn, parts, reading)
        elif reading is not USE and client.is_remote:
            answering = self._ask(tkn, parts[0], reading)
        else:  # as `_ask`, without a call: an engine of ours has both commands
            answering = client.begin(Prepared(_SH_GET if reading is USE else SH_PEEK, tkn, parts[0]))
            if isinstance(answering, dict) and answering["st"] == OK_STATUS:
                read = self.common_envelope.read_from(answering["keys"].text, tkn)
                if (
                    read is not None
                    and not self._tracks
                    and (not self._has_deadlines or self.lifetimes.is_timely(read.deadline or 0))
                ):
                    return read
        return self._examined(tkn, names, reading, tries, answering)

    async def _examined(
        self,
        tkn: SessionToken,
        names: tuple[str, ...],
        reading: ReadEffect,
        tries: int,
        answering: dict[str, Any] | Awaitable[dict[str, Any]],
    ) -> Read:
        """Return the keys in an answer, after every check."""
        answer = answering if isinstance(answering, dict) else await answering
        if answer["st"] == Status.COMMAND_NOT_EXIST and reading is not USE:
            answer = await self._ask(tkn, self._requests_for(names)[0], reading)
        if answer["st"] != OK_STATUS:
            raise await self._client.identified(self.refusal(_SH_GET, tkn, answer))
        keys: ObjectText = answer["keys"]
        read = self.common_envelope.read_from(keys.text, tkn)
        if not names and (read is None or read.text != NO_MEMBERS):
            with reading_answer(_SH_GET):
                keys.split()  # no caller parses them later: check that they are an object
        if read is not None:
            deadline = read.envelope.deadline if read.envelope is not None else None  # without a call
            if deadline is not None and not self.lifetimes.is_timely(deadline):
                read = await self._settled(tkn, read, reading)
            if reading is USE and self._tracks:
                self.uses.note(tkn, read)
            return read
        found = judged(keys, tkn, self.schema, foreign=self._foreign)
        if isinstance(found, Read):
            is_settled = found.envelope is None or self.lifetimes.is_settled(found.envelope)
            found = found if is_settled else await self._settled(tkn, found, reading)
            if reading is USE:
                self.uses.note(tkn, found)
            return found
        if found is not Mismatch.OF_ANOTHER_TOKEN:
            return await self._refuse(tkn, found, keys)
        if tries > 1:
            again = self.begin_read(tkn, names, reading, tries - 1)
            return again if isinstance(again, Read) else await again
        raise ForeignSessionError(self._name, tkn)

    async def _refuse(self, tkn: SessionToken, verdict: Mismatch, keys: ObjectText) -> Read:
        """Raise the error for a verdict. A session without our keys is taken if it is `foreign` and has other keys."""
        match verdict:
            case Mismatch.OF_ANOTHER_SCHEMA:
                _, envelope, _ = split_envelope(keys)
                raise WrongSchemaError(self._name, tkn, envelope.schema if envelope is not None else "")
            case Mismatch.INCOMPLETE:
                raise IncompleteSessionError(self._name, tkn)
            case Mismatch.EMPTY:
                await self._refuse_empty(tkn)
                if self._foreign:
                    return Read(NO_MEMBERS, None)
            case Mismatch.FOREIGN | Mismatch.OF_ANOTHER_TOKEN:
                pass
        raise ForeignSessionError(self._name, tkn)

    async def _settled(self, tkn: SessionToken, read: Read, reading: ReadEffect) -> Read:
        """Return a read of a session that is not past its deadline.

        Unless the read is upkeep, the session is first limited to the lifetime that its class allows.
        """
        await self.refuse_overdue(tkn, read.deadline)
        return read if reading is ReadEffect.UPKEEP else await self.admitted(tkn, read)

    async def admitted(self, tkn: SessionToken, read: Read) -> Read:
        """Return a read of a session in use, after limiting its lifetime to that of its class."""
        envelope = read.envelope
        if envelope is None or not self.lifetimes.exceeds(envelope):
            return read
        return read.with_reserved(*await self.lifetimes.bring_under(tkn, envelope, read.reserved))

    def is_to_extend(self, seen: Read) -> bool:
        """Return True if a read may extend the session and the look at it did not."""
        return self._client.may_know(SH_PEEK) and extends_on_read(seen.envelope, self.lifetimes.expiry)

    def use(self, tkn: SessionToken, seen: Read, written: bool = False) -> None:
        """Let a look at a session count as a read. `written` says that the session was written since the look.

        If the read extends the session, and the write did not, the request for it reads no keys, and is not waited for.
        """
        if self._tracks:
            self.uses.note(tkn, seen)
        if not (written and seen.is_extended_by_all_use) and self.is_to_extend(seen):
            begun = self._client.begin(Prepared(_SH_GET, tkn, _NO_KEYS))
            if not isinstance(begun, dict):
                self._client.leave_running(begun)

    async def read_all(self, tkn: SessionToken) -> Read:
        """Return all keys of a session, with those that an upgrade has staged. Does not count as a read."""
        return await self.read(tkn, await self._all_names(tkn), ReadEffect.UPKEEP)

    async def _refuse_empty(self, tkn: SessionToken) -> None:
        """Refuse a session without any keys. A session that lacks only our keys may hold another client's."""
        info = await self.of_session(tkn, self._client.sh_info(tkn))
        if info["keyCnt"] == 0:
            expiry = info.get("expiry")
            if isinstance(expiry, dict) and not expiry.get("deleteSession"):
                raise SessionExpiredError(self._name, tkn)
            raise IncompleteSessionError(self._name, tkn)

    async def refuse_overdue(self, tkn: SessionToken, deadline: int | None) -> None:
        """End and refuse a session that is past its deadline, which the server does not know."""
        if deadline is not None and deadline <= self.lifetimes.now():
            with contextlib.suppress(NdbError):  # it is over for us, even if the server cannot be told
                await self.end_overdue(tkn)
            raise SessionExpiredError(self._name, tkn)

    async def replace(
        self, old: SessionToken, new: SessionToken, forget: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """End a session that has been copied, then await `forget`. If this is cut short, end the copy too.

        Raises:
            SessionGoneError: the old session has ended already.
        """
        try:
            if not await self.end(old):
                raise SessionGoneError(self._name, old)
            if forget is not None:
                await forget()
        except SessionGoneError:
            await self._client.to_the_end(self._client.end_surely(new))
            raise
        except BaseException:
            self._client.end_soon(new)  # its token never reaches the caller
            raise
