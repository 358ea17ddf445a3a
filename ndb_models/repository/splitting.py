"""Large sessions: dividing keys, and their names, among frames that the server takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from ndb_models.errors import PayloadTooLargeError
from ndb_models.texts import NO_MEMBERS, ObjectText
from ndb_models.wire.commands import MAX_TOKEN, Command
from ndb_models.wire.prepared import Parameters, Prepared, key_size

# More than a frame has besides its keys, and a name besides its characters, of which each is six at the most.
_FRAME: Final = 400
_NAME: Final = 4
_CHARACTER: Final = 6


@lru_cache(maxsize=256)
def _most_bytes(names: tuple[str, ...]) -> int:
    return _FRAME + sum([_NAME + _CHARACTER * len(name) for name in names])


def fits(keys: ObjectText, max_payload: int) -> bool:
    """Tell at a glance whether one frame surely holds these keys and the reserved one."""
    return _FRAME + len(keys.text) <= max_payload


def split_names(
    command: Command, names: tuple[str, ...], always: str | None, max_payload: int | None
) -> Sequence[tuple[str, ...]]:
    """Return names in their order, in as many parts as it takes for each frame to fit, each with `always` too."""
    also = () if always is None else (always,)
    if max_payload is None or _most_bytes(names) <= max_payload:
        return ((*names, *also),)
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
    """Return keys, given as (name, text), in their order and in as many parts as it takes for each frame to fit.

    `prefix` is what the names begin with that is no part of the fields' names.

    Raises:
        PayloadTooLargeError: one key alone does not fit.
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
