"""Identify the server at the other end. It is asked once for each connection, and only on demand."""

from __future__ import annotations

import asyncio
from typing import Final

from ndb_models.client.requester import Requester
from ndb_models.client.transport import Transport
from ndb_models.errors import (
    ConnectionLostError,
    NdbError,
    ResponseError,
    ServerUnavailableError,
    UnsupportedServerError,
)
from ndb_models.protocol.servers import keeps_values, no_sessions
from ndb_models.types import JsonValue

# A first use and each reconnection come between two requests.
_ASKED_AT_MOST: Final = 4

UNKNOWN_VERSION: Final = ""
"""The version of a server that does not name its version."""


class PeerCommands(Requester):
    """`sv_info`, and the methods that depend on the server's version."""

    def __init__(self) -> None:
        super().__init__()
        self._asking = asyncio.Lock()
        # The version of the server, and the number of the connection over which it was asked.
        self._version = UNKNOWN_VERSION
        self._version_on: int | None = None

    def _use(self, transport: Transport | None) -> None:
        super()._use(transport)
        # A task of the parent process may hold the old lock, and the next transport may be used in another event loop.
        self._asking = asyncio.Lock()
        self._version_on = None

    async def sv_info(self) -> dict[str, JsonValue]:
        """Return the server's description of itself: `serverVersion`, `persistEnabled`."""
        return await self._describe("SV_INFO")

    async def server_version(self) -> str:
        """Return the version of the server; "" if it does not name one. It is asked once for each connection.

        `ndb_models/VERSION` is this package's server. A bare version such as `0.7.2` is a NemesisDB.

        Raises `ServerUnavailableError`, and the connection errors of `request`.
        """
        async with self._asking:
            asked = 0
            while not self._is_version_known():
                if asked == _ASKED_AT_MOST:
                    raise ConnectionLostError(
                        "SV_INFO",
                        maybe_done=False,
                        reason="the connection is lost whenever the server is asked what it is",
                    )
                asked += 1
                await self._ask_version()
            return self._version

    async def _ask_version(self) -> None:
        connection = self._transport_in_use.connections
        try:
            version = (await self.sv_info()).get("serverVersion")
        except ServerUnavailableError:
            raise
        except ResponseError:  # a server that does not tell its version
            version = None
        # A connection that was made meanwhile may lead to another server, which was not asked.
        if connection == self._transport_in_use.connections:
            self._version = version if isinstance(version, str) else UNKNOWN_VERSION
            self._version_on = connection

    def _is_version_known(self) -> bool:
        transport = self._transport_in_use
        return transport.is_connected and transport.connections == self._version_on

    async def keeps_values(self) -> bool:
        """Tell whether the server returns every value as it was sent. A NemesisDB does not, see `protocol.altered`.

        An engine in this process is not asked. A server is asked as by `server_version`.

        Raises as `server_version`.
        """
        return not self.is_remote or keeps_values(await self.server_version())

    async def identified(self, error: NdbError) -> NdbError:
        """Return the error. An `UnsupportedServerError` gets the version of the server, if it can be asked."""
        if not isinstance(error, UnsupportedServerError):
            return error
        try:
            version = await self.server_version()
        except NdbError:  # the caller needs to know the first error
            return error
        return UnsupportedServerError(error.command, error.rsp, no_sessions(version))
