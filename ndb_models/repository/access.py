"""A repository's way to its sessions: reading and writing keys, and finding out what a token stands for.

The verbs stand on this; it knows of keys and of the reserved key, and nothing of models but their names.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import (
    ConnectionLostError,
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    NdbError,
    ProtocolError,
    RequestTimeoutError,
    ResponseError,
    SessionExpiredError,
    SessionGoneError,
    WrongSchemaError,
)
from ndb_models.repository.splitting import fits, split_by_size, split_names
from ndb_models.schema.envelope import RESERVED_KEY, Envelope, read_envelope, write_envelope
from ndb_models.schema.expiry import Expiry
from ndb_models.types import Clock, SessionToken
from ndb_models.wire.commands import COMMANDS, MAX_TOKEN, TOKEN, Command, is_token
from ndb_models.wire.prepared import Prepared
from ndb_models.wire.statuses import Status

T = TypeVar("T")

_SH_NEW: Final = COMMANDS["SH_NEW"]
_SH_GET: Final = COMMANDS["SH_GET"]
_SH_SET: Final = COMMANDS["SH_SET"]
_SH_ADD: Final = COMMANDS["SH_ADD"]

# What holds another session's token is read again: an answer that went astray does not come twice, a session whose keys
# were copied by hand does.
_READS: Final = 2


class Read(NamedTuple):
    """What was read of a session: its keys without the reserved one, and what that says; None for a foreign session."""

    keys: dict[str, bytes]
    envelope: Envelope | None

    def __repr__(self) -> str:
        return f"Read({len(self.keys)} keys)"

    @property
    def deadline(self) -> int | None:
        """When it ends at the latest, in milliseconds since 1970."""
        return self.envelope.deadline if self.envelope is not None else None


class SessionAccess:
    """Reads and writes the sessions of one schema.

    Args:
        client: an open client.
        model: the name of the class, for errors.
        schema: the name under which its sessions are stored.
        foreign: whether sessions without a reserved key, which other clients wrote, are taken too.
        clock: tells the time in seconds since 1970, for deadlines.
    """

    def __init__(
        self, client: NdbClient, model: str, schema: str, *, foreign: bool = False, clock: Clock = time.time
    ) -> None:
        self._client = client
        self._name = model
        self._schema = schema
        self._foreign = foreign
        self._clock = clock

    async def create(
        self, keys: Mapping[str, bytes], expiry: Expiry | None, deadline: int | None = None
    ) -> tuple[SessionToken, int | None]:
        """Create a session with these keys; return its token, and its deadline, which is from `expiry` if not given.

        What cannot be written is refused before there is a session; one that cannot be written to the end is ended
        again.
        """
        if deadline is None and expiry is not None and expiry.absolute_seconds is not None:
            deadline = int((self._clock() + expiry.absolute_seconds) * 1000)
        parts = self._parts(keys, deadline)
        tkn = await self._new(expiry)
        parts[-1][RESERVED_KEY] = write_envelope(self._schema, tkn, deadline)
        try:
            for part in parts:
                await self._write(_SH_SET, tkn, part)
        except (asyncio.CancelledError, ConnectionLostError, RequestTimeoutError):
            self._client.end_soon(tkn)  # whoever cancels, or has lost the connection, is not kept waiting
            raise
        except BaseException:
            with contextlib.suppress(NdbError):  # what went wrong first is what the caller has to know
                await self._client.sh_end(tkn)
            raise
        return tkn, deadline

    def _parts(self, keys: Mapping[str, bytes], deadline: int | None) -> list[dict[str, bytes]]:
        """Return what a creation writes, one write each. The reserved key of the last has no token yet."""
        limit = self._client.max_payload
        if limit is None or fits(keys, limit):
            return [{**keys}]
        pending = write_envelope(self._schema, None, deadline)
        widest = write_envelope(self._schema, MAX_TOKEN, deadline)
        items = ((RESERVED_KEY, pending), *keys.items(), (RESERVED_KEY, widest))
        return split_by_size(self._name, _SH_SET, items, limit)

    async def _new(self, expiry: Expiry | None) -> SessionToken:
        body = {} if expiry is None else {"expiry": expiry.on_the_wire}
        answer = await self._client.perform(self._client.ending_orphans(Prepared(_SH_NEW, body)))
        if answer["st"] != Status.OK:
            raise failure(_SH_NEW, answer)
        tkn = answer.get(TOKEN)
        if type(tkn) is not int or not is_token(tkn):
            raise ProtocolError("the server's answer to SH_NEW has no token")
        return tkn

    async def change(self, tkn: SessionToken, changed: Mapping[str, bytes], removed: Sequence[str]) -> None:
        """Write keys of a session, and remove others; where there are none of either, find out whether it lives.

        Counts as a write in any case.
        """
        if not changed:  # removing does not extend the expiry
            await self._write(_SH_ADD, tkn, {})
        limit = self._client.max_payload
        if limit is None or fits(changed, limit):
            parts = [changed] if changed else []
        else:
            parts = [*split_by_size(self._name, _SH_SET, changed.items(), limit)]
        for part in parts:
            await self._write(_SH_SET, tkn, part)
        if removed:
            await self._of_session(tkn, self._client.sh_rmv(removed, tkn))

    async def _write(self, command: Command, tkn: SessionToken, keys: Mapping[str, bytes]) -> None:
        answer = await self._client.perform(Prepared(command, {TOKEN: tkn}, keys))
        if answer["st"] != Status.OK:
            raise self._refusal(command, tkn, answer)

    def _refusal(self, command: Command, tkn: SessionToken, answer: Mapping[str, Any]) -> NdbError:
        if answer["st"] == Status.SESSION_NOT_EXIST:
            return SessionGoneError(self._name, tkn)
        return failure(command, {name: answer[name] for name in ("st", "m") if name in answer})

    async def read(self, tkn: SessionToken, names: Sequence[str]) -> Read:
        """Return the keys of these names, of a session that must be one of this schema. Counts as a read.

        Raises:
            InvalidArgumentError: the token is none.
            SessionGoneError, SessionExpiredError, WrongSchemaError, IncompleteSessionError, ForeignSessionError: see
                there.
        """
        check_token(tkn)
        for _ in range(_READS):
            keys = await self._read_once(tkn, names)
            reserved = keys.pop(RESERVED_KEY, None)
            if reserved is None:
                if not keys:
                    await self._refuse_empty(tkn)
                if self._foreign:
                    return Read(keys, None)
                break
            envelope = read_envelope(reserved)
            if envelope is None:
                break
            if envelope.schema != self._schema:
                raise WrongSchemaError(self._name, tkn, envelope.schema)
            if envelope.tkn is None:
                raise IncompleteSessionError(self._name, tkn)
            if envelope.tkn == tkn:
                await self.refuse_overdue(tkn, envelope.deadline)
                return Read(keys, envelope)
        raise ForeignSessionError(self._name, tkn)

    async def _read_once(self, tkn: SessionToken, names: Sequence[str]) -> dict[str, bytes]:
        keys: dict[str, bytes] = {}
        reserved: set[bytes | None] = set()
        for part in split_names(_SH_GET, names, RESERVED_KEY, self._client.max_payload):
            answer = await self._client.perform(Prepared(_SH_GET, {TOKEN: tkn, "keys": part}))
            if answer["st"] != Status.OK:
                raise self._refusal(_SH_GET, tkn, answer)
            keys.update(answer["keys"])
            reserved.add(answer["keys"].get(RESERVED_KEY))
        if len(reserved) > 1:  # parts of several sessions: none of them proves whose the others are
            raise ProtocolError("the server's answers are about several sessions")
        return keys

    async def _refuse_empty(self, tkn: SessionToken) -> None:
        """Refuse a session that has no keys at all; one that has none of ours may have another client's."""
        info = await self._of_session(tkn, self._client.sh_info(tkn))
        if info["keyCnt"] == 0:
            expiry = info.get("expiry")
            if isinstance(expiry, dict) and not expiry.get("deleteSession"):
                raise SessionExpiredError(self._name, tkn)
            raise IncompleteSessionError(self._name, tkn)

    async def refuse_overdue(self, tkn: SessionToken, deadline: int | None) -> None:
        """End a session whose absolute time is over, and raise `SessionExpiredError`."""
        """End and refuse a session that is past its absolute end, of which the server knows nothing."""
        if deadline is not None and deadline <= self._clock() * 1000:
            with contextlib.suppress(NdbError):  # it is over for us, whether or not the server can be told
                await self._client.sh_end(tkn)
            raise SessionExpiredError(self._name, tkn)

    async def names(self, tkn: SessionToken) -> list[str]:
        """Return the names of all keys of a session but the reserved one."""
        check_token(tkn)
        names = await self._of_session(tkn, self._client.sh_keys(tkn))
        return [name for name in names if name != RESERVED_KEY]

    async def raw(self, tkn: SessionToken) -> dict[str, bytes]:
        """Return all keys of a session, whatever it is, as their JSON text."""
        check_token(tkn)
        names = await self._of_session(tkn, self._client.sh_keys(tkn))
        return await self._read_once(tkn, [name for name in names if name != RESERVED_KEY])

    async def end(self, tkn: SessionToken) -> bool:
        """End a session, whatever it is. Return False if there is none."""
        try:
            return await self._client.sh_end(tkn)
        except ResponseError as exc:
            if exc.status == Status.SESSION_NOT_EXIST:
                return False
            raise

    async def replace(self, old: SessionToken, new: SessionToken) -> None:
        """End a session of which there is a copy; where that cannot be done to the end, end the copy.

        Raises:
            SessionGoneError: the old one has ended already.
        """
        try:
            ended = await self.end(old)
            if not ended:
                await self.end(new)
        except BaseException:
            self._client.end_soon(new)  # nobody will learn its token
            raise
        if not ended:
            raise SessionGoneError(self._name, old)

    async def expiry(self, tkn: SessionToken) -> Expiry | None:
        """Return how a session expires, which may be otherwise than its class says."""
        info = await self._of_session(tkn, self._client.sh_info(tkn))
        match info.get("expiry"):
            case {"duration": int(seconds), "extendOnGet": bool(read), "extendOnSetAdd": bool(write)} if seconds:
                if not (read or write):
                    return Expiry(absolute=seconds)
                return Expiry(idle=seconds, on="both" if read and write else "read" if read else "write")
            case _:
                return None

    async def remaining(self, tkn: SessionToken, deadline: int | None) -> float | None:
        """Return how many seconds a session has left if it is not used, or None if it never ends."""
        check_token(tkn)
        info = await self._of_session(tkn, self._client.sh_info(tkn))
        expiry = info.get("expiry")
        left = expiry.get("remaining") if isinstance(expiry, dict) else None
        seconds = float(left) if isinstance(left, int) else math.inf
        if deadline is not None:
            seconds = min(seconds, deadline / 1000 - self._clock())
        return None if seconds == math.inf else seconds

    async def _of_session(self, tkn: SessionToken, asking: Coroutine[Any, Any, T]) -> T:
        """Ask the raw client about a session, which may have ended."""
        try:
            return await asking
        except ResponseError as exc:
            if exc.status == Status.SESSION_NOT_EXIST:
                raise SessionGoneError(self._name, tkn) from exc
            raise


def check_token(tkn: object) -> None:
    """Refuse what cannot be a token.

    Raises:
        InvalidArgumentError: it is no unsigned 64-bit integer.
    """
    if is_token(tkn):
        return
    if type(tkn) is int:
        raise InvalidArgumentError("a token is an unsigned 64-bit integer; this one is out of range")
    hint = "; from a cookie or a URL, use int(...)" if isinstance(tkn, str) else ""
    if isinstance(tkn, BaseModel):
        hint = "; pass its tkn"
    raise InvalidArgumentError(f"a token is an unsigned 64-bit integer, not a value of type {type(tkn).__name__}{hint}")
