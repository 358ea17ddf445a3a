"""Tasks that may stay unfinished when their event loop stops for good."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


class UnattendedTask(asyncio.Task[T]):
    """An internal task of the client. It stays silent if its loop never runs again.

    If a client is left open, a plain asyncio task prints "Task was destroyed but it is pending!" when the process ends.
    The client's own ResourceWarning is enough.
    """

    def __del__(self) -> None:
        """Omit the message of asyncio."""
