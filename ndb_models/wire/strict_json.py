"""Writing JSON strictly: what JSON cannot hold, or would hold as something else, is refused by where it stands.

Mappings, sequences, and subclasses of `str`, `int` and `float` are written as what they are.
"""

# JSON that is being looked at has no types yet.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ndb_models.errors import InvalidArgumentError
from ndb_models.raising import raise_without_context

MAX_NESTING: Final = 512
"""How deep arrays and objects may be nested in a frame. Well below what Python's own stack takes."""

_PLAIN: Final = frozenset({str, int, bool, type(None)})


def _plain(value: object) -> object:
    """Turn what the encoder does not know into what it does. `_require_json` lets nothing else pass."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return dict(value)
    assert isinstance(value, Sequence)
    return list(value)


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


def encode_command(name: str, body: Mapping[str, object]) -> bytes:
    """Return the JSON text of `{name: body}`.

    Raises:
        InvalidArgumentError: `body` holds something that is not JSON; the message says where, and not what.
    """
    for param, value in body.items():
        if type(value) not in _PLAIN:
            _require_json(value, param)
    try:
        return _encode({name: body})
    except (UnicodeEncodeError, ValueError):
        raise_without_context(InvalidArgumentError(_why_not(body)))


def _require_json(value: object, path: str) -> None:
    waiting: list[tuple[Any, str, int]] = [(value, path, 3)]  # the frame and the parameters are two levels
    while waiting:
        value, path, depth = waiting.pop()
        if depth > MAX_NESTING:
            raise InvalidArgumentError(f"{path[:80]}...: nested deeper than {MAX_NESTING} levels")
        for place, item in _members(value, path):
            if type(item) not in _PLAIN:
                waiting.append((item, f"{path}[{place!r}]", depth + 1))


def _members(value: Any, path: str) -> Iterable[tuple[object, object]]:
    """Return what an array or an object holds, as (index or name, item); nothing for what holds nothing."""
    kind = type(value)
    if kind is list or kind is tuple:
        return enumerate(value)
    if kind is dict or isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise InvalidArgumentError(
                    f"{path}: the names in a JSON object are strings, and one here is of type {type(name).__name__}"
                )
        items: Iterable[tuple[object, object]] = value.items()
        return items
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgumentError(f"{path}: JSON has no NaN and no infinity")
        return ()
    if value is None or isinstance(value, (str, int)):
        return ()
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return enumerate(value)
    raise InvalidArgumentError(
        f"{path}: a value of type {kind.__name__} is not JSON; store a str, int, float, bool, None, list or dict"
    )


def _why_not(body: Mapping[str, object]) -> str:
    """Return which string or number cannot be written, and why."""
    waiting: list[tuple[object, str]] = [(value, name) for name, value in body.items()]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, (str, int, float)):
            try:
                _encode(value)
            except UnicodeEncodeError:
                return f"{path}: a string holds a lone surrogate, which UTF-8 cannot encode"
            except ValueError:
                return f"{path}: the integer has too many digits"
            continue
        for place, item in _members(value, path):
            try:
                _encode(place)
            except UnicodeEncodeError:
                return f"{path}: a name holds a lone surrogate, which UTF-8 cannot encode"
            waiting.append((item, f"{path}[{place!r}]"))
    return "it cannot be written as JSON"
