"""Attempts at a change that others may come before, and the pauses between them."""

from __future__ import annotations

import asyncio
import random
from typing import Final

ATTEMPTS: Final = 100
"""The attempts at a change before it is given up. Of those that collide, one succeeds each time."""

# Seconds before the next attempt: chosen at random up to a bound that doubles from the first to the second.
_SHORTEST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.25


async def pause(attempts: int) -> None:
    """Wait before the next attempt, longer after more of them. After the first there is no wait."""
    if attempts > 1:
        await asyncio.sleep(random.uniform(0, min(_SHORTEST_PAUSE * 2**attempts, _LONGEST_PAUSE)))
