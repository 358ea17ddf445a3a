"""Clients that do one command when they are told to, and may die in between: the order of things is the test's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

from ndb_models import NdbClient
from ndb_models.client.in_process import InProcessTransport
from ndb_models.client.transport import Transport
from ndb_models.engine import Engine
from ndb_models.errors import ConnectionLostError
from ndb_models.protocol.exchange import Exchange
from ndb_models.protocol.prepared import Prepared


class GatedTransport(Transport):
    """A way to an engine in this process that asks before each command. Once it is dead, nothing gets through."""

    def __init__(self, engine: Engine) -> None:
        self._inner = InProcessTransport(engine)
        self.dead = False
        self.commands: list[str] = []

    async def pass_gate(self) -> None:
        """Wait until a command may be carried out, or let the process die."""

    async def _ask(self, name: str) -> None:
        if not self.dead:
            await self.pass_gate()
        if self.dead:
            raise ConnectionLostError(name, maybe_done=True)
        self.commands.append(name)

    async def request(self, exchange: Exchange) -> bytes:
        await self._ask(exchange.command.name)
        return await self._inner.request(exchange)

    def perform(self, prepared: Prepared) -> Awaitable[dict[str, Any]]:
        return self._perform(prepared)

    async def _perform(self, prepared: Prepared) -> dict[str, Any]:
        await self._ask(prepared.command.name)
        begun = self._inner.perform(prepared)
        return begun if isinstance(begun, dict) else await begun

    async def aclose(self) -> None:
        pass

    def abandon(self) -> bool:
        return False


class MortalTransport(GatedTransport):
    """Dies once it has carried out so many commands."""

    def __init__(self, engine: Engine, lifetime: int) -> None:
        super().__init__(engine)
        self._lifetime = lifetime

    async def pass_gate(self) -> None:
        self.dead = len(self.commands) >= self._lifetime


class SteppedTransport(GatedTransport):
    """Does a command for every step."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.waiting: deque[asyncio.Future[None]] = deque()

    async def pass_gate(self) -> None:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        await gate

    def step(self) -> None:
        """Let one command through."""
        gate = self.waiting.popleft()
        if not gate.done():
            gate.set_result(None)

    def die(self) -> None:
        """Let none through any more."""
        self.dead = True
        while self.waiting:
            self.step()


class TransportClient(NdbClient):
    """A client on a transport of the test's."""

    def __init__(self, transport: Transport, max_payload: int | None = None) -> None:
        super().__init__()
        self._use(transport)
        self.max_payload = max_payload


class Turns:
    """Steps several parties through what they do, one command at a time."""

    def __init__(self, transports: Sequence[SteppedTransport], doing: Sequence[Coroutine[Any, Any, object]]) -> None:
        self._transports = transports
        self._tasks = [asyncio.ensure_future(each) for each in doing]

    async def ready(self) -> list[int]:
        """Return which parties could do a command now, once all that happens by itself has happened."""
        quiet = 0
        before: list[int] = []
        while quiet < 4:
            await asyncio.sleep(0)
            now = [len(transport.waiting) for transport in self._transports]
            quiet = quiet + 1 if now == before else 0
            before = now
        return [party for party, waiting in enumerate(before) if waiting]

    def step(self, party: int) -> None:
        self._transports[party].step()

    def kill(self, party: int) -> None:
        self._transports[party].die()

    @property
    def over(self) -> bool:
        """Whether all parties have done what they do."""
        return all(task.done() for task in self._tasks)

    async def results(self) -> list[object]:
        """Return what each party returned, or raised."""
        return await asyncio.gather(*self._tasks, return_exceptions=True)
