"""Commands as Redis' protocol has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import hiredis

Part: TypeAlias = bytes | str | int

# Its own stubs know of commands without arguments only.
_pack: Final[Callable[[tuple[Part, ...]], bytes]] = getattr(hiredis, "pack_command")  # noqa: B009


def packed(*parts: Part) -> bytes:
    """Return a command with its arguments as the bytes to send."""
    return _pack(parts)
