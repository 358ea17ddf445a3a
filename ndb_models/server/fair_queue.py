"""Fair sharing of the event loop's turns: no connection holds up another for long.

A connection answers its input at once, within its budget. Work beyond the budget waits here for later turns of the
loop: waiting input, the turns of long requests, and connections that are not open yet. `FairShares` decides their
order, and when the loop waits instead because a client is about to ask.
"""

from __future__ import annotations

import asyncio
import logging
import math
import types
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from typing import Any, Final, Protocol, TypeVar

from ndb_models.server.fair_shares import Account, FairShares

T = TypeVar("T")

FRAMES_A_TURN: Final = 128
"""The most frames of a connection in one turn of the loop."""
BYTES_A_TURN: Final = 128 * 1024
"""After this many bytes in one turn, a connection reads no more in it."""
SECONDS_AT_ONCE: Final = 0.002
"""How long a connection may answer its new input; a request under way is finished even after that."""
SECONDS_A_ROUND: Final = 0.0002
"""How long all waiting connections together are answered in one turn of the loop."""

# After this much time in one turn, for all connections together, the others wait with their new input.
_SECONDS_OF_ALL: Final = 0.004
# A connection with turns of this many seconds leaves its new input alone while a client with shorter ones is awaited.
_LONG: Final = 0.0001
# All connections that are not open yet share the loop's time as this many clients.
_OPENINGS: Final = 2
# For this many seconds after the last turn, the requests of clients are watched for another that may come.
_WATCHED: Final = 0.02

_logger = logging.getLogger(__name__)


class Member(Protocol):
    """A connection, as rounds see it."""

    account: Account
    """The time that it has used."""

    def take_turn(self) -> None:
        """Answer the waiting requests within the budget; if some are left, ask for a turn again."""

    def cut(self) -> None:
        """End at once."""


class _TaskTurn:
    """A task that waits for its turn."""

    def __init__(self, account: Account) -> None:
        self.account: Account = account
        self.begun: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()

    def take_turn(self) -> None:
        if not self.begun.done():  # the task was not cancelled
            self.begun.set_result(None)

    def cut(self) -> None:
        """Do nothing: `take_turn` cannot fail."""


class Rounds:
    """The connections of a server that have more work than fits into one turn of the loop.

    Attributes:
        limit: a connection that has used more time than this must wait too. It is the least time of the waiting
            members, infinity if none waits, and minus infinity when the turn is used up.
        watches: True if turns are being shared, or were a moment ago. Otherwise `arrived` and `expect` need not be
            called.
        openings: the account of all connections that are not open yet.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.limit: float = math.inf
        self.watches: bool = False
        self.openings: Final = Account(_OPENINGS)
        self._clock = clock
        self._shares: FairShares[Member] = FairShares()
        self._watches_until = 0.0
        self._spent = 0.0
        self._scheduled = False
        self.charge: Final = self._shares.charge
        self.expect: Final = self._shares.expect

    def ask(self, member: Member) -> None:
        """Give a later turn to a connection that has not asked for one yet."""
        self._shares.ask(member)
        if self._spent < _SECONDS_OF_ALL:
            self.limit = self._shares.limit
        self._schedule()

    async def turn(self, account: Account) -> None:
        """Wait for a turn; it is over when the caller next waits. `charged` charges the account for it."""
        turn = _TaskTurn(account)
        self.ask(turn)
        await turn.begun

    async def turn_of_openings(self) -> None:
        """Wait until a connection that is not open yet may take its next step."""
        if self._scheduled or self._shares.has_expected:
            await self.turn(self.openings)

    def charge_openings(self, spent: float) -> None:
        """Charge the connections that are not open yet for seconds of work."""
        self.charge(self.openings, spent)
        self.watches = True
        self._watches_until = self._clock() + _WATCHED

    def arrived(self, account: Account) -> bool:
        """Note that a connection has sent something. Return True if it must wait for a turn."""
        if not self._scheduled and self._clock() > self._watches_until:
            self.watches = False
            self._shares.expect_nobody()
            return False
        self._shares.arrived(account)
        return self.must_wait(account)

    def must_wait(self, account: Account) -> bool:
        """Return True if a connection must wait for a turn with its input."""
        return account.time_used > self.limit or (account.turn > _LONG and self._shares.awaits_another(account))

    def close(self, account: Account) -> None:
        """Forget the account of a connection that has ended."""
        self._shares.close(account, self.openings)

    def note(self, spent: float) -> None:
        """Count the seconds of a connection that has used much of this turn."""
        self._spent += spent
        if self._spent >= _SECONDS_OF_ALL:
            self.limit = -math.inf  # until the next turn
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = self.watches = True
            self._schedule_round()

    def _schedule_round(self) -> None:
        # As a timer, this runs after the callbacks of the next turn's input.
        asyncio.get_running_loop().call_later(0, self._round)

    def _round(self) -> None:
        started = now = self._clock()
        by_a_task = False
        while now - started < SECONDS_A_ROUND and not by_a_task:
            member = self._shares.next(now)
            if member is None:
                break
            self._turn_of(member)
            by_a_task = type(member) is _TaskTurn
            now = self._clock()
        self._spent = 0.0
        self.limit = self._shares.limit
        self._scheduled = self._shares.has_waiting
        if not self._scheduled:
            self._watches_until = now + _WATCHED
            self._shares.pause()
        elif by_a_task:  # the task takes its step in the next turn; this callback comes after it
            asyncio.get_running_loop().call_soon(self._schedule_round)
        else:
            self._schedule_round()

    def _turn_of(self, member: Member) -> None:
        try:
            member.take_turn()
        except Exception:
            _logger.exception("answering a connection failed, and it is cut off")
            member.cut()


@types.coroutine
def charged(
    coroutine: Coroutine[Any, Any, T],
    charge: Callable[[float], None],
    turn: Callable[[], Coroutine[Any, Any, None]] | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Generator[Any, Any, T]:
    """Carry out a coroutine in steps from one wait to the next, and return its outcome.

    Args:
        coroutine: what to carry out.
        charge: called with the seconds of each step.
        turn: waits for a turn before each step but the first; None to take each step at once.
        clock: the time in seconds.
    """
    failure: BaseException | None = None
    while True:
        started = clock()
        try:
            waits_for = coroutine.send(None) if failure is None else coroutine.throw(failure)
        except StopIteration as done:
            outcome: T = done.value
            return outcome
        finally:
            charge(clock() - started)
        failure = None
        try:
            yield waits_for
            if turn is not None:
                yield from turn()
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as exc:  # noqa: BLE001 - a cancellation too is the coroutine's
            failure = exc
