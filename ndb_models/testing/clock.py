"""A clock for tests: it stands still, and every timer of the package goes by it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import ClassVar, Final, Self

from ndb_models import clocks
from ndb_models.errors import InvalidArgumentError
from ndb_models.testing.loop_thread import LoopThread

_SECOND: Final = 1_000_000_000
# It starts at a multiple of this. So the sums and differences of usual times are exact as floats too: a session of 30
# minutes has ended 30 minutes later, not a rounding error later.
_GRAIN: Final = _SECOND // 8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The last second of the year 9999, since 1970.
_LATEST: Final = 253_402_300_799

_NOT_ENTERED: Final = "this clock moves nothing yet: with MovableClock() as clock: ..."
_NOT_A_TIME: Final = "a clock is advanced by a timedelta or by seconds, and never back: advance(timedelta(days=1))"


@dataclass(frozen=True, slots=True, eq=False)
class _Sleeper:
    """A task or a thread that sleeps until a time on the clock, and how to wake it from any thread."""

    until: int
    wake: Callable[[], None]


class MovableClock:
    """The time of this process's sessions, which stands still until it is advanced.

        with MovableClock() as clock:
            session = await repo.save(UserSession(username="billy"))
            clock.advance(timedelta(minutes=30))
            assert await repo.get_or_none(session.tkn) is None

    Within the block it moves every store in memory and on SQLite of this process, also behind a server in this process;
    and what repositories write and compare: absolute ends, records of `track=`, the grace of a credential, claims. It
    does not matter whether they were made before the block. Tasks that wait for the next look of a watch go on once
    their time has come.

    It does not move what was given a clock of its own, servers in other processes, the timeouts of connections, and
    Python's own clocks: in your own code, `now()` is the time of the sessions. After the block the real time counts
    again, and what still sleeps wakes. The clock may be read and advanced in any thread.

    Raises (when entered):
        InvalidArgumentError: another clock is in use in this process.
    """

    _in_use: ClassVar[MovableClock | None] = None

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sleepers: set[_Sleeper] = set()
        self._wall = self._monotonic = self._moved = 0

    def __enter__(self) -> Self:
        if MovableClock._in_use is not None:
            raise InvalidArgumentError(
                "another clock moves the time of this process already, such as ndb_clock: advance that one"
            )
        MovableClock._in_use = self
        self._wall, self._monotonic = _rounded_up(time.time_ns()), _rounded_up(time.monotonic_ns())
        self._moved = 0
        clocks.follow(clocks.Times(self, self._since_start, self._sleep, self._block))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        MovableClock._in_use = None
        clocks.follow(clocks.SYSTEM)
        self._wake(math.inf)

    def __call__(self) -> float:
        """Return the time in seconds since 1970: this is a `Clock` for what takes one."""
        return (self._wall + self._moved) / _SECOND

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return _EPOCH + timedelta(microseconds=(self._wall + self._moved) // 1000)

    def advance(self, by: timedelta | float) -> None:
        """Move the clock forward: all that ends within this time has ended when this returns.

        Args:
            by: a `timedelta`, or seconds; at least 0.

        Raises:
            InvalidArgumentError: it is no time, is negative, or leads past the year 9999. The clock stands as before.
                Also if the clock is not in use.
        """
        if MovableClock._in_use is not self:
            raise InvalidArgumentError(_NOT_ENTERED)
        moved = _nanoseconds(by)
        if clocks.is_put_off():
            with LoopThread() as thread:
                thread.run(clocks.catch_up())
        with self._lock:
            if self._wall + self._moved + moved > _LATEST * _SECOND:
                raise InvalidArgumentError("a clock cannot be advanced past the year 9999")
            self._moved += moved
        self._wake(self._moved)

    def _since_start(self) -> float:
        return (self._monotonic + self._moved) / _SECOND

    async def _sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced by so many seconds."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(woken.set)

        with self._sleeping(seconds, wake):
            await woken.wait()

    def _block(self, seconds: float) -> None:
        """Wait, in a thread, until another has advanced the clock by so many seconds."""
        woken = threading.Event()
        with self._sleeping(seconds, woken.set):
            woken.wait()

    @contextlib.contextmanager
    def _sleeping(self, seconds: float, wake: Callable[[], None]) -> Generator[None]:
        """Have what sleeps in this block woken when its time has come."""
        with self._lock:
            sleeper = _Sleeper(self._moved + round(seconds * _SECOND), wake)
            if sleeper.until > self._moved:
                self._sleepers.add(sleeper)
            else:
                wake()
        try:
            yield
        finally:
            with self._lock:
                self._sleepers.discard(sleeper)

    def _wake(self, until: float) -> None:
        """Wake all that sleep until this time or less."""
        with self._lock:
            awake = [each for each in self._sleepers if each.until <= until]
            self._sleepers.difference_update(awake)
        for each in awake:
            each.wake()

    def __repr__(self) -> str:
        return f"<MovableClock at {self.now():%Y-%m-%d %H:%M:%S} UTC>"


def _rounded_up(nanoseconds: int) -> int:
    return -(-nanoseconds // _GRAIN) * _GRAIN


def _nanoseconds(by: object) -> int:
    if isinstance(by, timedelta) and by >= timedelta():
        return by // timedelta(microseconds=1) * 1000
    if isinstance(by, (int, float)) and not isinstance(by, bool) and by >= 0:  # which NaN is not
        return round(min(by, _LATEST) * _SECOND)
    raise InvalidArgumentError(_NOT_A_TIME)
