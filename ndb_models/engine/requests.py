"""Read a request: from the bytes of a frame to a command of the table with parameters that fit it.

A value that cannot be kept exactly as it came is refused here, before any handler sees it. This covers JSON outside RFC
8259, numbers beyond a double or Python's integers, lone surrogates, and nesting beyond `MAX_NESTING`.

If an object repeats a name, the last one counts, at every level: a command, a parameter, a key. Nearly every JSON
parser does the same (`json.loads`, `JSON.parse`). So a proxy that checks requests sees the request that is carried out.
"""

# Decoded JSON has no types yet.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import msgspec

from ndb_models import garbage
from ndb_models.errors import NdbError
from ndb_models.json_text import (
    UNREADABLE,
    containers_exceed,
    is_nested_deeper,
    members_of,
    nesting_exceeds,
    taking_apart,
)
from ndb_models.protocol.commands import COMMANDS, TOKEN, UNKNOWN_COMMAND, Command, ParamType, is_token
from ndb_models.protocol.statuses import Status
from ndb_models.strict_json import MAX_NESTING
from ndb_models.types import SessionToken, settings_in

_BOM: Final = b"\xef\xbb\xbf"
MAX_VALUE_NESTING: Final = MAX_NESTING - 3
"""How deep a value may be nested. An answer or a data set around it then stays within `MAX_NESTING`."""

_STORED_TYPES: Final = {
    command.name: param.kind
    for command in COMMANDS.values()
    for param in command.params
    if param.name == command.stores_values
}
"""The type of the parameter that is kept as text, for each command that has one."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request that fits its command.

    Attributes:
        command: the row of the table.
        body: the parameters by name, without those below. Of an array of names, only the strings are left, as a tuple.
            An `expiry` is `ExpirySettings`.
        values: the parameter that is kept as JSON text, if there is one. An object is kept as the texts of its members,
            by name. An array or any other value is kept as one text.
        tkn: the session's token, for a command of a session.
    """

    command: Command
    body: dict[str, Any]
    values: Any = None
    tkn: SessionToken | None = None

    def __repr__(self) -> str:
        return f"Request({self.command.name})"


class RefusedError(NdbError):
    """A request is refused. Attributes: `name`, that of the answer without its `_RSP`; `status`; `message`."""

    def __init__(self, name: str, status: Status, message: str = "") -> None:
        self.name = name
        self.status = status
        self.message = message
        super().__init__(f"{name}: {message or status.name}")


_decode = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def parse(frame: bytes, max_nesting: int = MAX_NESTING) -> Request:
    """Return the request in a frame.

    Raises:
        RefusedError: the frame is not a valid request. The error holds the answer.
    """
    frame = frame.removeprefix(_BOM)
    if is_nested_deeper(frame, max_nesting):
        raise _too_deep(max_nesting)
    command, body = _fitting(_decoded(frame))
    raw = _stored_in(command, frame)
    if raw is None:
        return _request(command, body)
    del body[str(command.stores_values)]
    values = members_of(raw) if _is_object(command) else bytes(raw)
    return _request(command, body, values)


def parsing(frame: bytes, max_nesting: int, max_containers: int) -> Generator[None, None, Request]:
    """Work as `parse` for a large frame, and yield wherever the work may be interrupted.

    `max_containers` limits the arrays and objects in the frame, because decoding them is one step.
    """
    frame = frame.removeprefix(_BOM)
    if (yield from nesting_exceeds(frame, max_nesting)):
        raise _too_deep(max_nesting)
    if (yield from containers_exceed(frame, max_containers)):
        raise RefusedError(
            UNKNOWN_COMMAND, Status.JSON_INVALID, f"there are more than {max_containers} arrays and objects"
        )
    with garbage.set_aside(frame):
        decoded = _decoded(frame)
        yield
        command, body = _fitting(decoded)
        # Only the text is kept. The decoded value may take forty times the memory.
        del decoded
        if command.stores_values is not None:
            body.pop(command.stores_values, None)
    yield
    raw = _stored_in(command, frame)
    if raw is None:
        return _request(command, body)
    return _request(command, body, (yield from taking_apart(raw)) if _is_object(command) else bytes(raw))


def _fitting(request: Any) -> tuple[Command, dict[str, Any]]:
    """Return the command in a decoded frame, and all its parameters."""
    if type(request) is not dict or len(request) != 1:
        raise RefusedError(UNKNOWN_COMMAND, Status.COMMAND_SYNTAX, "a request is an object that names one command")
    ((name, body),) = request.items()
    command = COMMANDS.get(name)
    if type(body) is not dict:
        raise RefusedError(name, Status.COMMAND_SYNTAX, "the command's parameters are an object")
    if command is None:
        raise _unknown(name)
    rejection = command.reject(body)
    if rejection is not None:
        raise RefusedError(name, *rejection)
    if name == "SH_INFO" and len(body) != 1:
        raise RefusedError(name, Status.COMMAND_SYNTAX, "'tkn' stands alone")
    return command, body


def _request(command: Command, body: dict[str, Any], values: Any = None) -> Request:
    """Return a request with parameters of the types that handlers take. A token that cannot be one is None."""
    tkn = body.pop(TOKEN, None) if command.of_session else None
    for param in command.params:
        given = body.get(param.name)
        if param.of_strings and given is not None:
            body[param.name] = tuple([name for name in given if type(name) is str])
        elif param.inner:
            body[param.name] = settings_in(given)
    return Request(command, body, values, tkn if is_token(tkn) else None)


def _is_object(command: Command) -> bool:
    return _STORED_TYPES[command.name] is ParamType.OBJECT


def _stored_in(command: Command, frame: bytes) -> msgspec.Raw | None:
    """Return the text of the stored parameter; None if the command has no such parameter, or it was not given."""
    name = command.stores_values
    return None if name is None else _decode_members(_decode_members(frame)[command.name]).get(name)


def parse_json(text: bytes, max_nesting: int = MAX_NESTING) -> Any:
    """Return the value of a JSON text that can be kept exactly.

    Raises:
        RefusedError: the text is not JSON, or cannot be kept exactly.
    """
    if is_nested_deeper(text, max_nesting):
        raise _too_deep(max_nesting)
    return _decoded(text)


def _too_deep(max_nesting: int) -> RefusedError:
    return RefusedError(UNKNOWN_COMMAND, Status.JSON_INVALID, f"nested deeper than {max_nesting} levels")


def _decoded(text: bytes) -> Any:
    try:
        if len(text) < garbage.LARGE:
            return _decode(text)
        with garbage.paused(text):
            return _decode(text)
    except UNREADABLE:
        raise RefusedError(UNKNOWN_COMMAND, Status.JSON_INVALID) from None


def _unknown(name: str) -> RefusedError:
    """Refuse an unknown command as NemesisDB does: under its own name, or for `KV_*` as `UNKNOWN_COMMAND`.

    A name without a prefix is a syntax error.
    """
    prefix, underscore, _ = name.partition("_")
    if not underscore:
        return RefusedError(name, Status.COMMAND_SYNTAX)
    return RefusedError(UNKNOWN_COMMAND if prefix == "KV" else name, Status.COMMAND_NOT_EXIST)
