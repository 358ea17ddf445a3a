"""A transport that the first request opens, for clients that are made before there is a server or a loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ndb_models.client.transport import Transport
from ndb_models.protocol.exchange import Exchange
from ndb_models.protocol.prepared import Prepared


class FirstUse(Transport):
    """Takes the place of a transport until it is open.

    Args:
        open_transport: opens the transport, or returns the one that another request has opened meanwhile.
        is_remote: the value of `is_remote` that the transport will have.
    """

    connections: int = 0

    def __init__(self, open_transport: Callable[[], Awaitable[Transport]], *, is_remote: bool) -> None:
        self._open = open_transport
        self.is_remote = is_remote

    @property
    def is_connected(self) -> bool:
        """Always False."""
        return False

    async def request(self, exchange: Exchange) -> bytes:
        """See `Transport.request`. Raises `ConnectError` if the transport cannot be opened."""
        transport = await self._open()
        return await transport.request(exchange)

    async def perform(self, prepared: Prepared) -> dict[str, Any]:
        """See `Transport.perform`. Raises `ConnectError` if the transport cannot be opened."""
        transport = await self._open()
        begun = transport.perform(prepared)
        return begun if isinstance(begun, dict) else await begun

    def refuse_fork(self) -> None:
        """Return: another process may open its own transport. If it may not, opening is refused."""

    async def aclose(self) -> None:
        """Has no effect: the transport is not open."""

    def abandon(self) -> bool:
        """Return False: the transport is not open."""
        return False
