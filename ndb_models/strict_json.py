"""Writes JSON strictly: a value that JSON cannot hold, or would change, is refused with its place.

Mappings, sequences, and subclasses of `str`, `int` and `float` are written as objects, arrays, strings and numbers.
"""

# Parsed JSON has no types yet.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from ndb_models.errors import InvalidArgumentError
from ndb_models.raising import raise_without_context

MAX_NESTING: Final = 512
"""The deepest nesting of arrays and objects in a frame. It is well below the limit of Python's own stack."""

_PLAIN: Final = frozenset({str, int, bool, type(None)})

# A parameter, and the names and indexes that lead to a value in it.
_Path: TypeAlias = tuple[object, ...]


def _plain(value: object) -> object:
    """Turn a value that the encoder does not know into a plain one. `_require_json` has refused all other types."""
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
        InvalidArgumentError: `body` holds a value that is not JSON; the message gives its place, and not the value.
    """
    for param, value in body.items():
        if type(value) not in _PLAIN:
            _require_json(value, param)
    try:
        return _encode({name: body})
    except (UnicodeEncodeError, ValueError):
        raise_without_context(InvalidArgumentError(_why_not(body)))


def _require_json(value: object, name: str) -> None:
    waiting: list[tuple[Any, _Path, int]] = [(value, (name,), 3)]  # the frame and the parameters are two levels
    while waiting:
        value, path, depth = waiting.pop()
        if depth > MAX_NESTING:
            raise InvalidArgumentError(f"{_shown(path)[:80]}...: nested deeper than {MAX_NESTING} levels")
        for place, item in _members(value, path):
            kind = type(item)
            if kind not in _PLAIN and not (kind is float and math.isfinite(item)):
                waiting.append((item, (*path, place), depth + 1))


def _shown(path: _Path) -> str:
    name, *places = path
    return f"{name}{''.join(f'[{place!r}]' for place in places)}"


def _members(value: Any, path: _Path) -> Iterable[tuple[object, Any]]:
    """Return the items of an array or an object, as (index or name, item); none for other JSON values.

    Raises:
        InvalidArgumentError: the value is not JSON.
    """
    kind = type(value)
    if kind is list or kind is tuple:
        return enumerate(value)
    if kind is dict or isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise InvalidArgumentError(
                    f"{_shown(path)}: the names in a JSON object are strings, and one here is of type"
                    f" {type(name).__name__}"
                )
        items: Iterable[tuple[object, Any]] = value.items()
        return items
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgumentError(f"{_shown(path)}: JSON has no NaN and no infinity")
        return ()
    if value is None or isinstance(value, (str, int)):
        return ()
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return enumerate(value)
    raise InvalidArgumentError(
        f"{_shown(path)}: a value of type {kind.__name__} is not JSON; store a str, int, float, bool, None, list or"
        " dict"
    )


def _why_not(body: Mapping[str, object]) -> str:
    """Return which string or number cannot be written, and why."""
    waiting: list[tuple[object, _Path]] = [(value, (name,)) for name, value in body.items()]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, (str, int, float)):
            try:
                _encode(value)
            except UnicodeEncodeError:
                return f"{_shown(path)}: a string holds a lone surrogate, which UTF-8 cannot encode"
            except ValueError:
                return f"{_shown(path)}: the integer has too many digits"
            continue
        for place, item in _members(value, path):
            try:
                _encode(place)
            except UnicodeEncodeError:
                return f"{_shown(path)}: a name holds a lone surrogate, which UTF-8 cannot encode"
            waiting.append((item, (*path, place)))
    return "it cannot be written as JSON"
