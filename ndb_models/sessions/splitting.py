"""Large sessions: dividing keys, and their names, among frames that the server takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from ndb_models.errors import PayloadTooLargeError
from ndb_models.json_text import NO_MEMBERS, ObjectText, and_last
from ndb_models.protocol.commands import MAX_TOKEN, Command
from ndb_models.protocol.prepared import Conditions, Parameters, Prepared, key_size

# Upper bounds in bytes: a frame besides its keys, a name besides its characters, and a character.
_FRAME: Final = 400
_NAME: Final = 4
_CHARACTER: Final = 6


@lru_cache(maxsize=256)
def _most_bytes(names: tuple[str, ...]) -> int:
    return _FRAME + sum([_NAME + _CHARACTER * len(name) for name in names])


def fits(keys: ObjectText, max_payload: int) -> bool:
    """Return True if one frame surely holds these keys and the reserved one. A quick test."""
    return _FRAME + len(keys.text) <= max_payload


def most_bytes(keys: ObjectText, conditions: Conditions) -> int:
    """Return an upper bound of the size of a frame with these keys, the reserved one and these conditions."""
    return _FRAME + len(keys.text) + len(conditions.text)


def split_names(
    command: Command, names: tuple[str, ...], always: str | None, max_payload: int | None
) -> Sequence[tuple[str, ...]]:
    """Return names in order, in as many parts as needed for each frame to fit. Each part has `always` too."""
    also = () if always is None else (always,)
    if max_payload is None or _most_bytes(names) <= max_payload:
        return (names if always is None else and_last(names, always),)
    fixed = len(Prepared(command, MAX_TOKEN, Parameters(keys=also)).to_frame().frame)
    parts: list[list[str]] = [[]]
    size = fixed
    for name in names:
        needed = key_size(name, b"")
        if size + needed > max_payload and parts[-1]:
            parts.append([])
            size = fixed
        parts[-1].append(name)
        size += needed
    return tuple([(*part, *also) for part in parts])


def split_by_size(
    model: str, command: Command, keys: Iterable[tuple[str, bytes]], max_payload: int, *, prefix: str = ""
) -> list[dict[str, bytes]]:
    """Return keys, given as (name, text), in order, in as many parts as needed for each frame to fit.

    `prefix` is the start of the names that does not belong to the fields' names.

    Raises:
        PayloadTooLargeError: a single key does not fit.
    """
    fixed = len(Prepared(command, MAX_TOKEN, values=ObjectText(NO_MEMBERS)).to_frame().frame)
    parts: list[dict[str, bytes]] = [{}]
    size = fixed
    for name, text in keys:
        needed = key_size(name, text)
        if fixed + needed > max_payload:
            field = f"{model}.{name.removeprefix(prefix)}"
            raise PayloadTooLargeError(field, fixed + needed, max_payload, [(name, len(text))])
        if size + needed > max_payload:
            parts.append({})
            size = fixed
        parts[-1][name] = text
        size += needed
    return parts
