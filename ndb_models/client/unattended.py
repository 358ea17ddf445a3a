"""Tasks that may be left where they are when an event loop stops for good: nobody waits for them."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


class UnattendedTask(asyncio.Task[T]):
    """A task of the client's own. It prints nothing if its loop never runs again.

    A task of asyncio would print "Task was destroyed but it is pending!" at the end of the process, for a client that
    was left open. That has a ResourceWarning, which is enough.
    """

    def __del__(self) -> None:
        """Say nothing."""
