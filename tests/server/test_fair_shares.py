"""Who works next, and for whom the loop waits: decided without a loop, on a clock that the tests move."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from ndb_models.server.fair_shares import LONGEST_WAIT, Account, FairShares

SHORT = 0.00001
LONG = 0.001
LOOK = 0.00001
"""Seconds: a short turn, a long one, and one look at the input while the loop waits."""


@dataclass
class Client:
    """A client with an account: one that floods, or one that thinks for some time after each answer.

    Attributes:
        cost: the seconds of each turn.
        thinks: the seconds from an answer to the next request; None for a client that always has requests waiting.
        worked: the seconds of all its turns.
        answers: the number of its turns.
    """

    cost: float
    thinks: float | None = None
    account: Account = field(default_factory=Account)
    worked: float = 0.0
    answers: int = 0
    asks_at: float = 0.0


class Simulation:
    """A loop that serves clients by `FairShares`, without other costs."""

    def __init__(self, *clients: Client) -> None:
        self.shares: FairShares[Client] = FairShares()
        self.now = 0.0
        self.clients = list(clients)
        for client in clients:
            if client.thinks is None:
                self.shares.ask(client)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            for client in self.clients:
                if client.thinks is not None and client.asks_at <= self.now:
                    self._serve_at_once(client)
            turn = self.shares.next(self.now)
            if turn is None:
                self.now += LOOK
            else:
                self._work(turn)
                self.shares.ask(turn)

    def _serve_at_once(self, client: Client) -> None:
        assert client.thinks is not None
        self.shares.arrived(client.account)
        self._work(client)
        self.shares.expect(client.account)
        client.asks_at = self.now + client.thinks

    def _work(self, client: Client) -> None:
        self.now += client.cost
        client.worked += client.cost
        client.answers += 1
        self.shares.charge(client.account, client.cost)


def flooding(count: int, cost: float = LONG) -> list[Client]:
    return [Client(cost) for _ in range(count)]


def test_a_client_that_asks_one_at_a_time_has_its_share_beside_four_that_flood() -> None:
    small = Client(SHORT, thinks=3 * SHORT)
    simulation = Simulation(small, *flooding(4))
    simulation.run(0.2)
    alone = 0.2 / (4 * SHORT)
    assert small.answers / alone > 0.2


def test_without_waiting_the_client_would_have_one_answer_for_each_long_turn() -> None:
    small = Client(SHORT, thinks=3 * SHORT)
    simulation = Simulation(small, *flooding(4))
    simulation.shares.expect_nobody()
    small.account.passes = 10**9
    simulation.run(0.2)
    assert small.answers < 0.2 / LONG + 1


@pytest.mark.parametrize("floods", [1, 2, 4, 16])
@pytest.mark.parametrize("thinks", [SHORT, LONGEST_WAIT / 2, LONGEST_WAIT * 0.9])
def test_clients_that_keep_the_loop_waiting_take_no_more_than_their_share(floods: int, thinks: float) -> None:
    """One that floods alone has a fair share. Of several each has at least three fifths of it."""
    attackers = [Client(SHORT, thinks=thinks) for _ in range(3)]
    victims = flooding(floods)
    simulation = Simulation(*attackers, *victims)
    simulation.run(0.4)
    fair = 0.4 / (3 + floods)
    for victim in victims:
        assert victim.worked > fair * (1 if floods == 1 else 0.6) * 0.9


def test_a_client_that_does_not_ask_soon_is_hardly_waited_for() -> None:
    slow = Client(SHORT, thinks=3 * LONGEST_WAIT)
    flood = Client(LONG)
    simulation = Simulation(slow, flood)
    simulation.run(0.4)
    assert flood.worked + slow.worked > 0.4 * 0.97


def test_a_client_that_leaves_costs_one_wait() -> None:
    small = Client(SHORT, thinks=3 * SHORT)
    flood = Client(LONG)
    simulation = Simulation(small, flood)
    simulation.run(0.1)
    small.asks_at = math.inf
    before = flood.worked
    simulation.run(0.2)
    assert flood.worked - before > 0.2 - 2 * LONGEST_WAIT - 2 * LONG


def test_nobody_waits_for_a_client_whose_turns_are_as_long() -> None:
    others = [Client(LONG / 2, thinks=SHORT), Client(LONG)]
    simulation = Simulation(*others)
    simulation.run(0.2)
    assert sum(client.worked for client in others) > 0.199


def test_nobody_waits_while_no_turn_waits() -> None:
    shares: FairShares[Client] = FairShares()
    shares.arrived(Account())
    shares.expect(Account())
    assert shares.next(0.0) is None
    assert not shares.has_waiting


def test_a_long_pause_gives_no_right_to_catch_up() -> None:
    idle = Client(SHORT, thinks=SHORT)
    flood = Client(LONG)
    simulation = Simulation(idle, flood)
    simulation.run(0.01)
    idle.asks_at = simulation.now + 1.0
    simulation.run(1.0)
    before = flood.worked
    simulation.run(0.1)
    assert flood.worked - before > 0.1 / 2 - 10 * LONG


def test_one_that_reconnects_all_the_time_has_no_more_than_the_group_of_new_connections() -> None:
    """What each connection has used before it leaves counts for those that come after it."""
    openings = Account(weight=2)
    victim = Client(LONG)
    shares: FairShares[Client] = FairShares()
    shares.ask(victim)
    now = churned = 0.0
    while now < 0.3:
        turn = Client(LONG, account=openings)
        shares.ask(turn)
        while (served := shares.next(now)) is not turn:
            assert served is victim
            now += LONG
            victim.worked += LONG
            shares.charge(victim.account, LONG)
            shares.ask(victim)
        now += LONG
        shares.charge(openings, LONG)
        connection = Account(parent=openings)
        for _ in range(3):
            now += LONG
            shares.charge(connection, LONG)
        churned += 4 * LONG
        shares.close(connection, openings)
    assert victim.worked > churned / 2 * 0.9


def test_who_has_worked_since_it_asked_goes_behind() -> None:
    shares: FairShares[Client] = FairShares()
    first, second = Client(SHORT), Client(SHORT)
    shares.ask(first)
    shares.ask(second)
    shares.charge(first.account, LONG)
    assert shares.next(0.0) is second
    assert shares.next(0.0) is first


def test_a_stall_of_the_machine_is_not_charged_to_the_one_that_was_waited_for() -> None:
    shares: FairShares[Client] = FairShares()
    small, flood = Client(SHORT), Client(LONG)
    shares.charge(flood.account, LONG)
    shares.charge(small.account, SHORT)
    shares.expect(small.account)
    shares.ask(flood)
    assert shares.next(0.0) is None
    shares.next(60.0)
    assert small.account.time_used <= SHORT + LONGEST_WAIT


def test_a_closed_account_is_not_waited_for() -> None:
    shares: FairShares[Client] = FairShares()
    small, flood = Client(SHORT), Client(LONG)
    shares.charge(flood.account, LONG)
    shares.expect(small.account)
    shares.ask(flood)
    assert shares.next(0.0) is None
    shares.close(small.account, Account())
    assert shares.next(LOOK) is flood


def test_as_many_accounts_are_expected_as_can_be_looked_through() -> None:
    shares: FairShares[Client] = FairShares()
    flood = Client(LONG)
    shares.charge(flood.account, LONG)
    accounts = [Account() for _ in range(10_000)]
    for account in accounts:
        shares.expect(account)
    shares.ask(flood)
    assert shares.next(0.0) is None
    for account in accounts[-100:]:
        shares.close(account, Account())
    assert shares.next(LOOK) is flood
