"""A clock for tests. It stands still until it is advanced, and moves all timers of sessions."""

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
# The clock starts at a multiple of this. Usual sums are then exact as floats: a session of 30 minutes ends after 30
# minutes, without a rounding error.
_GRAIN: Final = _SECOND // 8
_PARTS: Final = 2**20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The last second of the year 9999, since 1970.
_LATEST: Final = 253_402_300_799

_NOT_ENTERED: Final = "this clock moves nothing yet: with MovableClock() as clock: ..."
_NOT_A_TIME: Final = "a clock is advanced by a timedelta or by seconds, and never back: advance(timedelta(days=1))"


@dataclass(frozen=True, slots=True, eq=False)
class _Sleeper:
    """A sleeping task or thread. `wake` may be called in any thread."""

    until: int
    wake: Callable[[], None]


class MovableClock:
    """The time of all sessions in this process. It stands still until it is advanced.

        with MovableClock() as clock:
            session = await repo.save(UserSession(username="billy"))
            clock.advance(timedelta(minutes=30))
            assert await repo.get_or_none(session.tkn) is None

    In the block, it moves all stores of this process, in memory and on SQLite, behind a server too. It moves the times
    that repositories write and compare: absolute ends, the records of `track=`, the grace of a credential, claims.
    Stores and repositories may have been made before the block. A watch that sleeps wakes once its interval has passed.

    It does not move stores and repositories with a clock of their own, servers in other processes, the timeouts of
    connections, and Python's own clocks. Your own code gets the time from `now()`. After the block, the real time
    counts again, and all sleepers wake. Any thread may read and advance the clock.

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
        """Return the time in seconds since 1970, as a `Clock` does."""
        return (self._wall + self._moved) / _SECOND

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return _EPOCH + timedelta(microseconds=(self._wall + self._moved) // 1000)

    def advance(self, by: timedelta | float) -> None:
        """Move the clock forward. Sessions that end in this time have ended when this returns.

        Args:
            by: a `timedelta`, or seconds; at least 0.

        Raises:
            InvalidArgumentError: the time is negative, is no number, or leads past the year 9999; or the clock is not
                in use. The clock does not move.
        """
        if MovableClock._in_use is not self:
            raise InvalidArgumentError(_NOT_ENTERED)
        moved = _nanoseconds(by)
        if clocks.may_be_deferred():
            with LoopThread() as thread:
                thread.run(clocks.flush_deferred())
        with self._lock:
            if self._wall + self._moved + moved > _LATEST * _SECOND:
                raise InvalidArgumentError("a clock cannot be advanced past the year 9999")
            self._moved += moved
        self._wake(self._moved)

    def _since_start(self) -> float:
        return _in_whole_parts(self._monotonic + self._moved)

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
        """Wake the sleeper in this block once its time has come."""
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
        """Wake all sleepers whose time has come."""
        with self._lock:
            awake = [each for each in self._sleepers if each.until <= until]
            self._sleepers.difference_update(awake)
        for each in awake:
            each.wake()

    def __repr__(self) -> str:
        return f"<MovableClock at {self.now():%Y-%m-%d %H:%M:%S} UTC>"


def _in_whole_parts(nanoseconds: int) -> float:
    """Return seconds, rounded up to a part that a sum with whole seconds keeps exactly.

    A session that is used now ends at such a sum. Rounded otherwise, that could be later than the time then told.
    """
    return -(-nanoseconds * _PARTS // _SECOND) / _PARTS


def _rounded_up(nanoseconds: int) -> int:
    return -(-nanoseconds // _GRAIN) * _GRAIN


def _nanoseconds(by: object) -> int:
    if isinstance(by, timedelta) and by >= timedelta():
        return by // timedelta(microseconds=1) * 1000
    if isinstance(by, (int, float)) and not isinstance(by, bool) and by >= 0:  # which NaN is not
        return round(min(by, _LATEST) * _SECOND)
    raise InvalidArgumentError(_NOT_A_TIME)
