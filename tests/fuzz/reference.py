"""What the protocol asks of an answer, said a second time: by Python's own JSON, and the rows of the table.

Nothing here is shared with the engine but the table of commands, which says what is right.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ndb_models.protocol.commands import COMMANDS, TOKEN, UNKNOWN_COMMAND, Command, Param, ParamType
from ndb_models.strict_json import MAX_NESTING

# Python's own limit, with the sign counted.
_LONGEST_INTEGER: Final = 4300

_OK: Final = frozenset({1})
_SESSION: Final = frozenset({1, 100})
_SAVED: Final = frozenset({121, 123})
_LOADED: Final = frozenset({141, 142})

# What may become of a request that fits its command. 1000, which a fault of the engine's own would get too, is what
# NemesisDB answers to appending to what is no array.
_OUTCOMES: Final[Mapping[str, frozenset[int]]] = {
    **{name: _SESSION if command.of_session else _OK for name, command in COMMANDS.items()},
    "KV_FIND": frozenset({1, 4}),
    "KV_UPDATE": frozenset({1, 4, 22, 42}),
    "KV_ARR_APPEND": frozenset({1, 22, 42, 1000}),
    "SH_NEW_SET": frozenset({1, 103}),
    "KV_SAVE": _SAVED,
    "SH_SAVE": _SAVED,
    "KV_LOAD": _LOADED,
    "SH_LOAD": _LOADED,
}

# What an answer that says success holds besides its status, by the end of the command's name.
_HOLDS: Final[Mapping[str, Mapping[str, type]]] = {
    "GET": {"keys": dict},
    "CLEAR": {"cnt": int},
    "CLEAR_SET": {"cnt": int},
    "COUNT": {"cnt": int},
    "CONTAINS": {"contains": list},
    "KEYS": {"keys": list},
    "UPDATE": {"cnt": int},
    "NEW": {TOKEN: int},
    "PEEK": {"keys": dict},
    "EXPIRE": {"done": bool},
    "END": {TOKEN: int},
    "END_ALL": {"cnt": int},
    "EXISTS": {"exist": list},
    "INFO_ALL": {"totalSessions": int, "totalKeys": int},
    "SAVE": {"name": str, "duration": int},
    "LOAD": {"name": str, "keys": int, "sessions": int},
}


@dataclass(frozen=True)
class Expected:
    """The answer that a frame may get: its name, and its status."""

    name: str
    statuses: frozenset[int]
    command: Command | None = None

    def why_not(self, answer: bytes) -> str | None:
        """Return what is wrong with an answer; None where nothing is."""
        try:
            decoded = json.loads(answer.decode(), parse_constant=_refuse)
        except ValueError:
            return "it is not JSON"
        if not isinstance(decoded, dict) or list(decoded) != [self.name]:
            return f"it is not named {self.name}"
        body = decoded[self.name]
        if not isinstance(body, dict) or type(body.get("st")) is not int:
            return "it has no status"
        if body["st"] not in self.statuses:
            return f"its status is none of {sorted(self.statuses)}"
        if self.command is None or body["st"] != self.command.success:
            return None
        holds = _HOLDS.get(self.command.name.partition("_")[2], {})
        wrong = [name for name, kind in holds.items() if type(body.get(name)) is not kind]
        return f"it lacks {wrong}" if wrong else None


class _Members(list[tuple[str, Any]]):
    """An object as its members, those too that are named again later."""


def expected_for(frame: bytes) -> Expected:
    """Return what a text frame has to be answered."""
    try:
        members = _parsed(frame)
    except (ValueError, RecursionError):
        return _refused(UNKNOWN_COMMAND, 3)
    request = dict(members) if isinstance(members, _Members) else {}
    if len(request) != 1:
        return _refused(UNKNOWN_COMMAND, 13)
    ((name, inside),) = request.items()
    command = COMMANDS.get(name)
    if not isinstance(inside, _Members):
        return _refused(name, 13)
    if command is None:
        return _unknown(name)
    body = dict(inside)
    status = _status_of(command.params, body) or _status_of_checks(command, body)
    status = status or _status_of_token(command, body)
    return Expected(f"{name}_RSP", _OUTCOMES[name], command) if status is None else _refused(name, status)


def _refused(name: str, status: int) -> Expected:
    return Expected(name if name == UNKNOWN_COMMAND else f"{name}_RSP", frozenset({status}))


def _unknown(name: str) -> Expected:
    if "_" not in name:
        return _refused(name, 13)
    return _refused(UNKNOWN_COMMAND if name.startswith("KV_") else name, 10)


def _parsed(frame: bytes) -> Any:
    text = frame.decode().removeprefix("\ufeff")
    if text.count("[") + text.count("{") > MAX_NESTING and _levels(text) > MAX_NESTING:
        raise ValueError("too deep")
    value = json.loads(
        text, object_pairs_hook=_Members, parse_constant=_refuse, parse_float=_finite, parse_int=_integer
    )
    _see_that_it_can_be_kept(value)
    return value


def _levels(text: str) -> int:
    """Count how deep brackets are nested outside of strings, whether or not the text is JSON."""
    depth = deepest = 0
    inside = escaped = False
    for letter in text:
        if escaped:
            escaped = False
        elif inside:
            escaped, inside = letter == "\\", letter != '"'
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    return deepest


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("beyond a double")
    return value


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError("too many digits")
    return int(text)


def _see_that_it_can_be_kept(value: Any) -> None:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                text.encode()  # refuses lone surrogates
            case _Members() as members:
                waiting.extend(part for member in members for part in member)
            case list() as items:
                waiting.extend(items)


def _status_of(params: tuple[Param, ...], body: Mapping[str, Any]) -> int | None:
    for param in params:
        if param.name not in body:
            if param.required:
                return 26
            continue
        value = body[param.name]
        if not _fits(param.kind, value):
            return 41
        if param.of_texts and not all(isinstance(text, str) for text in dict(value).values()):
            return 41
        status = _status_of(param.inner, dict(value)) if param.inner else None
        if status is not None:
            return status
    return None


def _fits(kind: ParamType, value: Any) -> bool:
    match kind:
        case ParamType.ANY:
            return True
        case ParamType.STRING:
            return isinstance(value, str)
        case ParamType.BOOL:
            return isinstance(value, bool)
        case ParamType.UINT:
            return _is_unsigned(value)
        case ParamType.ARRAY:
            return isinstance(value, list) and not isinstance(value, _Members)
        case ParamType.OBJECT:
            return isinstance(value, _Members)


def _is_unsigned(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64


def _status_of_checks(command: Command, body: Mapping[str, Any]) -> int | None:
    for check in command.checks:
        given = body.get(check.param)
        if check.param in body and not check.holds(dict(given) if isinstance(given, _Members) else given):
            return int(check.status)
    return None


def _status_of_token(command: Command, body: Mapping[str, Any]) -> int | None:
    if not command.of_session:
        return None
    if command.name == "SH_INFO" and len(body) != 1:
        return 13
    return None if _is_unsigned(body.get(TOKEN)) else 100
