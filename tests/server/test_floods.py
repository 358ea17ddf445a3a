"""Twelve kinds of flood from another process, on both event loops: the turns of the server stay short."""

from __future__ import annotations

import statistics
import time

import pytest

from benchmarks.fairness import CONNECTIONS, fairness_server
from benchmarks.floods import FLOODS, flooding, latencies
from benchmarks.harness import loop_factories

pytestmark = pytest.mark.slow

SECONDS = 0.1
# A turn takes a millisecond or two of CPU time, and one large request more. The client waits for two turns at the most.
TURN_AT_MOST = 0.02
# Of time on a clock only the middle is judged: the machine may be busy.
USUALLY_AT_MOST = 0.05


@pytest.mark.parametrize("loop", loop_factories())
def test_a_client_beside_a_flood_is_answered_within_two_short_turns(loop: str) -> None:
    with fairness_server(loop) as server:
        for kind in FLOODS:
            with flooding(server.port, kind, CONNECTIONS):
                time.sleep(SECONDS)
                server.turns()
                taken = latencies(server.port, SECONDS)
                turns = server.turns()
            assert turns < TURN_AT_MOST, kind
            assert statistics.median(taken) < USUALLY_AT_MOST, kind
