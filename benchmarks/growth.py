"""How a store on a cluster grows: sessions, bytes, requests a second, nodes and cost, up to 10^9 sessions.

`python -m benchmarks.growth` measures what a session and a web request cost on a Valkey, with 20,000 and 40,000
sessions. It works out from that what larger stores need, and checks the figures at 100,000 and 1,000,000 sessions.
`--no-check` leaves the check out. The assumptions are options; see `--help`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.harness import table
from benchmarks.redis_store import TASKS
from benchmarks.repository import Measured, measured
from ndb_models import NdbClient, Repository

if TYPE_CHECKING:
    from tests.redis_servers import RedisServer

SMALL: Final = (20_000, 40_000)
CHECKED: Final = (100_000, 1_000_000)
SIZES: Final = tuple(10**power for power in range(5, 10))
REQUESTS: Final = 10_000
MADE: Final = 1_000
COPIED_AT_ONCE: Final = 1_000
_COPY: Final = "for i = 1, #ARGV do redis.call('COPY', KEYS[1], ARGV[i]) end"
MONTH: Final = 730


@dataclass(frozen=True)
class Cost:
    """What was measured.

    Attributes:
        sessions: how many there were.
        memory: the bytes that the server used for them, its own at the start left out.
        request: the seconds of the server's CPU for a web request: a read, and a write of one field.
    """

    sessions: int
    memory: int
    request: float


@dataclass(frozen=True)
class Assumptions:
    """What cannot be measured here.

    Attributes:
        requests: web requests a second for each 1,000 sessions.
        memory: bytes of a node.
        filled: the part of it that sessions may fill. The rest is for copies during a save, buffers and fragments.
        busy: the part of a core that requests may keep busy. A server runs scripts on one core.
        replicas: of each master.
        price: of a node, in dollars an hour.
    """

    requests: float
    memory: float
    filled: float
    busy: float
    replicas: int
    price: float


@dataclass(frozen=True)
class Need:
    """What so many sessions need."""

    sessions: int
    memory: float
    requests: float
    masters: int
    nodes: int
    dollars: float


def needed(sessions: int, per_session: float, per_request: float, assumed: Assumptions) -> Need:
    """Return what so many sessions need: the masters that hold them, or that serve them if these are more."""
    memory = sessions * per_session
    requests = sessions / 1000 * assumed.requests
    by_memory = math.ceil(memory / (assumed.memory * assumed.filled))
    by_requests = math.ceil(requests * per_request / assumed.busy)
    masters = max(3, by_memory, by_requests)  # a cluster has three masters or more
    nodes = masters * (1 + assumed.replicas)
    return Need(sessions, memory, requests, masters, nodes, nodes * assumed.price * MONTH)


async def _make(repo: Repository[Measured]) -> list[int]:
    """Make some sessions; return their tokens."""
    saved = await repo.save_many([measured(number) for number in range(MADE)])
    return [session.tkn for session in saved if isinstance(session, Measured)]


def _fill(server: RedisServer, tokens: Sequence[int], count: int) -> None:
    """Have the server copy sessions under new tokens: made by a client, a million would take minutes."""
    with server.link() as link:
        for number in range(0, count, COPIED_AT_ONCE):
            names = [f"ndb:{{{2**63 + secrets.randbits(62)}}}" for _ in range(min(COPIED_AT_ONCE, count - number))]
            link("EVAL", _COPY, 1, f"ndb:{{{tokens[number % len(tokens)]}}}", *names)


async def _use(repo: Repository[Measured], tokens: Sequence[int]) -> None:
    async def task(first: int) -> None:
        for number in range(first, REQUESTS, TASKS):
            session = await repo.get(tokens[number % len(tokens)])
            session.visits = -number
            await repo.save(session)

    await asyncio.gather(*(task(first) for first in range(TASKS)))


def _figures(server: RedisServer) -> tuple[int, float]:
    """Return the server's memory and its CPU seconds."""
    with server.link() as link:
        fields = dict(line.split(":", 1) for line in link("INFO").splitlines() if ":" in line)
    return int(fields["used_memory"]), float(fields["used_cpu_user"]) + float(fields["used_cpu_sys"])


async def measure(server: RedisServer, sizes: Sequence[int]) -> list[Cost]:
    """Return the costs with each of these numbers of sessions, which grow."""
    costs: list[Cost] = []
    empty, _ = _figures(server)
    async with NdbClient.connect(server.uri) as client:
        repo = Repository(client, Measured)
        tokens = await _make(repo)
        there = len(tokens)
        for size in sizes:
            _fill(server, tokens, size - there)
            there = size
            memory, _ = _figures(server)
            _, before = _figures(server)
            await _use(repo, tokens)
            _, after = _figures(server)
            costs.append(Cost(size, memory - empty, (after - before) / REQUESTS))
    return costs


def _print_needs(per_session: float, per_request: float, assumed: Assumptions) -> None:
    rows = [
        (
            f"{need.sessions:,}",
            f"{need.memory / 2**30:,.1f}",
            f"{need.requests:,.0f}",
            f"{need.masters:,}",
            f"{need.nodes:,}",
            f"{need.dollars:,.0f}",
        )
        for need in (needed(size, per_session, per_request, assumed) for size in SIZES)
    ]
    head = ("sessions", "GiB", "requests/s", "masters", "nodes", "dollars/month")
    title = f"{per_session:,.0f} bytes a session, {per_request * 1e6:.0f} us of a core a request"
    table(title, head, rows)


def _print_check(costs: Sequence[Cost], per_session: float, per_request: float) -> None:
    rows = [
        (
            f"{cost.sessions:,}",
            f"{cost.sessions * per_session / 2**20:,.1f}",
            f"{cost.memory / 2**20:,.1f}",
            f"{per_request * 1e6:.0f}",
            f"{cost.request * 1e6:.0f}",
        )
        for cost in costs
    ]
    table("Expected and measured", ("sessions", "MiB", "measured", "us a request", "measured"), rows)


def main() -> None:
    """Measure, work out and check."""
    parser = argparse.ArgumentParser(prog="benchmarks.growth")
    parser.add_argument("--requests", type=float, default=10, help="web requests a second for each 1,000 sessions")
    parser.add_argument("--memory", type=float, default=32, help="GiB of a node")
    parser.add_argument("--filled", type=float, default=0.5, help="the part of it that sessions may fill")
    parser.add_argument("--busy", type=float, default=0.5, help="the part of a core that requests may keep busy")
    parser.add_argument("--replicas", type=int, default=1, help="of each master")
    parser.add_argument("--price", type=float, default=0.25, help="of a node, in dollars an hour")
    parser.add_argument("--no-check", action="store_true", help="do not check the figures on large stores")
    given = parser.parse_args()
    assumed = Assumptions(given.requests, given.memory * 2**30, given.filled, given.busy, given.replicas, given.price)
    from tests.redis_servers import Servers, valkey

    logging.getLogger("ndb_models.stores.redis").setLevel(logging.ERROR)  # nothing here is to last
    program = valkey()
    if program is None:
        raise SystemExit("pip install .[test]")
    with Servers() as servers:
        costs = asyncio.run(measure(servers.start(program), (*SMALL, *(() if given.no_check else CHECKED))))
    small = costs[: len(SMALL)]
    per_session = (small[1].memory - small[0].memory) / (small[1].sessions - small[0].sessions)
    per_request = sum(cost.request for cost in small) / len(small)
    _print_needs(per_session, per_request, assumed)
    _print_check(costs[len(SMALL) :], per_session, per_request)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
