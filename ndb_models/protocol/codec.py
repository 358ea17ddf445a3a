"""Decodes answers: their names and their bodies."""

# Parsed JSON has no types yet.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import msgspec

from ndb_models.errors import ProtocolError
from ndb_models.json_text import UNREADABLE, is_nested_deeper
from ndb_models.raising import raise_without_context
from ndb_models.strict_json import MAX_NESTING
from ndb_models.types import JsonValue

_decode = msgspec.json.Decoder().decode


def name_of(frame: bytes) -> str | None:
    """Return the name of an answer, or None if the frame is not an answer."""
    if is_nested_deeper(frame, MAX_NESTING):
        return None
    try:
        answer = _decode(frame)
    except UNREADABLE:
        return None
    return next(iter(answer)) if isinstance(answer, dict) and len(answer) == 1 else None


def decode_answer(frame: bytes) -> dict[str, JsonValue]:
    """Return the body of an answer: the object under its one name.

    Raises:
        ProtocolError: the frame is not such an object, has no status, or is nested too deep.
    """
    if is_nested_deeper(frame, MAX_NESTING):
        raise ProtocolError(f"the server's answer is nested deeper than {MAX_NESTING} levels")
    try:
        answer = _decode(frame)
    except UNREADABLE:
        raise_without_context(ProtocolError("the server's answer is not JSON that can be read"))
    if isinstance(answer, dict) and len(answer) == 1:
        (body,) = answer.values()
        if isinstance(body, dict) and type(body.get("st")) is int:
            return body
    raise ProtocolError("the server's answer is not an object with one name and a status")
