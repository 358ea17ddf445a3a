"""Decide which connection works next, and when the loop waits for one that is about to ask: without I/O.

Each connection has an account of its time. The account with the least time goes first (start-time fair queueing).

A client that asks one request at a time has nothing waiting while its next request is on its way. A server that begins
the long turn of another connection in that moment makes each request of this client wait for a whole turn. So the loop
waits for this client for a moment instead, as disk schedulers do (anticipatory scheduling). There are two conditions:

- The client has used less time than the next connection in the queue, and its turns are much shorter.
- It asked soon after its last answers. Each wait in vain doubles the number of answers without a wait.

The client's account is charged for the wait as for work. So waiting takes no more time than
the client's share. An attacker with many clients gains nothing: requests would bring each client the same share.
"""

from __future__ import annotations

import heapq
import math
from typing import Final, Generic, Protocol, TypeVar

LONGEST_WAIT: Final = 0.0003
"""How many seconds the loop waits for one request, at most."""

# The most seconds of its share that an account keeps for later, while it has nothing to do.
_CREDIT: Final = 0.002
# What a second costs a connection that has worked more than `_IN_A_ROW` times without catching up, if others have too.
# Clients that flood together have a little less than one that waits for its answers.
_SURCHARGE: Final = 5 / 3
_IN_A_ROW: Final = 4
# A turn counts as long if it takes this many times the turn of the client that is waited for.
_MUCH_LONGER: Final = 3.0
# The weight of a new turn in the average of an account's turns.
_NEWEST: Final = 0.125
# After waiting in vain n times in a row, the client's next 2**n - 1 answers are not followed by a wait.
_MOST_MISSES: Final = 6
# The most accounts that are expected at a time. The latest answers are the likeliest to be followed by a request.
_MOST_EXPECTED: Final = 32


class Account:
    """The time that a connection, or a group of connections, has used.

    Args:
        weight: the number of connections that the account counts as.
        parent: the account of the group that the connection comes from; None for none.

    Attributes:
        time_used: seconds used, divided by the weight. Asking for a turn raises this to the floor, if it is less.
        turn: the usual length of its turns in seconds.
    """

    __slots__ = ("began_with", "in_a_row", "misses", "passes", "time_used", "turn", "weight")

    def __init__(self, weight: int = 1, parent: Account | None = None) -> None:
        self.time_used: float = 0.0 if parent is None else parent.time_used
        self.turn: float = 0.0 if parent is None else parent.turn
        self.began_with: Final = self.time_used
        self.weight: Final = weight
        # The turns since all requests were answered.
        self.in_a_row: int = 0
        # Waits in vain, in a row; and the answers left after which nobody waits.
        self.misses: int = 0
        self.passes: int = 0


class Turn(Protocol):
    """What waits for a turn."""

    account: Account
    """The account that the turn is charged to."""


T = TypeVar("T", bound=Turn)


class FairShares(Generic[T]):
    """The accounts that wait for a turn, and those that are expected to ask soon.

    Attributes:
        floor: the `time_used` of the account that was served last. After a pause, an account has used as much.
        worked: the seconds of work charged to all accounts.
    """

    def __init__(self) -> None:
        self.floor: float = 0.0
        self.worked: float = 0.0
        # A heap of (time used when asking, number, turn).
        self._waiting: list[tuple[float, int, T]] = []
        self._number = 0
        # The accounts that are expected to ask, oldest answer first, and `_waited` at that time.
        self._expected: dict[Account, float] = {}
        # The connections that have worked more than `_IN_A_ROW` times without catching up.
        self._flooding = 0
        # The seconds that the loop has waited in all.
        self._waited = 0.0
        # While the loop waits: since when, `worked` at that time, and for whom.
        self._wait: tuple[float, float, Account] | None = None
        # The account whose turn was the last to begin: since when, and `worked` at that time.
        self._turn: tuple[float, float, Account] | None = None

    @property
    def has_expected(self) -> bool:
        """True if an account may ask soon."""
        return bool(self._expected)

    @property
    def has_waiting(self) -> bool:
        """True if an account waits for a turn."""
        return bool(self._waiting)

    @property
    def limit(self) -> float:
        """The least `time_used` of the waiting accounts; infinity if none waits."""
        return self._waiting[0][0] if self._waiting else math.inf

    def ask(self, turn: T) -> None:
        """Let a turn wait."""
        account = turn.account
        if account.time_used < self.floor:
            account.time_used = self.floor
        self._number += 1
        heapq.heappush(self._waiting, (account.time_used, self._number, turn))

    def charge(self, account: Account, spent: float) -> None:
        """Charge an account for seconds of work."""
        account.in_a_row += 1
        if account.in_a_row == _IN_A_ROW + 1:
            self._flooding += account.weight == 1
        self._bill(account, spent)
        account.turn += (spent - account.turn) * _NEWEST
        self.worked += spent

    def expect(self, account: Account) -> None:
        """Note that all requests of an account are answered."""
        self._calm(account)
        if account.passes:
            account.passes -= 1
        else:
            if len(self._expected) >= _MOST_EXPECTED:
                del self._expected[next(iter(self._expected))]
            self._expected[account] = self._waited

    def arrived(self, account: Account) -> None:
        """Note that an account has sent data."""
        account.time_used = max(account.time_used, self.floor - _CREDIT)
        if self._expected.pop(account, None) is not None:
            account.misses = 0

    def close(self, account: Account, heir: Account) -> None:
        """Forget an account. The heir takes over what it has used beyond the floor, so that leaving brings no gain."""
        self._expected.pop(account, None)
        self._calm(account)
        heir.time_used = max(heir.time_used, self.floor)
        heir.time_used += max(0.0, account.time_used - max(self.floor, account.began_with)) / heir.weight

    def awaits_another(self, account: Account) -> bool:
        """Return True if the loop should wait for another account before this one works."""
        return self._awaited_before(account) is not None

    def next(self, now: float) -> T | None:
        """Return the turn to begin now; None if there is none, or if the loop should wait. Call this again soon then.

        Args:
            now: the time in seconds, of a clock that never goes back.
        """
        self._charge_turn(now)
        self._charge_wait(now)
        while self._waiting:
            asked, number, turn = self._waiting[0]
            account = turn.account
            if account.time_used > asked:  # it has worked since
                heapq.heapreplace(self._waiting, (account.time_used, number, turn))
                continue
            awaited = self._awaited_before(account)
            if awaited is not None:
                self._wait = (now, self.worked, awaited)
                return None
            heapq.heappop(self._waiting)
            self.floor = max(self.floor, asked)
            self._turn = (now, self.worked, account)
            return turn
        return None

    def pause(self) -> None:
        """Note that the loop may idle from now on."""
        self._turn = self._wait = None

    def expect_nobody(self) -> None:
        """Expect nobody any more."""
        self._expected.clear()

    def _left_of(self, seconds: float, worked: float) -> float:
        """Return the seconds in which nobody worked since `worked`; a stall of the machine is nobody's fault."""
        return min(LONGEST_WAIT, max(0.0, seconds - (self.worked - worked)))

    def _calm(self, account: Account) -> None:
        """Note that an account has caught up, or has ended."""
        if account.in_a_row > _IN_A_ROW:
            self._flooding -= account.weight == 1
        account.in_a_row = 0

    def _bill(self, account: Account, seconds: float) -> None:
        if account.in_a_row > _IN_A_ROW and self._flooding > 1 and account.weight == 1:
            seconds *= _SURCHARGE
        account.time_used += seconds / account.weight

    def _charge_turn(self, now: float) -> None:
        """Charge the last turn for what the loop did around it, except for the time in which others worked."""
        if self._turn is not None:
            since, worked, account = self._turn
            self._turn = None
            if account not in self._expected:  # else the loop has read its next requests already
                self._bill(account, self._left_of(now - since, worked))

    def _charge_wait(self, now: float) -> None:
        """Charge the account that the loop has waited for, except for the time in which others worked."""
        if self._wait is None:
            return
        since, worked, account = self._wait
        self._wait = None
        waited = self._left_of(now - since, worked)
        self._bill(account, waited)
        self._waited += waited

    def _awaited_before(self, account: Account) -> Account | None:
        """Return an expected account that this one should wait for."""
        for awaited, waited in [*self._expected.items()]:
            if self._waited - waited > LONGEST_WAIT:
                self._miss(awaited)
            elif awaited.time_used < account.time_used and awaited.turn * _MUCH_LONGER <= account.turn:
                return awaited
        return None

    def _miss(self, account: Account) -> None:
        del self._expected[account]
        account.misses = min(account.misses + 1, _MOST_MISSES)
        account.passes = 2**account.misses - 1
