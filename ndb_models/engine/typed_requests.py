"""Decode requests by the types in the command table.

Each row of the table becomes a msgspec struct. A frame that fits its struct is decoded here. Any other frame goes to
`parse`, which explains a refusal as NemesisDB does, and knows the rarer ways to write a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec.structs import asdict

from ndb_models.engine.requests import Request
from ndb_models.json_text import UNREADABLE, is_nested_deeper, members_as_decoded
from ndb_models.protocol.commands import COMMANDS, MAX_TOKEN, TOKEN, Command, Param, ParamType
from ndb_models.strict_json import MAX_NESTING
from ndb_models.types import LONGEST_PAUSE, NEVER, ExpirySettings, shared_settings

_NAME_START: Final = len('{"')
_PYTHON_TYPES: Final[Mapping[ParamType, Any]] = {
    ParamType.ANY: msgspec.Raw,
    ParamType.STRING: str,
    ParamType.BOOL: bool,
    ParamType.UINT: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)],  # msgspec takes no larger bound
    ParamType.ARRAY: list[Any],
    ParamType.OBJECT: dict[str, Any],
}

_decode_any = msgspec.json.Decoder().decode


class _Row(NamedTuple):
    """The decoder for a command's frames, and the parameter that is kept as text."""

    command: Command
    decode: Callable[[bytes], Any]
    stored: str | None
    stored_type: type
    has_expiry: bool


def _struct(name: str, fields: list[tuple[str, Any] | tuple[str, Any, Any]], **options: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, gc=False, **options)


def _fields(params: tuple[Param, ...], stored: str | None) -> list[tuple[str, Any] | tuple[str, Any, Any]]:
    """Return the fields of a struct. A missing optional parameter is None; no frame can give None itself."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for param in params:
        kind = _PYTHON_TYPES[param.kind]
        if param.name == stored:
            kind = msgspec.Raw
        elif param.inner:
            kind = _struct(param.name, _fields(param.inner, None))
        elif param.of_strings:
            kind = tuple[str, ...]
        elif param.of_texts:
            kind = dict[str, str]
        fields.append((param.name, kind) if param.required else (param.name, kind, None))
    return sorted(fields, key=len)  # fields with defaults come last


def _row(command: Command) -> _Row:
    token: list[tuple[str, Any] | tuple[str, Any, Any]] = [(TOKEN, int)] if command.of_session else []
    body = _struct(command.name, [*token, *_fields(command.params, command.stores_values)])
    frame = _struct("Frame", [("body", body)], rename={"body": command.name})
    (stored_type,) = {
        param.kind.python_type or object for param in command.params if param.name == command.stores_values
    } or {object}
    return _Row(
        command,
        msgspec.json.Decoder(frame).decode,
        command.stores_values,
        stored_type,
        any(param.inner for param in command.params),
    )


# A command is left out if it checks the parameter that is kept as text: the check needs the decoded value.
_ROWS: Final = {
    command.name.encode(): _row(command)
    for command in COMMANDS.values()
    if not any(check.param == command.stores_values for check in command.checks)
}


def _kept(text: bytes, kind: type) -> Mapping[str, bytes] | bytes | None:
    """Return a value as it is kept; None if it has the wrong type. Decoding it validates its numbers and strings."""
    value: Any = _decode_any(text)
    if kind is dict:
        return members_as_decoded(text, value) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownArgumentType]  # JSON has no types yet
    return text if isinstance(value, kind) else None


def typed_request(frame: bytes, max_nesting: int = MAX_NESTING) -> Request | None:
    """Return the request in a frame, as `parse` would; None if `parse` must read it."""
    row = _ROWS.get(frame[_NAME_START : frame.find(b'"', _NAME_START)])
    if row is None or is_nested_deeper(frame, max_nesting):
        return None
    command, decode, stored, stored_type, has_expiry = row
    values = None
    try:
        given = decode(frame).body
        body = asdict(given)
        if stored is not None:
            values = _kept(bytes(body.pop(stored)), stored_type)
            if values is None:
                return None
    except UNREADABLE:  # the careful parser explains why
        return None
    tkn = None
    if command.of_session:
        tkn = body.pop(TOKEN)
        if not 0 <= tkn <= MAX_TOKEN:
            return None
    if has_expiry:
        body["expiry"] = _settings(given.expiry)
    for check in command.checks:
        if body[check.param] is not None and not check.holds(body[check.param]):
            return None
    return Request(command, body, values, tkn)


def _settings(given: Any) -> ExpirySettings:
    if given is None:
        return NEVER
    deletes, on_set_add, on_get = (
        flag or False for flag in (given.deleteSession, given.extendOnSetAdd, given.extendOnGet)
    )
    return shared_settings(given.duration, deletes, on_set_add, on_get, min(given.touchEvery or 0, LONGEST_PAUSE))
