"""Floods of many kinds from another process, on both event loops: the turns of the server stay short."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks.fairness import CONNECTIONS, FairnessServer, fairness_server
from benchmarks.floods import FLOODS, Target, flooding, latencies
from benchmarks.harness import loop_factories
from tests.server.http_client import fetch
from tests.server.test_command_line import serving

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

SECONDS = 0.1
# A turn takes a millisecond or two of CPU time, and one large request more. The client waits for two turns at the most.
TURN_AT_MOST = 0.02
# Of time on a clock only the middle is judged: the machine may be busy.
USUALLY_AT_MOST = 0.05
# Where there are few turns, one in which garbage is collected counts.
TRIES = 4


def require_short_turns(server: FairnessServer, kinds: Iterable[str]) -> None:
    for kind in kinds:
        with flooding(server.target, kind, CONNECTIONS):
            time.sleep(SECONDS)
            measured = [times_beside_a_flood(server)]
            while not is_short(*measured[-1]) and len(measured) < TRIES:
                measured.append(times_beside_a_flood(server))
        assert is_short(*measured[-1]), (kind, measured)


def times_beside_a_flood(server: FairnessServer) -> tuple[float, float]:
    """Return the CPU time of nearly all turns, and how long an answer mostly takes, in seconds."""
    server.turns()
    taken = latencies(server.target, SECONDS)
    return server.turns(), statistics.median(taken)


def is_short(turns: float, answers: float) -> bool:
    return turns < TURN_AT_MOST and answers < USUALLY_AT_MOST


@pytest.mark.parametrize("loop", loop_factories())
def test_a_client_beside_a_flood_is_answered_within_two_short_turns(loop: str) -> None:
    with fairness_server(loop) as server:
        require_short_turns(server, FLOODS)


@pytest.mark.parametrize("loop", loop_factories())
@pytest.mark.parametrize(
    ("store", "workers", "tls", "kinds"),
    [
        ("memory", 1, False, ("large requests of bad JSON", "fragments of one byte", "handshakes that do not end")),
        ("memory", 1, True, ("pings among requests", "large values", "closing and reconnecting")),
        ("sqlite", 1, False, ("set", "saves", "answers that are not read")),
        ("sqlite", 3, False, ("new session", "searches")),
    ],
    ids=["memory", "TLS", "SQLite", "three workers"],
)
def test_so_is_one_of_other_servers_and_beside_other_floods(
    loop: str, store: str, workers: int, tls: bool, kinds: tuple[str, ...]
) -> None:
    with fairness_server(loop, store, workers, tls=tls) as server:
        require_short_turns(server, kinds)


@pytest.mark.parametrize("kind", ["set", "fragments of one byte"])
async def test_workers_that_are_flooded_answer_health_checks_and_stop_in_time(tmp_path: Path, kind: str) -> None:
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with serving("--workers", "3", "--store", store, "--stop-timeout", "0.5") as (process, uri):
        target = Target(int(uri.rstrip("/").rpartition(":")[2]))
        with flooding(target, kind, CONNECTIONS):
            for path in ("/healthz", "/readyz"):
                assert (await fetch(target.port, path)).status == 200
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):  # what is not answered by then is killed, and the status is not 0
                assert await process.wait() == 0
