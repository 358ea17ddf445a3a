"""From an accepted socket to a client's connection, and to its end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from websockets.protocol import State
from websockets.server import ServerProtocol

from ndb_models.server.connection import NdbServerConnection
from ndb_models.server.connection_registry import ConnectionRegistry
from ndb_models.server.gate import Gate
from ndb_models.server.options import ServerOptions

# While a client's requests wait for a save, the server does not read its pongs either. This allows for long saves.
_PONG_WITHIN: Final = 120.0

MakeConnection: TypeAlias = Callable[..., NdbServerConnection]
"""Returns a connection; takes the arguments of websockets and of `OpeningConnection`."""


class Host:
    """Takes accepted sockets through TLS and the opening handshake, and waits for the end of their connections.

    Stands in for the `Server` that websockets gives each connection.
    """

    def __init__(
        self,
        options: ServerOptions,
        make: MakeConnection,
        gate: Gate,
        registry: ConnectionRegistry[NdbServerConnection],
        *,
        tls: ssl.SSLContext | None,
        logger: logging.Logger,
    ) -> None:
        self._options = options
        self._make = make
        self._gate = gate
        self._registry = registry
        self._tls = tls
        self._logger = logger
        self._tls_times: dict[str, Any] = {}
        if tls is not None:
            self._tls_times = {
                "ssl_handshake_timeout": options.open_timeout,
                "ssl_shutdown_timeout": options.close_timeout,
            }

    def is_serving(self) -> bool:
        """Return True: the gate refuses handshakes while the server is not ready."""
        return True

    async def connect(self, accepted: socket.socket, peer: str, *, only_probes: bool) -> None:
        """Serve a socket until its connection ends or is cut off."""
        options = self._options
        protocol = ServerProtocol(max_size=options.max_payload, logger=self._logger)
        connection = self._make(
            protocol,
            self,
            close_timeout=options.close_timeout,
            ping_timeout=_PONG_WITHIN,
            peer=peer,
            only_probes=only_probes,
        )
        self._registry.arrive(connection)
        try:
            if await self._open(connection, accepted):
                async with connection:
                    await connection.stay()
        except Exception:
            self._logger.exception("a connection failed")
        finally:
            connection.hang_up()
            self._registry.leave(connection)

    async def _open(self, connection: NdbServerConnection, accepted: socket.socket) -> bool:
        """Return True if the connection is open now. Otherwise it has been answered, or has failed by itself."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, **self._tls_times
            )
            async with asyncio.timeout(self._options.open_timeout):
                await connection.handshake(self._gate, server_header=None)
        except Exception:  # noqa: BLE001 - a failed handshake, even in TLS or by time, is the client's fault
            return False
        if connection.protocol.state is not State.OPEN:
            return False
        connection.start_keepalive()
        return True
