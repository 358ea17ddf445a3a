"""Which connections make room for others, decided without a network."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from ndb_models.server.connection_registry import ConnectionRegistry
from ndb_models.server.file_descriptors import PROBES
from ndb_models.server.missed_tokens import MissedTokens
from ndb_models.server.options import ServerOptions
from ndb_models.server.traffic import Refusal, Traffic
from tests.conftest import VirtualClock


@dataclass(eq=False)
class Visitor:
    """A connection that only knows whether it was ended."""

    arrived_at: float = 0.0
    address: str = "192.0.2.1"
    is_answered: bool = False
    ended: bool = False

    def evict(self) -> None:
        self.ended = True

    cut = evict


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


def arrived(registry: ConnectionRegistry[Visitor], *visitors: Visitor) -> list[Visitor]:
    for visitor in visitors:
        registry.arrive(visitor)
    return [*visitors]


def test_an_address_with_as_many_handshakes_as_it_may_have_loses_its_oldest(traffic: Traffic) -> None:
    registry: ConnectionRegistry[Visitor] = ConnectionRegistry(ServerOptions(max_connections_per_address=2), traffic)
    other, *same = arrived(registry, Visitor(address="192.0.2.9"), Visitor(), Visitor(), Visitor())
    assert [visitor.ended for visitor in (other, *same)] == [False, True, False, False]
    assert traffic.refused[Refusal.EVICTED] == 1
    assert traffic.handshakes == 3


def test_one_that_was_evicted_becomes_neither_a_client_nor_a_probe(traffic: Traffic) -> None:
    """Its handshake may be answered all the same in the turn in which it was evicted."""
    registry: ConnectionRegistry[Visitor] = ConnectionRegistry(ServerOptions(max_connections_per_address=1), traffic)
    evicted, late, _last = arrived(registry, Visitor(), Visitor(), Visitor())
    registry.become_client(evicted)
    registry.become_probe(late)
    assert registry.clients == []
    assert not registry.has_too_many_clients("192.0.2.1")
    registry.cut()
    registry.leave(evicted)
    assert traffic.handshakes == 1


def test_too_many_probes_cost_the_oldest_of_them(traffic: Traffic) -> None:
    registry: ConnectionRegistry[Visitor] = ConnectionRegistry(ServerOptions(), traffic)
    probes = arrived(registry, *(Visitor() for _ in range(PROBES + 1)))
    for probe in probes:
        registry.become_probe(probe)
    assert [probe.ended for probe in probes] == [True] + [False] * PROBES


def test_descriptors_are_freed_by_those_that_were_answered_and_by_the_oldest_that_had_time(
    traffic: Traffic, clock: VirtualClock
) -> None:
    registry: ConnectionRegistry[Visitor] = ConnectionRegistry(ServerOptions(), traffic, clock=clock)
    oldest, answered, probe = arrived(registry, Visitor(clock.now), Visitor(clock.now), Visitor(clock.now))
    answered.is_answered = probe.is_answered = True
    registry.become_probe(probe)
    registry.free_descriptors()
    assert [oldest.ended, answered.ended, probe.ended] == [False, True, True]
    assert traffic.refused[Refusal.EVICTED] == 0
    clock.move(1)
    registry.free_descriptors()
    registry.free_descriptors()
    assert oldest.ended
    assert traffic.refused[Refusal.EVICTED] == 1


def test_misses_of_an_address_are_told_again_where_they_go_on_a_minute_later(
    traffic: Traffic, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    watched = MissedTokens(ServerOptions(), traffic, clock=clock)
    on_miss = watched.of_connection("192.0.2.1", "192.0.2.1", lambda: None)

    def told() -> int:
        caplog.clear()
        for _ in range(20):
            assert on_miss(100)
        return len(caplog.records)

    assert told() == 1
    assert told() == 0
    clock.move(61)
    assert told() == 1
    assert traffic.misses == 6000
