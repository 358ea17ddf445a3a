"""A way to an engine on which something happens at one request: its caller is cancelled, or the connection is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from enum import Enum
from typing import Any

from ndb_models import NdbClient
from ndb_models.client.transport import Transport
from ndb_models.client.unattended import UnattendedTask
from ndb_models.engine import Engine
from ndb_models.errors import ConnectionLostError, ServerUnavailableError
from ndb_models.protocol.exchange import Exchange, orphaned
from ndb_models.protocol.prepared import Prepared

# After so many turns of the loop without a request there are no more.
_QUIET = 15


class Fault(Enum):
    """What happens, and whether the server has carried the request out by then."""

    CANCELLED_UNSENT = "the caller is cancelled before the request is sent"
    CANCELLED_UNANSWERED = "the caller is cancelled when the request was carried out"
    CUT_UNSENT = "the connection is cut before the request arrives"
    CUT_UNANSWERED = "the connection is cut when the request was carried out"
    CUT_TWICE = "the connection is cut when the request was carried out, and again before the next one arrives"
    REFUSED = "the server answers that it cannot do it now"
    DEAD_UNSENT = "the process dies before the request arrives"
    DEAD_UNANSWERED = "the process dies when the request was carried out"

    @property
    def is_carried_out(self) -> bool:
        """Whether the server has carried the request out."""
        return self in (Fault.CANCELLED_UNANSWERED, Fault.CUT_UNANSWERED, Fault.CUT_TWICE, Fault.DEAD_UNANSWERED)

    @property
    def is_death(self) -> bool:
        """Whether nothing gets through any more."""
        return self in (Fault.DEAD_UNSENT, Fault.DEAD_UNANSWERED)

    @property
    def is_cancelling(self) -> bool:
        """Whether the caller is cancelled."""
        return self in (Fault.CANCELLED_UNSENT, Fault.CANCELLED_UNANSWERED)


class FaultyTransport(Transport):
    """Has a fault at the request of one number, counted from 0; all others are carried out.

    Attributes:
        victim: whom a fault cancels.
        struck: the command of that request, once it has happened.
    """

    def __init__(self, engine: Engine, fault: Fault, number: int) -> None:
        self._engine = engine
        self._fault = fault
        self._number = number
        self._requests = 0
        self.victim: asyncio.Task[object] | None = None
        self.struck: str | None = None

    async def settled(self) -> None:
        """Wait until what is done for callers who have gone is done."""
        requests, quiet = -1, 0
        while quiet < _QUIET:
            quiet = quiet + 1 if requests == self._requests else 0
            requests = self._requests
            await asyncio.sleep(0)

    def request(self, exchange: Exchange) -> Awaitable[bytes]:
        return self._request(exchange)

    async def _request(self, exchange: Exchange) -> bytes:
        number = self._requests - self._number
        self._requests += 1
        await asyncio.sleep(0)
        if self.struck and self._fault.is_death:
            raise ConnectionLostError(exchange.command.name, maybe_done=False)
        if self._fault is Fault.CUT_TWICE and number == 1:
            raise ConnectionLostError(exchange.command.name, maybe_done=True)
        if number:
            return await self._engine.handle(exchange.frame)
        self.struck = exchange.command.name
        answer = await self._engine.handle(exchange.frame) if self._fault.is_carried_out else None
        return await self._strike(exchange, answer)

    async def _strike(self, exchange: Exchange, answer: bytes | None) -> bytes:
        if self._fault.is_cancelling:
            assert self.victim is not None
            self.victim.cancel()
            if isinstance(asyncio.current_task(), UnattendedTask):  # which goes on
                return answer or await self._engine.handle(exchange.frame)
            try:
                await asyncio.Event().wait()
            finally:
                if answer is not None:
                    orphaned(exchange, answer)
        name = exchange.command.name
        if self._fault is Fault.REFUSED:
            raise ServerUnavailableError(name, {"st": 1000, "m": ""}, "status 1000")
        raise ConnectionLostError(name, maybe_done=True)

    def perform(self, prepared: Prepared) -> Awaitable[dict[str, Any]]:
        return self._perform(prepared)

    async def _perform(self, prepared: Prepared) -> dict[str, Any]:
        return prepared.read(await self._request(prepared.to_frame()))

    async def aclose(self) -> None:
        pass

    def abandon(self) -> bool:
        return False


class FaultyClient(NdbClient):
    """A client on such a transport."""

    def __init__(self, transport: Transport, max_payload: int | None) -> None:
        super().__init__()
        self._use(transport)
        self.max_payload = max_payload
