"""Tasks that may stay unfinished when their event loop stops for good."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


class UnattendedTask(asyncio.Task[T]):
    """An internal task of the client. It stays silent if its loop never runs again.

    For a client that was left open, a plain asyncio task would print "Task was destroyed but it is pending!" at the end
    of the process. The client's own ResourceWarning is enough.
    """

    def __del__(self) -> None:
        """Omit the message of asyncio."""
