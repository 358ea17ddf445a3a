"""Accepting leaves the event loop to the connections that were accepted, however many more wait."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

from ndb_models.server.accepting import Acceptor
from ndb_models.server.traffic import Traffic

WAITING = 60
TOGETHER = 8


async def test_a_flood_of_connections_lets_those_that_were_accepted_begin() -> None:
    count, begun = 0, 0
    most_ahead = 0

    async def turn() -> None:
        nonlocal count, most_ahead
        count += 1
        most_ahead = max(most_ahead, count - begun)

    all_begun = asyncio.Event()

    async def connect(accepted: socket.socket, peer: str, *, only_probes: bool) -> None:
        nonlocal begun
        begun += 1
        accepted.close()
        if begun == WAITING:
            all_begun.set()

    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=WAITING))
        listening.setblocking(False)
        for _ in range(WAITING):
            stack.enter_context(socket.create_connection(listening.getsockname()))
        acceptor = Acceptor([listening], connect, turn=turn, free_descriptors=lambda: None, traffic=Traffic())
        async with asyncio.timeout(60):
            await all_begun.wait()
        await acceptor.stop()
        await acceptor.wait_closed()
    assert count == begun == WAITING
    assert most_ahead <= TOGETHER
