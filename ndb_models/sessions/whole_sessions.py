"""Whole sessions, of any model or none: read as they are stored, and created again under their tokens.

For tools that look at a store without the models of its sessions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure, unsupported
from ndb_models.errors import NdbError, ResponseError
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS, Command
from ndb_models.protocol.prepared import NO_PARAMETERS, Prepared, expiring, reading_answer
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.sessions.keys_read import keys_read
from ndb_models.sessions.splitting import split_by_size, split_names
from ndb_models.types import ExpirySettings, SessionToken, settings_in

_SH_PEEK: Final = COMMANDS["SH_PEEK"]
_SH_NEW_SET: Final = COMMANDS["SH_NEW_SET"]
_SH_GET: Final = COMMANDS["SH_GET"]
_SH_SET: Final = COMMANDS["SH_SET"]


class Timing(NamedTuple):
    """How a session expires, and the seconds that it has left; None for a session that never does."""

    expiry: ExpirySettings
    remaining: int | None
    key_count: int


async def read_timing(client: NdbClient, tkn: SessionToken) -> Timing | None:
    """Return how a session expires, by the server's timer alone; None if there is no such session."""
    try:
        info: Any = await client.sh_info(tkn)
    except ResponseError as exc:
        if exc.status == Status.SESSION_NOT_EXIST:
            return None
        raise
    told: Mapping[str, Any] | None = info.get("expiry")
    return Timing(settings_in(told), None if told is None else int(told["remaining"]), int(info["keyCnt"]))


async def read_all_keys(client: NdbClient, tkn: SessionToken, *, may_extend: bool = False) -> dict[str, bytes] | None:
    """Return all keys of a session as JSON text; None if there is no such session. Extends no expiry.

    Args:
        client: an open client.
        tkn: the token of the session.
        may_extend: read from a NemesisDB too, where a read extends the expiry if the session says so.

    Raises:
        UnsupportedError: the server is a NemesisDB, and the read may not extend.
    """
    try:
        names = tuple(await client.sh_keys(tkn))
    except ResponseError as exc:
        if exc.status == Status.SESSION_NOT_EXIST:
            return None
        raise
    return await peek(client, tkn, names, may_extend=may_extend)


async def peek(
    client: NdbClient, tkn: SessionToken, names: tuple[str, ...], *, may_extend: bool = False
) -> dict[str, bytes] | None:
    """Return some keys of a session. Otherwise as `read_all_keys`."""
    keys: dict[str, bytes] = {}
    for part in split_names(_SH_PEEK, names, None, client.max_payload):
        answer = await client.attempt(keys_read(_SH_PEEK, part, tkn))
        if answer is None:
            if not may_extend:
                raise unsupported("reading without extending", _SH_PEEK)
            answer = await client.perform(keys_read(_SH_GET, part, tkn))
        if answer["st"] == Status.SESSION_NOT_EXIST:
            return None
        if answer["st"] != OK_STATUS:
            raise failure(_SH_PEEK, answer)
        with reading_answer(_SH_PEEK):
            keys |= answer["keys"].split()
    return keys


async def create_whole(client: NdbClient, tkn: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes]) -> bool:
    """Create a session under a token that it had before, with its keys. Its time starts anew.

    A session that cannot be completed is ended again. Return False, and do nothing, if there is one of this token.

    Raises:
        UnsupportedError: the server is a NemesisDB, which chooses tokens itself.
        PayloadTooLargeError: a key does not fit into a request. There is no session then.
    """
    limit = client.max_payload
    # The reserved key is written last: it is what makes the session whole.
    ordered = sorted(keys.items(), key=lambda item: item[0] == RESERVED_KEY)
    first, *more = [dict(ordered)] if limit is None else split_by_size("session", _SH_SET, ordered, limit // 2)
    parameters = expiring(expiry) if expiry.duration else NO_PARAMETERS
    answer = await client.attempt(Prepared(_SH_NEW_SET, tkn, parameters, ObjectText.joined(first)))
    if answer is None:
        raise unsupported("creating a session under its token", _SH_NEW_SET)
    if answer["st"] == Status.SESSION_NEW_FAIL and await client.sh_session_exists([tkn]):
        return False  # otherwise there is no room
    _require_success(_SH_NEW_SET, answer)
    try:
        for part in more:
            _require_success(_SH_SET, await client.perform(Prepared(_SH_SET, tkn, values=ObjectText.joined(part))))
    except BaseException:
        with contextlib.suppress(NdbError):  # the caller needs the first error
            await client.to_the_end(client.end_surely(tkn))
        raise
    return True


def _require_success(command: Command, answer: Mapping[str, Any]) -> None:
    if answer["st"] != OK_STATUS:
        raise failure(command, answer)
