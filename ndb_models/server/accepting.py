"""Accepting connections, on any event loop, also when the process can open no more files.

The loops' own servers do not tell that descriptors have run out: one resets newcomers without a word, one writes
thousands of log lines a second. Here, accepting pauses, and a few descriptors are kept for newcomers that ask for
health or metrics.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ndb_models.server.descriptors import SpareDescriptors
from ndb_models.server.log_limits import LogLimit
from ndb_models.server.traffic import Traffic

_logger = logging.getLogger(__name__)

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# How many newcomers come between two turns of the loop: a flood of them must not keep clients waiting.
_ACCEPTED_TOGETHER: Final = 8
_PAUSE: Final = 0.005


class Connect(Protocol):
    """Serves a socket that was accepted, until it ends. `only_probes`: nothing is left for a client."""

    async def __call__(self, accepted: socket.socket, peer: str, *, only_probes: bool) -> None:
        """Take over the socket."""
        ...


class Acceptor:
    """Accepts from listening sockets, each connection served in a task of its own.

    Args:
        listening: the sockets, which it closes in the end.
        connect: serves one connection.
        free_descriptors: ends connections that are of little use, where there is no descriptor left.
        traffic: counts what could not be accepted.
    """

    def __init__(
        self,
        listening: Sequence[socket.socket],
        connect: Connect,
        *,
        free_descriptors: Callable[[], None],
        traffic: Traffic,
    ) -> None:
        self._listening = listening
        self._connect = connect
        self._free_descriptors = free_descriptors
        self._traffic = traffic
        self._spare = SpareDescriptors()
        self._log = LogLimit(_logger)
        self._connections: set[asyncio.Task[None]] = set()
        self._accepting = [asyncio.create_task(self._accept_from(each)) for each in listening]

    async def stop(self) -> None:
        """Accept no more, and listen no more."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for each in self._listening:
            each.close()
        self._spare.close()

    async def wait_closed(self) -> None:
        """Wait until every connection has ended."""
        while self._connections:
            await asyncio.wait(self._connections)

    async def _accept_from(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        together = 0
        self._spare.refill()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError as exc:
                await self._cope_with(exc)
                continue
            peer = str(address[0]) if address else "?"
            connecting = loop.create_task(self._connect(accepted, peer, only_probes=not self._spare.refill()))
            self._connections.add(connecting)
            connecting.add_done_callback(self._connections.discard)
            together += 1
            if together == _ACCEPTED_TOGETHER:
                together = 0
                await asyncio.sleep(0)

    async def _cope_with(self, failure: OSError) -> None:
        """Free a descriptor if none is left, or wait a moment; whatever else failed was one newcomer's."""
        if failure.errno in _EXHAUSTED:
            self._traffic.accepts_failed += 1
            self._log.warn(
                "no more connections can be accepted: raise the limit of open files, or set --max-connections lower",
                reason=os.strerror(failure.errno or 0),
            )
            if self._spare.give_up_one():
                return
            self._free_descriptors()
        await asyncio.sleep(_PAUSE)
