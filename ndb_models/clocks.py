"""The time, for everything that is not given a clock of its own. Here, and nowhere else, a test moves it.

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

# A partial, since what it calls can be replaced, and costs 5 ns a call; a function in Python costs 40.
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
"""The time of the system, which is followed unless something else is said."""

_followed = SYSTEM

# What has put off some work to a time that a moved clock would pass over.
# By their ids, as a dict is copied in one step, whatever other threads add.
_putting_off: Final[dict[int, ReferenceType[PutsOff]]] = {}


class PutsOff(Protocol):
    """Does some of its work a little later, in real time, and counts on that no more time passes meanwhile."""

    async def catch_up(self) -> None:
        """Do the work that was put off."""


def may_put_off(each: PutsOff) -> None:
    """Have `catch_up` awaited before a clock is moved, until `puts_off_no_more` is called."""
    _putting_off[id(each)] = ref(each)


def puts_off_no_more(each: PutsOff) -> None:
    """Undo `may_put_off`. Twice does no harm."""
    _putting_off.pop(id(each), None)


def is_put_off() -> bool:
    """Return True if there is something to await `catch_up` for."""
    return bool(_putting_off)


async def catch_up() -> None:
    """Have all work done that was put off, so that a clock may be moved."""
    for reference in [*_putting_off.values()]:
        each = reference()
        if each is not None:
            await each.catch_up()


def follow(times: Times) -> None:
    """Have this process follow another time from now on, in all threads; `SYSTEM` for the real one again."""
    global _followed
    _followed = times
    _replace(wall_clock, times.wall)
    _replace(monotonic_clock, times.monotonic)


def _replace(clock: Any, by: Clock) -> None:
    """Make a partial call another function: this is how a partial is unpickled, which no stub names."""
    clock.__setstate__((by, (), {}, None))


async def sleep(seconds: float) -> None:
    """Wait for so many seconds of the time that is followed now."""
    await _followed.sleep(seconds)


def block(seconds: float) -> None:
    """Have this thread wait for so many seconds of the time that is followed now."""
    _followed.block(seconds)
