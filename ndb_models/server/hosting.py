"""From an accepted socket to a client's connection, and to its end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Any

from websockets.protocol import State
from websockets.server import ServerProtocol

from ndb_models.server.connection import NdbServerConnection
from ndb_models.server.connection_registry import ConnectionRegistry
from ndb_models.server.context import ServerContext
from ndb_models.server.gate import Admission


class Host:
    """Takes accepted sockets through TLS and the opening handshake, and waits for the end of their connections."""

    def __init__(
        self,
        context: ServerContext,
        admission: Admission,
        registry: ConnectionRegistry[NdbServerConnection],
        *,
        tls: ssl.SSLContext | None,
        logger: logging.Logger,
    ) -> None:
        self._context = context
        self._admission = admission
        self._registry = registry
        self._logger = logger
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self._tls = {
                "ssl": tls,
                "ssl_handshake_timeout": context.options.open_timeout,
                "ssl_shutdown_timeout": context.options.close_timeout,
            }

    async def connect(self, accepted: socket.socket, peer: str, *, only_probes: bool) -> None:
        """Serve a socket until its connection ends or is cut off."""
        protocol = ServerProtocol(max_size=self._context.options.max_payload, logger=self._logger)
        connection = NdbServerConnection(protocol, self._context, peer=peer, only_probes=only_probes)
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
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted, **self._tls)
            async with asyncio.timeout(self._context.options.open_timeout):
                await connection.handshake(self._admission, server_header=None)
        except Exception:  # noqa: BLE001 - a failed handshake, even in TLS or by time, is the client's fault
            return False
        if connection.protocol.state is not State.OPEN:
            return False
        connection.start_keepalive()
        return True
