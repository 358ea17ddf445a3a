"""The `sh_*` methods: sessions, and the keys inside them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeVar

from ndb_models.client.requester import OBJECT, TOKENS, VALUES, Requester, checked_data_set, field_of, names_of
from ndb_models.errors import InvalidArgumentError, ProtocolError, ResponseError, UnavailableError
from ndb_models.expectations import told_by
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.commands import MAX_LISTED as MAX_LISTED
from ndb_models.protocol.exchange import Call
from ndb_models.protocol.prepared import Parameters, Prepared
from ndb_models.protocol.statuses import Status
from ndb_models.types import JsonInput, JsonValue, SessionToken

C = TypeVar("C", Call, Prepared)

LONGEST_DURATION: Final = 100 * 365 * 24 * 60 * 60
"""A hundred years, in seconds: the longest duration that is sent to a NemesisDB."""

NO_TEXTS: Final[Mapping[str, str]] = MappingProxyType({})

# Attempts to end a session that must not stay.
_ENDINGS: Final = 4


@dataclass(frozen=True, slots=True)
class Session:
    """A new session: its token `tkn`, which the repr never shows."""

    tkn: SessionToken = field(repr=False)

    @property
    def isValid(self) -> bool:  # noqa: N802 - the name that NemesisDB's API gives it
        """Whether there is a token."""
        return self.tkn > 0


@dataclass(frozen=True, slots=True)
class SessionList:
    """A part of all sessions: the value of one key by token, and the token to go on after, None at the end."""

    values: dict[SessionToken, JsonValue] = field(repr=False)
    next: SessionToken | None = field(repr=False)


class SessionCommands(Requester):
    """Commands on sessions.

    Values are sent as they are given. A NemesisDB returns some of them changed, see `protocol.altered`.

    All methods raise `ResponseError` if the server refuses the request. Its status is 100 if the session has ended, has
    expired or never existed. They also raise `InvalidArgumentError` for values that JSON cannot hold, and the
    connection errors of `Requester.request`.
    """

    async def sh_create_session(
        self,
        durationSeconds: int = 0,  # noqa: N803 - the names that NemesisDB's API gives them
        deleteSessionOnExpire: bool = False,  # noqa: N803
        extendOnSetAdd: bool = False,  # noqa: N803
        extendOnGet: bool = False,  # noqa: N803
    ) -> Session:
        """Create a session without keys, and return it.

        Args:
            durationSeconds: seconds until it expires; 0 for never. Very long durations overflow in a NemesisDB, so it
                gets at most `LONGEST_DURATION`.
            deleteSessionOnExpire: the session ends when it expires. Otherwise it only loses its keys, and the time
                starts again.
            extendOnSetAdd: `sh_set` and `sh_add` start the time anew.
            extendOnGet: `sh_get` starts the time anew.

        If the call is cancelled but the server still creates the session, it is ended in the background.

        Raises:
            ValueError: the duration is negative, or it is 0 and a flag is set, which has no meaning then.
        """
        expiry = _expiry(durationSeconds, deleteSessionOnExpire, extendOnSetAdd, extendOnGet)
        if not durationSeconds:
            return await self._create({})
        return await self._create({"expiry": {**expiry, "duration": await self.duration_there(durationSeconds)}})

    async def duration_there(self, seconds: int) -> int:
        """Return a duration in seconds that the server can keep. A NemesisDB gets at most `LONGEST_DURATION`."""
        if seconds <= LONGEST_DURATION:
            return seconds
        # A NemesisDB does not know SH_PEEK. There is no session 0.
        is_ours = await self.attempt(Prepared(COMMANDS["SH_PEEK"], 0, Parameters(keys=()))) is not None
        return seconds if is_ours else LONGEST_DURATION

    async def _create(self, body: Mapping[str, object]) -> Session:
        answer = await self._perform(self.ending_orphans(Call(COMMANDS["SH_NEW"], body)))
        return Session(field_of(answer, "tkn", int))

    def ending_orphans(self, creation: C) -> C:
        """Return `creation`, a request that creates a session, and end that session if its caller no longer waits.

        Otherwise the session would have no owner.
        """

        def end(answer: bytes) -> None:
            with contextlib.suppress(ProtocolError):  # the answer names no session
                self.end_soon(field_of(creation.read(answer), "tkn", int))

        creation.on_orphan = end
        return creation

    def end_soon(self, tkn: SessionToken) -> None:
        """End the session `tkn` in the background, for a caller that cannot wait. If it cannot be ended, it stays."""
        self.in_background(self.end_surely(tkn))

    async def end_surely(self, tkn: SessionToken) -> None:
        """End the session `tkn`, which may have ended already. The request is tried again while the server is away.

        Raises the error of the last attempt.
        """
        for _ in range(_ENDINGS - 1):
            with contextlib.suppress(UnavailableError):
                await self._end(tkn)
                return
        await self._end(tkn)

    async def _end(self, tkn: SessionToken) -> None:
        try:
            await self.sh_end(tkn)
        except ResponseError as exc:
            if exc.status != Status.SESSION_NOT_EXIST:
                raise

    async def sh_set(self, keys: Mapping[str, JsonInput], tkn: SessionToken) -> bool:
        """Write keys, over existing ones. An empty mapping writes no keys, but extends the expiry as usual."""
        return await self._done("SH_SET", tkn=tkn, keys=keys)

    async def sh_add(self, keys: Mapping[str, JsonInput], tkn: SessionToken) -> bool:
        """Write only the keys that do not exist yet; the others stay as they are. The answer does not say which."""
        return await self._done("SH_ADD", tkn=tkn, keys=keys)

    async def sh_get(self, keys: Sequence[str], tkn: SessionToken) -> dict[str, JsonValue]:
        """Return the values of some keys. Missing keys are left out."""
        return await self._ask("SH_GET", "keys", OBJECT, tkn=tkn, keys=names_of(keys))

    async def sh_peek(self, keys: Sequence[str], tkn: SessionToken) -> dict[str, JsonValue]:
        """Return the values of some keys as `sh_get` does, but never extend the expiry.

        Raises:
            UnsupportedError: the server is a NemesisDB, which has no such command.
        """
        return await self._ask("SH_PEEK", "keys", OBJECT, tkn=tkn, keys=names_of(keys))

    async def sh_expire(
        self,
        tkn: SessionToken,
        durationSeconds: int = 0,  # noqa: N803
        deleteSessionOnExpire: bool = False,  # noqa: N803
        extendOnSetAdd: bool = False,  # noqa: N803
        extendOnGet: bool = False,  # noqa: N803
    ) -> bool:
        """Change how a session expires, and start its time anew. A repeated call starts the time once more.

        Args:
            tkn: the session.
            durationSeconds: as in `sh_create_session`, like all that follow.
            deleteSessionOnExpire: see there.
            extendOnSetAdd: see there.
            extendOnGet: see there.

        A cancelled call may still have been carried out.

        Raises:
            UnsupportedError: the server is a NemesisDB, which has no such command.
            ValueError: the duration is negative, or it is 0 and a flag is set, which has no meaning then.
        """
        expiry = _expiry(durationSeconds, deleteSessionOnExpire, extendOnSetAdd, extendOnGet)
        return await self._done("SH_EXPIRE", tkn=tkn, expiry=expiry)

    async def sh_change(
        self,
        keys: Mapping[str, JsonInput],
        tkn: SessionToken,
        *,
        remove: Sequence[str] = (),
        texts: Mapping[str, str] = NO_TEXTS,
        absent: Sequence[str] = (),
    ) -> bool:
        """Write some keys and remove others in one step, if the session's keys are as expected: a compare-and-set.

        A change that is made extends the expiry as `sh_set` does, also with nothing to write. A cancelled call, or one
        that ends in `ConnectionLostError`, may have been carried out. It is not sent again by itself.

        Args:
            keys: the keys to write.
            tkn: the session.
            remove: the keys to remove. A key that is also written is written.
            texts: the JSON texts that keys must have, to the byte as they were stored.
            absent: the names of keys that must be missing.

        Returns:
            True if the change was made, False if a key was not as expected. Then the session is as it was.

        Raises:
            UnsupportedError: the server is a NemesisDB, which has no such command.
        """
        expected = {**dict.fromkeys(names_of(absent)), **{name: text.encode() for name, text in texts.items()}}
        told = told_by(expected)
        return await self._ask("SH_CHANGE", "done", bool, tkn=tkn, keys=keys, remove=[*names_of(remove)], **told)

    async def sh_rmv(self, keys: Sequence[str], tkn: SessionToken) -> bool:
        """Remove keys. Missing keys do no harm. At least one key must be named (status 42)."""
        return await self._done("SH_RMV", tkn=tkn, keys=names_of(keys))

    async def sh_count(self, tkn: SessionToken) -> int:
        """Return how many keys the session has."""
        return await self._ask("SH_COUNT", "cnt", int, tkn=tkn)

    async def sh_contains(self, keys: Sequence[str], tkn: SessionToken) -> list[str]:
        """Return the given keys that exist, in the given order."""
        return await self._ask_names("SH_CONTAINS", "contains", tkn=tkn, keys=names_of(keys))

    async def sh_keys(self, tkn: SessionToken) -> list[str]:
        """Return the names of all keys, in any order."""
        return await self._ask_names("SH_KEYS", "keys", tkn=tkn)

    async def sh_clear(self, tkn: SessionToken) -> int:
        """Remove all keys of the session; return how many there were. The session stays."""
        return await self._ask("SH_CLEAR", "cnt", int, tkn=tkn)

    async def sh_clear_set(self, keys: Mapping[str, JsonInput], tkn: SessionToken) -> int:
        """Remove all keys, then write the given ones; return how many were removed. Does not extend the expiry."""
        return await self._ask("SH_CLEAR_SET", "cnt", int, tkn=tkn, keys=keys)

    async def sh_end(self, tkn: SessionToken) -> bool:
        """End the session, and delete its keys."""
        return await self._done("SH_END", tkn=tkn)

    async def sh_end_all(self) -> int:
        """End all sessions of the server; return how many there were."""
        return await self._ask("SH_END_ALL", "cnt", int)

    async def sh_session_exists(self, tkns: Sequence[SessionToken]) -> list[SessionToken]:
        """Return those of `tkns` that name a session, in the given order."""
        return await self._ask("SH_EXISTS", "exist", TOKENS, tkns=tkns)

    async def sh_list(self, key: str, after: SessionToken | None = None, count: int = 256) -> SessionList:
        """Return a key of the next sessions, in an order of the server's own. Never extends the expiry.

        Begin without `after`, and go on with the `next` of each answer until it is None. Then each session that lived
        all the time was returned exactly once. A session that was created or ended meanwhile may have been returned.

        Args:
            key: the name of the key. Sessions without it are left out.
            after: the `next` of the answer before.
            count: how many sessions are looked at, 1 to 4096. The answer may have fewer, or none.

        Raises:
            UnsupportedError: the server is a NemesisDB, which has no such command.
            ResponseError: the client's token is for data alone (status 14).
        """
        body = {"key": key, "count": count} if after is None else {"key": key, "count": count, "after": after}
        answer = await self._call("SH_LIST", **body)
        tkns, values = field_of(answer, "tkns", TOKENS), field_of(answer, "values", VALUES)
        following = field_of(answer, "next", int) if "next" in answer else None
        if len(tkns) != len(values) or not {int}.issuperset(map(type, tkns)):
            raise ProtocolError("the server's answer to SH_LIST has no value for each token")
        return SessionList(dict(zip(tkns, values, strict=True)), following)

    async def sh_info(self, tkn: SessionToken) -> dict[str, JsonValue]:
        """Return `keyCnt` and `expires` of a session. If it expires, also return `expiry` (in seconds)."""
        return await self._describe("SH_INFO", tkn=tkn)

    async def sh_info_all(self) -> dict[str, JsonValue]:
        """Return the number of sessions and of their keys: `totalSessions` and `totalKeys`."""
        return await self._describe("SH_INFO_ALL")

    async def sh_save(self, name: str, tkns: Sequence[SessionToken] = ()) -> bool:
        """Save all sessions, or only the sessions of `tkns`, to the data set `name`.

        The server must have a persist path (status 14).

        Raises:
            ValueError: the name is not one path segment, see `why_not_a_data_set`. The request was not sent.
        """
        checked_data_set(name)
        return await (self._done("SH_SAVE", name=name, tkns=tkns) if tkns else self._done("SH_SAVE", name=name))

    async def sh_load(self, name: str) -> dict[str, JsonValue]:
        """Restore the sessions of a data set under their old tokens, and start their time anew.

        Existing sessions stay as they are. Returns `name`, and the numbers of restored `sessions` and `keys`. An
        unknown data set is status 142.

        Raises:
            ValueError: as `sh_save`.
        """
        return await self._describe("SH_LOAD", name=checked_data_set(name))


def _expiry(duration: int, delete_session: bool, extend_on_set_add: bool, extend_on_get: bool) -> dict[str, object]:
    """Return a session's expiry as the server takes it.

    Raises:
        InvalidArgumentError: the duration is negative, or it is 0 and a flag is set, which has no meaning then.
    """
    if duration < 0:
        raise InvalidArgumentError("durationSeconds must not be negative; 0 is a session that never expires")
    if not duration and (delete_session or extend_on_set_add or extend_on_get):
        raise InvalidArgumentError("a session of durationSeconds 0 never expires: the flags mean nothing")
    return {
        "duration": duration,
        "deleteSession": delete_session,
        "extendOnSetAdd": extend_on_set_add,
        "extendOnGet": extend_on_get,
    }
