"""Writes to the sessions of a repository, and ends them: by token, whatever their schema.

It knows keys; of a model it knows only the name.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import InvalidArgumentError, NdbError, ResponseError, SessionGoneError
from ndb_models.json_text import NO_MEMBERS, ObjectText
from ndb_models.protocol.commands import COMMANDS, Command, is_token
from ndb_models.protocol.prepared import NO_PARAMETERS, Prepared
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.sessions.splitting import fits, split_by_size, split_names
from ndb_models.types import SessionToken

T = TypeVar("T")

_SH_SET: Final = COMMANDS["SH_SET"]
_SH_ADD: Final = COMMANDS["SH_ADD"]
_SH_RMV: Final = COMMANDS["SH_RMV"]


class SessionWriting:
    """Writes and ends sessions.

    Args:
        client: an open client.
        model: the name of the class, for errors.
    """

    def __init__(self, client: NdbClient, model: str) -> None:
        self._client = client
        self._name = model

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

    async def set(self, tkn: SessionToken, keys: Mapping[str, bytes]) -> None:
        """Write keys of a session in one frame, and so atomically."""
        await self._write(_SH_SET, tkn, ObjectText.joined(keys))

    async def remove(self, tkn: SessionToken, names: Sequence[str]) -> None:
        """Remove keys of a session, in as many frames as needed. At least one must be named."""
        for part in split_names(_SH_RMV, tuple(names), None, self._client.max_payload):
            await self.of_session(tkn, self._client.sh_rmv(part, tkn))

    async def _write(self, command: Command, tkn: SessionToken, keys: ObjectText) -> None:
        answer = await self._client.perform(Prepared(command, tkn, values=keys))
        if answer["st"] != OK_STATUS:
            raise await self._client.identified(self.refusal(command, tkn, answer))

    def refusal(self, command: Command, tkn: SessionToken, answer: Mapping[str, Any]) -> NdbError:
        """Return the error for a reply about a session whose status is not success."""
        if answer["st"] == Status.SESSION_NOT_EXIST:
            return SessionGoneError(self._name, tkn)
        return failure(command, {name: answer[name] for name in ("st", "m") if name in answer})

    async def end(self, tkn: SessionToken) -> bool:
        """End a session of any kind. Return False if there is none."""
        try:
            return await self._client.sh_end(tkn)
        except ResponseError as exc:
            if exc.status == Status.SESSION_NOT_EXIST:
                return False
            raise

    async def of_session(self, tkn: SessionToken, asking: Coroutine[Any, Any, T]) -> T:
        """Await a call of the raw client about a session. If the session has ended, raise `SessionGoneError`."""
        try:
            return await asking
        except ResponseError as exc:
            if exc.status == Status.SESSION_NOT_EXIST:
                raise SessionGoneError(self._name, tkn) from exc
            raise


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
