"""Writes to the sessions of a repository, and ends them: by token, of any schema.

It knows keys; of a model it knows only the name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure, unsupported
from ndb_models.errors import InvalidArgumentError, NdbError, PayloadTooLargeError, ResponseError, SessionGoneError
from ndb_models.expectations import Expected
from ndb_models.json_text import NO_MEMBERS, ObjectText
from ndb_models.protocol.commands import COMMANDS, MAYBE_DONE, Command, is_token
from ndb_models.protocol.prepared import NO_PARAMETERS, Conditions, Prepared
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.raising import raise_without_context
from ndb_models.sessions.splitting import fits, most_bytes, split_by_size, split_names
from ndb_models.types import SessionToken

T = TypeVar("T")

_SH_SET: Final = COMMANDS["SH_SET"]
_SH_ADD: Final = COMMANDS["SH_ADD"]
_SH_RMV: Final = COMMANDS["SH_RMV"]
SH_CHANGE: Final = COMMANDS["SH_CHANGE"]

# Looked up once, because finding a member of an enum is slow.
NO_SESSION: Final = Status.SESSION_NOT_EXIST


class ContestedError(NdbError):
    """A session's keys are not as expected: others have changed them. Never reaches a user.

    `written` are the keys that were written all the same, if they did not fit into one frame.
    """

    def __init__(self, written: Iterable[str] = ()) -> None:
        self.written: frozenset[str] = frozenset(written)
        super().__init__("others have changed the session")


class SessionWriting:
    """Writes and ends sessions.

    Args:
        client: an open client.
        model: the name of the class, for errors.
    """

    def __init__(self, client: NdbClient, model: str) -> None:
        self._client = client
        self._name = model
        self.tell_overdue: Callable[[SessionToken], Awaitable[None]] = _tell_nothing
        """Awaited after a session that was past its deadline has been ended."""

    async def change(self, tkn: SessionToken, changed: ObjectText, removed: Sequence[str]) -> None:
        """Write some keys of a session and remove others. Without either, find out whether the session lives.

        Counts as a write in any case.
        """
        client = self._client
        limit = client.max_payload
        if limit is not None and not fits(changed, limit):
            for part in split_by_size(self._name, _SH_SET, changed.items(), limit):
                await self.set(tkn, part)
        else:
            command = _SH_SET if changed.text != NO_MEMBERS else _SH_ADD  # removing does not extend the expiry
            begun = client.begin(Prepared(command, tkn, NO_PARAMETERS, changed))
            answer = begun if isinstance(begun, dict) else await begun
            if answer["st"] != OK_STATUS:
                raise await client.identified(self.refusal(command, tkn, answer))
        if removed:
            await self.remove(tkn, removed)

    def takes(self, keys: Mapping[str, bytes], expected: Expected, removed: Sequence[str]) -> bool:
        """Return True if one frame surely holds these keys and conditions, and the names to remove."""
        limit = self._client.max_payload
        return limit is None or most_bytes(ObjectText.joined(keys), Conditions(expected, removed)) <= limit

    def change_if(
        self,
        tkn: SessionToken,
        changed: ObjectText,
        removed: Sequence[str],
        expected: Expected,
        *,
        at_once: bool = False,
    ) -> Coroutine[Any, Any, None]:
        """Work as `change`, in one step, if the keys in `expected` have these values.

        Keys that one frame cannot hold are written in several, each with the conditions on its own keys; `at_once`
        refuses them instead.

        Raises:
            PayloadTooLargeError: one frame cannot hold them `at_once`, or a single one of them.
            ContestedError: a key has another value. Neither its frame nor those after it were written.
            UnsupportedError: the server is a NemesisDB, which cannot compare.
        """
        limit = self._client.max_payload
        conditions = Conditions(expected, removed)
        if limit is None or most_bytes(changed, conditions) <= limit:
            return self._change_if(tkn, changed, conditions)
        if at_once:
            raise self._too_large(changed, conditions, limit)
        return self._change_in_parts(tkn, changed, removed, expected, limit)

    async def _change_in_parts(
        self, tkn: SessionToken, changed: ObjectText, removed: Sequence[str], expected: Expected, limit: int
    ) -> None:
        sized = {
            name: text + bytes(len(Conditions({name: expected[name]}).text)) if name in expected else text
            for name, text in changed.items()
        }
        *parts, last = split_by_size(self._name, SH_CHANGE, sized.items(), limit)
        written: list[str] = []
        for part in (*parts, last):
            compared = {name: expected[name] for name in part if name in expected}
            if part is last:
                compared |= {name: text for name, text in expected.items() if name not in changed}
            keys = ObjectText.joined({name: changed[name] for name in part})
            try:
                await self._change_if(tkn, keys, Conditions(compared, removed if part is last else ()))
            except ContestedError:
                raise_without_context(ContestedError(written))
            written += part

    def _too_large(self, changed: ObjectText, conditions: Conditions, limit: int) -> PayloadTooLargeError:
        largest = sorted(((name, len(text)) for name, text in changed.items()), key=itemgetter(1), reverse=True)
        subject = f"a change of {self._name} in one step"
        return PayloadTooLargeError(subject, most_bytes(changed, conditions), limit, largest[:3])

    async def _change_if(self, tkn: SessionToken, changed: ObjectText, conditions: Conditions) -> None:
        client = self._client
        asked_on = client.connection_number if client.is_remote else None
        begun = client.begin(Prepared(SH_CHANGE, tkn, conditions, changed))
        answer = begun if isinstance(begun, dict) else await begun
        if answer["st"] == Status.COMMAND_NOT_EXIST:
            client.note_unknown(SH_CHANGE, asked_on)
            raise unsupported("comparing before writing", SH_CHANGE)
        if answer["st"] != OK_STATUS:
            raise await client.identified(self.refusal(SH_CHANGE, tkn, answer))
        if not answer["done"]:
            raise ContestedError

    def set(self, tkn: SessionToken, keys: Mapping[str, bytes]) -> Coroutine[Any, Any, None]:
        """Write keys of a session in one frame, and so atomically."""
        return self._write(_SH_SET, tkn, ObjectText.joined(keys))

    async def remove(self, tkn: SessionToken, names: Sequence[str]) -> None:
        """Remove keys of a session, in as many frames as needed. At least one must be named."""
        for part in split_names(_SH_RMV, tuple(names), None, self._client.max_payload):
            await self.of_session(tkn, self._client.sh_rmv(part, tkn))

    async def _write(self, command: Command, tkn: SessionToken, keys: ObjectText) -> None:
        begun = self._client.begin(Prepared(command, tkn, NO_PARAMETERS, keys))
        answer = begun if isinstance(begun, dict) else await begun
        if answer["st"] != OK_STATUS:
            raise await self._client.identified(self.refusal(command, tkn, answer))

    def refusal(self, command: Command, tkn: SessionToken, answer: Mapping[str, Any]) -> NdbError:
        """Return the error for a failure status in a reply about a session."""
        if answer["st"] == NO_SESSION:
            return SessionGoneError(self._name, tkn)
        return failure(command, {name: answer[name] for name in ("st", "m", MAYBE_DONE) if name in answer})

    async def end(self, tkn: SessionToken) -> bool:
        """End a session of any kind. Return False if there is none."""
        try:
            return await self._client.sh_end(tkn)
        except ResponseError as exc:
            if exc.status == NO_SESSION:
                return False
            raise

    async def end_overdue(self, tkn: SessionToken) -> None:
        """End a session that is past its deadline, which its server does not know."""
        if await self.end(tkn):
            await self.tell_overdue(tkn)

    async def of_session(self, tkn: SessionToken, asking: Coroutine[Any, Any, T]) -> T:
        """Await a call of the raw client about a session. If the session has ended, raise `SessionGoneError`."""
        try:
            return await asking
        except ResponseError as exc:
            if exc.status == NO_SESSION:
                raise SessionGoneError(self._name, tkn) from exc
            raise


async def _tell_nothing(_tkn: SessionToken) -> None:
    pass


def check_token(tkn: object) -> None:
    """Refuse a value that cannot be a token.

    Raises:
        InvalidArgumentError: it is not an unsigned 64-bit integer.
    """
    if not is_token(tkn):
        raise not_a_token(tkn)


def not_a_token(tkn: object) -> InvalidArgumentError:
    """Return the error for a value that cannot be a token."""
    if type(tkn) is int:
        return InvalidArgumentError("a token is an unsigned 64-bit integer; this one is out of range")
    hint = "; for a cookie or a URL use format_token(tkn) and parse_token(text)" if isinstance(tkn, str) else ""
    if isinstance(tkn, BaseModel):
        hint = "; pass its tkn"
    return InvalidArgumentError(
        f"a token is an unsigned 64-bit integer, not a value of type {type(tkn).__name__}{hint}"
    )
