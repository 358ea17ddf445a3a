"""The error for a request that is larger than the server takes."""

# Parsed JSON has no types yet.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import Any, Final

import msgspec

from ndb_models.errors import PayloadTooLargeError
from ndb_models.protocol.commands import Command

_NAMED: Final = 3


def too_large(command: Command, frame: bytes, limit: int) -> PayloadTooLargeError:
    """Return the error for a frame that is too large; it names the largest keys."""
    body: dict[str, Any] = msgspec.json.decode(frame)[command.name]
    keys: Any = body.get("keys")
    sizes: dict[str, int] = (
        {name: len(msgspec.json.encode(value)) for name, value in keys.items()} if isinstance(keys, dict) else {}
    )
    largest = sorted(sizes.items(), key=lambda item: item[1], reverse=True)[:_NAMED]
    return PayloadTooLargeError(command.name, len(frame), limit, largest)
