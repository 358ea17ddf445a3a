"""Accept connections on any event loop, even when the process can open no more files.

The event loops' own servers handle a lack of descriptors badly. One resets new connections silently; another writes
thousands of log lines a second. This module pauses instead, and keeps a few descriptors for health probes and metrics.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from ndb_models.server.file_descriptors import SpareDescriptors
from ndb_models.server.log_limits import LogLimit
from ndb_models.server.traffic import Traffic

_logger = logging.getLogger(__name__)

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# Connections accepted before the loop gets a turn, even if no other work waits: they must get to their handshakes.
_ACCEPTED_TOGETHER: Final = 8
_PAUSE: Final = 0.005


class Connect(Protocol):
    """Serves an accepted socket until it ends. `only_probes` is True if no descriptor is left for a client."""

    async def __call__(self, accepted: socket.socket, peer: str, *, only_probes: bool) -> None:
        """Take over the socket."""
        ...


class Acceptor:
    """Accepts connections from listening sockets and serves each in its own task.

    Args:
        listening: the sockets; `stop` closes them.
        connect: serves one connection.
        turn: waits until the next connection may be accepted.
        free_descriptors: ends connections of little use; called when no descriptor is left.
        traffic: counts failures to accept.
    """

    def __init__(
        self,
        listening: Sequence[socket.socket],
        connect: Connect,
        *,
        turn: Callable[[], Awaitable[None]],
        free_descriptors: Callable[[], None],
        traffic: Traffic,
    ) -> None:
        self._listening = listening
        self._connect = connect
        self._turn = turn
        self._free_descriptors = free_descriptors
        self._traffic = traffic
        self._spare = SpareDescriptors()
        self._log = LogLimit(_logger)
        self._connections: set[asyncio.Task[None]] = set()
        self._accepting = [asyncio.create_task(self._accept_from(each)) for each in listening]

    async def stop(self) -> None:
        """Stop accepting, and close the listening sockets."""
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
                accepted, address = await _accept(listening)
            except OSError as exc:
                await self._cope_with(exc)
                continue
            peer = str(address[0]) if address else "?"
            try:
                await self._turn()
            except asyncio.CancelledError:
                accepted.close()
                raise
            connecting = loop.create_task(self._connect(accepted, peer, only_probes=not self._spare.refill()))
            self._connections.add(connecting)
            connecting.add_done_callback(self._connections.discard)
            together += 1
            if together == _ACCEPTED_TOGETHER:
                together = 0
                await asyncio.sleep(0)

    async def _cope_with(self, failure: OSError) -> None:
        """Free a descriptor if none is left, or wait a moment. Any other failure concerns one connection only."""
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


async def _accept(listening: socket.socket) -> tuple[socket.socket, tuple[object, ...]]:
    """Accept a connection. A cancellation never loses one: it stays with the system.

    Raises:
        OSError: the system has no room for a connection, or it has ended already.
    """
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":  # its event loop cannot tell that a socket is readable
        return await loop.sock_accept(listening)
    while True:
        try:
            accepted, address = listening.accept()
        except (BlockingIOError, InterruptedError):
            await _readable(listening)
        else:
            accepted.setblocking(False)
            return accepted, address


async def _readable(waited_for: socket.socket) -> None:
    """Wait until a socket can be read from."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(waited_for, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(waited_for)
