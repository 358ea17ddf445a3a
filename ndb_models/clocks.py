"""The default clocks of the package. Tests move the time here, and nowhere else.

`wall_clock`, `monotonic_clock`, `sleep` and `block` are the defaults of stores, repositories and watches. `follow` has
them all follow another time, whenever their users were made. The timeouts of connections and the limits of the server
keep to the real time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from weakref import ReferenceType, ref

from ndb_models.types import Clock

Sleep: TypeAlias = Callable[[float], Awaitable[object]]
"""Waits for a number of seconds."""

# A partial: the function that it calls can be replaced, and it adds only 20 ns to a read.
wall_clock: Final = partial(time.time)
"""Returns the time in seconds since 1970."""

monotonic_clock: Final = partial(time.monotonic)
"""Returns the time in seconds since some moment in the past."""


class Times(NamedTuple):
    """A time to follow: two clocks, and two ways to wait by them."""

    wall: Clock
    monotonic: Clock
    sleep: Sleep
    block: Callable[[float], object]


SYSTEM: Final = Times(time.time, time.monotonic, asyncio.sleep, time.sleep)
"""The time of the system, the default."""

_followed = SYSTEM

# By id: a dict is copied in one step, even while other threads add to it.
_deferring: Final[dict[int, ReferenceType[Deferring]]] = {}


class Deferring(Protocol):
    """Defers work by a short real time. A clock that is moved in between would miss it."""

    async def flush_deferred(self) -> None:
        """Do the deferred work now. Called in another thread."""


def defers(each: Deferring) -> None:
    """Await `flush_deferred` of this object before each move of a clock, until `defers_no_more`."""
    _deferring[id(each)] = ref(each)


def defers_no_more(each: Deferring) -> None:
    """Undo `defers`. Calling it twice does no harm."""
    _deferring.pop(id(each), None)


def may_be_deferred() -> bool:
    """Return True if `flush_deferred` may have something to do."""
    return bool(_deferring)


async def flush_deferred() -> None:
    """Do all deferred work of this process, before a clock is moved."""
    for each in _alive():
        await each.flush_deferred()


def _alive() -> list[Deferring]:
    return [each for reference in [*_deferring.values()] if (each := reference()) is not None]


def follow(times: Times) -> None:
    """Make all threads of this process follow another time from now on; `SYSTEM` is the real time."""
    global _followed
    _followed = times
    _replace(wall_clock, times.wall)
    _replace(monotonic_clock, times.monotonic)


def _replace(clock: Any, by: Clock) -> None:
    """Make a partial call another function. Unpickling does the same; stubs do not know the method."""
    clock.__setstate__((by, (), {}, None))


async def sleep(seconds: float) -> None:
    """Wait for so many seconds of the followed time."""
    await _followed.sleep(seconds)


def block(seconds: float) -> None:
    """Block this thread for so many seconds of the followed time."""
    _followed.block(seconds)
