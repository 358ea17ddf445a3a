"""Frames: a request as the bytes of a text frame, and an answer as what it names and holds.

Writing is strict: what JSON cannot hold, or would hold as something else (names that are not strings, NaN, dates), is
refused with the path to it, and nothing is written.
"""

# JSON that is being taken apart has no types yet.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ndb_models.errors import InvalidArgumentError, ProtocolError
from ndb_models.types import JsonValue
from ndb_models.wire.commands import Command

MAX_NESTING: Final = 512
"""How deep arrays and objects may be nested in a frame. Well below what Python's own stack takes."""


def _plain(value: object) -> object:
    """Turn a mapping or a sequence that the encoder does not know into one that it does."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise NotImplementedError  # _require_json lets nothing else pass


_encode = msgspec.json.Encoder(enc_hook=_plain).encode
_decode = msgspec.json.Decoder().decode

_PLAIN: Final = frozenset({str, int, bool, type(None)})


def encode_request(command: Command, body: Mapping[str, object]) -> bytes:
    """Return the text frame of a request.

    Raises:
        InvalidArgumentError: `body` holds something that is not JSON; the message says where.
    """
    for name, value in body.items():
        if type(value) not in _PLAIN:
            _require_json(value, name, 3)
    try:
        return _encode({command.name: body})
    except UnicodeEncodeError:
        raise InvalidArgumentError("a string holds a lone surrogate, which UTF-8 cannot encode") from None


def _require_json(value: Any, path: str, depth: int) -> None:
    """Refuse what JSON cannot hold. `path` and `depth` say where in the frame the value stands."""
    if depth > MAX_NESTING:
        raise InvalidArgumentError(f"{path[:80]}...: nested deeper than {MAX_NESTING} levels")
    kind = type(value)
    if kind is list or kind is tuple:
        _require_json_items(value, path, depth)
    elif kind is dict or isinstance(value, Mapping):
        for name, item in value.items():
            if not isinstance(name, str):
                raise InvalidArgumentError(
                    f"{path}: the names in a JSON object are strings, and one here is of type {type(name).__name__}"
                )
            if type(item) not in _PLAIN:
                _require_json(item, f"{path}[{name!r}]", depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgumentError(f"{path}: JSON has no NaN and no infinity")
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview)):
        _require_json_items(value, path, depth)
    elif not isinstance(value, (str, int)):
        raise InvalidArgumentError(
            f"{path}: a value of type {kind.__name__} is not JSON; store a str, int, float, bool, None, list or dict"
        )


def _require_json_items(value: Sequence[Any], path: str, depth: int) -> None:
    for index, item in enumerate(value):
        if type(item) not in _PLAIN:
            _require_json(item, f"{path}[{index}]", depth + 1)


def name_of(frame: bytes) -> str | None:
    """Return the name of an answer, or None where the frame is none."""
    try:
        answer = _decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return next(iter(answer)) if isinstance(answer, dict) and len(answer) == 1 else None


def decode_answer(frame: bytes) -> dict[str, JsonValue]:
    """Return what an answer holds: the object under its one name.

    Raises:
        ProtocolError: the frame is not such an object, or has no status.
    """
    try:
        answer = _decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ProtocolError("the server's answer is not JSON that can be read") from exc
    if isinstance(answer, dict) and len(answer) == 1:
        (body,) = answer.values()
        if isinstance(body, dict) and type(body.get("st")) is int:
            return body
    raise ProtocolError("the server's answer is not an object with one name and a status")
