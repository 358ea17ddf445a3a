"""A client that works on every event loop of a test run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from ndb_models.client import NdbClient
from ndb_models.client.transport import Transport
from ndb_models.protocol.exchange import Exchange, orphaned
from ndb_models.protocol.prepared import Prepared
from ndb_models.testing.loop_thread import LoopThread


@contextmanager
def open_client(uri: str) -> Generator[NdbClient]:
    """Yield a client that works on every event loop, also on several at once. The end of the block closes it.

    The client of a server runs on a loop in a thread of its own, and carries the requests of all other loops. So one
    block may hold all tests of a module or of a session. Applications use `NdbClient.connect`.

    Args:
        uri: as for `NdbClient.connect`.

    Raises:
        InvalidArgumentError: the URI cannot be opened by any transport.
        ConnectError: no connection can be made.
    """
    with LoopThread() as thread:
        client = thread.run(_opened(uri))
        try:
            yield client
        finally:
            thread.run(client.close())


async def _opened(uri: str) -> NdbClient:
    return await _ManyLoopClient.connect(uri)


class _ManyLoopClient(NdbClient):
    """A client for other loops than the one that opened it."""

    def _use(self, transport: Transport | None) -> None:
        if transport is not None and transport.is_remote:
            transport = _CarryingTransport(transport, asyncio.get_running_loop())
        super()._use(transport)


class _CarryingTransport(Transport):
    """Carries requests to the loop of another transport, and answers back."""

    def __init__(self, transport: Transport, home: asyncio.AbstractEventLoop) -> None:
        self.is_remote: bool = transport.is_remote
        self.perform: Callable[[Prepared], Awaitable[dict[str, Any]]] = self._perform
        self._transport = transport
        self._home = home

    @property
    def connections(self) -> int:  # type: ignore[override]  # it is never set  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._transport.connections

    @property
    def is_connected(self) -> bool:
        return self._transport.is_connected

    async def request(self, exchange: Exchange) -> bytes:
        async def requested() -> bytes:
            return await self._transport.request(exchange)

        if asyncio.get_running_loop() is self._home:
            return await requested()
        answering = asyncio.run_coroutine_threadsafe(requested(), self._home)
        if exchange.on_orphan is None:
            return await asyncio.wrap_future(answering)
        try:
            return await asyncio.shield(asyncio.wrap_future(answering))
        except asyncio.CancelledError:  # the answer must not be lost between the two loops
            answering.add_done_callback(lambda done: self._orphan(exchange, done))
            raise

    def _orphan(self, exchange: Exchange, done: Future[bytes]) -> None:
        if not done.cancelled() and done.exception() is None:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                self._home.call_soon_threadsafe(orphaned, exchange, done.result())

    async def _perform(self, prepared: Prepared) -> dict[str, Any]:
        async def performed() -> dict[str, Any]:
            begun = self._transport.perform(prepared)
            return begun if isinstance(begun, dict) else await begun

        if asyncio.get_running_loop() is self._home:
            return await performed()
        if prepared.on_orphan is not None:
            return prepared.read(await self.request(prepared.to_frame()))
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(performed(), self._home))

    async def aclose(self) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._transport.aclose(), self._home))

    def refuse_fork(self) -> None:
        self._transport.refuse_fork()

    def abandon(self) -> bool:
        return self._transport.abandon()
