"""Mutated requests, pipelined over several connections: one right answer to each, and nobody else notices."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.fuzz.mutations import Mutator
from tests.fuzz.probes import Probes
from tests.fuzz.reference import expected_for
from tests.fuzz.requests import ENDS_ALL, Requests
from tests.fuzz.seeds import keep, seeds
from tests.fuzz.serve import MAX_PAYLOAD
from tests.fuzz.sizes import REQUESTS, SEED, seeded
from tests.fuzz.subject import Growth, Subject, subject, tree, undisturbed
from tests.fuzz.timing import LONGEST

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

CONNECTIONS: Final = 8
BURST: Final = 64
ANSWERED_WITHIN: Final = 30
PROBED: Final = 0.1
# Of all requests, so many are made before memory is looked at for the first time.
WARMING_UP: Final = 0.2
GROWS_AT_MOST: Final = 16 * 1024 * 1024


def is_text_for_this_server(frame: bytes) -> bool:
    """Tell whether a seed may be sent here: it is UTF-8, and does not end the session of the client beside."""
    return is_utf8(frame) and ENDS_ALL.encode() not in frame and len(frame) <= MAX_PAYLOAD


def is_utf8(frame: bytes) -> bool:
    try:
        frame.decode()
    except UnicodeDecodeError:
        return False
    return True


class Fuzzer:
    """Sends bursts over one connection, and looks at each answer."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._rng = seeded("requests", number)
        requests = Requests(self._rng, without=frozenset({ENDS_ALL}))
        self._mutator = Mutator(self._rng, requests, text_only=True)
        self._seeds = deque(frame for frame in seeds() if is_text_for_this_server(frame))
        self.sent = 0

    async def run(self, websocket: ClientConnection, count: int) -> None:
        """Send so many mutated requests, and probes between."""
        probes = Probes(self._rng)
        while count > 0:
            size = min(count, self._rng.randint(1, BURST))
            await self._burst(websocket, size, probes)
            count -= size

    async def _burst(self, websocket: ClientConnection, size: int, probes: Probes) -> None:
        waiting: deque[tuple[bytes, bytes | None]] = deque()
        for _ in range(size):
            if self._rng.random() < PROBED:
                waiting.append(probes.next())
            waiting.append((self._frame(), None))
        waiting.append(probes.fence())
        for request, _ in waiting:
            await websocket.send(request, text=True)
        async with asyncio.timeout(ANSWERED_WITHIN):
            for request, only in waiting:
                self._look_at(request, only, await websocket.recv(decode=False))
        self.sent += size

    def _frame(self) -> bytes:
        if self._seeds:
            return self._seeds.popleft()
        while len(frame := self._mutator.frame()) > MAX_PAYLOAD:
            pass
        return frame

    def _look_at(self, request: bytes, only: bytes | None, answer: bytes) -> None:
        wrong = expected_for(request).why_not(answer) if only is None else only != answer and f"it is not {only!r}"
        assert not wrong, (
            f"seed {SEED}, connection {self._number}, after {self.sent} requests, kept as {keep(request)}:"
            f" {request[:500]!r} was answered {answer[:500]!r}: {wrong}"
        )


async def fuzz(server: Subject, fuzzers: list[Fuzzer], count: int) -> None:
    """Send so many requests in all."""

    async def on_a_connection(fuzzer: Fuzzer) -> None:
        async with connect(server.uri, compression=None, proxy=None, max_size=None) as websocket:
            await fuzzer.run(websocket, -(-count // len(fuzzers)))

    async with asyncio.TaskGroup() as group:
        for fuzzer in fuzzers:
            group.create_task(on_a_connection(fuzzer))


async def test_each_request_is_answered_once_and_memory_stays_flat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    persist_path = tmp_path / "persist"
    persist_path.mkdir()
    fuzzers = [Fuzzer(number) for number in range(CONNECTIONS)]
    started = time.perf_counter()
    async with subject(persist_path) as server:
        async with undisturbed(server.uri):
            await fuzz(server, fuzzers, int(REQUESTS * WARMING_UP))
        before = await server.emptied()
        async with undisturbed(server.uri) as aside:
            await fuzz(server, fuzzers, REQUESTS - int(REQUESTS * WARMING_UP))
        after = await server.emptied()
    memory = Growth(before, after)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{sum(fuzzer.sent for fuzzer in fuzzers)} mutated requests in {time.perf_counter() - started:.1f} s,"
            f" seed {SEED}; {aside}; {memory}; the longest hold {server.longest_hold * 1e3:.1f} ms\n"
        )
    assert server.longest_hold <= LONGEST
    assert memory.bytes < GROWS_AT_MOST
    assert tree(tmp_path) - tree(persist_path) == {persist_path}
