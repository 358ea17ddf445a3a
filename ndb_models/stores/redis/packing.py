"""Commands as Redis' protocol has them."""

from __future__ import annotations

from typing import Any, TypeAlias

import hiredis

Part: TypeAlias = bytes | str | int


def packed(*parts: Part) -> bytes:
    """Return a command with its arguments as the bytes to send."""
    given: Any = parts  # its stubs know of one argument only
    command: bytes = hiredis.pack_command(given)
    return command
