"""Large sessions: dividing keys among frames that the server takes."""

from __future__ import annotations

from collections.abc import Iterable

from ndb_models.errors import PayloadTooLargeError
from ndb_models.wire.commands import MAX_TOKEN, TOKEN, Command
from ndb_models.wire.prepared import Prepared, key_size


def split_by_size(
    model: str, command: Command, keys: Iterable[tuple[str, bytes]], max_payload: int | None
) -> list[dict[str, bytes]]:
    """Return keys, given as (name, text), in their order and in as many parts as it takes for each frame to fit.

    Raises:
        PayloadTooLargeError: one key alone does not fit.
    """
    if max_payload is None:
        return [dict(keys)]
    fixed = len(Prepared(command, {TOKEN: MAX_TOKEN}, {}).to_frame().frame)
    parts: list[dict[str, bytes]] = [{}]
    size = fixed
    for name, text in keys:
        needed = key_size(name, text)
        if fixed + needed > max_payload:
            raise PayloadTooLargeError(f"{model}.{name}", fixed + needed, max_payload, [(name, len(text))])
        if size + needed > max_payload:
            parts.append({})
            size = fixed
        parts[-1][name] = text
        size += needed
    return parts
