"""The requests that nearly all are, known by how they begin: read and write keys, create a session.

Such a frame is a beginning that says it all, one JSON text, and two braces. If that text is one JSON value, the frame
as a whole is the request that it looks like, and nothing is named twice in it. Whatever does not look just so is none
of these, be it right or wrong: `parse` decides on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from ndb_models.engine.requests import Call
from ndb_models.texts import UNREADABLE, is_nested_deeper, members_as_decoded
from ndb_models.wire.commands import COMMANDS, MAX_TOKEN, TOKEN
from ndb_models.wire.strict_json import MAX_NESTING

_BEGINNING: Final = re.compile(
    rb'\{"((?:SH|KV)_(?:GET|SET)|SH_NEW_SET)": ?\{'
    rb'(?:"tkn": ?(0|[1-9][0-9]{0,19}), ?)?'
    rb'(?:"expiry": ?(\{[^{}]{1,200}\}), ?)?'
    rb'"keys": ?'
)
_END: Final = b"}}"
# How deep the text is in the frame.
_AROUND: Final = 2
# Longer ones are not likely to come again, and would be kept in memory.
_REMEMBERED: Final = 1024

_ROWS: Final = {name.encode(): COMMANDS[name] for name in ("KV_GET", "KV_SET", "SH_GET", "SH_SET", "SH_NEW_SET")}
_CREATES: Final = COMMANDS["SH_NEW_SET"]

_decode: Final = msgspec.json.Decoder().decode
_decode_names: Final = msgspec.json.Decoder(tuple[str, ...]).decode


def usual_call(frame: bytes, max_nesting: int = MAX_NESTING) -> Call | None:
    """Return the call that a frame makes, as `parse` would; None where it is not a usual one."""
    beginning = _BEGINNING.match(frame)
    if beginning is None or not frame.endswith(_END):
        return None
    name, token, expiry = beginning.groups()
    command = _ROWS[name]
    body: dict[str, Any] = {}
    if (token is not None) is not command.of_session or (expiry is not None and command is not _CREATES):
        return None
    if token is not None:
        body[TOKEN] = int(token)
        if body[TOKEN] > MAX_TOKEN:
            return None
    text = frame[beginning.end() : -len(_END)]
    try:
        if expiry is not None:
            body["expiry"] = _expiry(expiry)
        if command.stores_values is None:
            body["keys"] = _names(text) if len(text) <= _REMEMBERED else _decode_names(text)
            return Call(command, body)
        if is_nested_deeper(text, max_nesting - _AROUND):
            return None
        keys = _decode(text)
    except UNREADABLE:
        return None
    if type(keys) is not dict:
        return None
    return Call(command, body, members_as_decoded(text, cast("dict[str, object]", keys)))


_names: Final = lru_cache(maxsize=256)(_decode_names)


@lru_cache(maxsize=256)
def _expiry(text: bytes) -> Mapping[str, Any]:
    """Return how a session is to expire.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError: it is not what the command takes.
    """
    expiry: Any = _decode(text)
    if _CREATES.reject({"expiry": expiry, "keys": {}}) is not None:
        raise msgspec.ValidationError
    return expiry  # type: ignore[no-any-return]  # a dict, as the row has it
