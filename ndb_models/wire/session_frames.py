"""The frames of a session's keys as text, for those who have the JSON and want no objects made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from ndb_models.errors import ProtocolError
from ndb_models.types import SessionToken
from ndb_models.wire.commands import MAX_TOKEN, Command
from ndb_models.wire.statuses import Status


class _Answer(msgspec.Struct):
    st: int
    keys: dict[str, msgspec.Raw] = {}


_decode = msgspec.json.Decoder(dict[str, _Answer]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class KeysAnswer:
    """An answer to `SH_GET`, its values as their JSON text."""

    status: int
    keys: Mapping[str, bytes] = field(repr=False)


def join_keys(keys: Mapping[str, bytes]) -> bytes:
    """Return the JSON object of these names and texts."""
    return _encode({name: msgspec.Raw(text) for name, text in keys.items()})


def split_keys(text: bytes) -> dict[str, bytes]:
    """Return the texts of a JSON object's members."""
    return {name: bytes(value) for name, value in msgspec.json.decode(text, type=dict[str, msgspec.Raw]).items()}


def write_request(command: Command, token: SessionToken, keys: Mapping[str, bytes]) -> bytes:
    """Return the frame that writes keys (`SH_SET`, `SH_ADD`), in their order."""
    return b'{"%s":{"tkn":%d,"keys":%s}}' % (command.name.encode(), token, join_keys(keys))


def read_request(command: Command, token: SessionToken, names: Sequence[str]) -> bytes:
    """Return the frame that reads keys (`SH_GET`)."""
    return b'{"%s":{"tkn":%d,"keys":%s}}' % (command.name.encode(), token, _encode(names))


def keys_answer(frame: bytes) -> KeysAnswer:
    """Return what an answer to `SH_GET` holds.

    Raises:
        ProtocolError: it is not one.
    """
    try:
        (answer,) = _decode(frame).values()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise ProtocolError("the server's answer to SH_GET has no status and keys") from exc
    return KeysAnswer(answer.st, {name: bytes(text) for name, text in answer.keys.items()})


def is_no_session(status: int) -> bool:
    """Tell whether a status says that there is no such session."""
    return status == Status.SESSION_NOT_EXIST


def overhead(command: Command) -> int:
    """Return how many bytes the frame of a write has at the most, besides its keys."""
    return len(b'{"%s":{"tkn":%d,"keys":{}}}' % (command.name.encode(), MAX_TOKEN))


def key_size(name: str, text: bytes) -> int:
    """Return how many bytes a key takes in a frame, with the comma before it."""
    return len(_encode(name)) + 1 + len(text) + 1
