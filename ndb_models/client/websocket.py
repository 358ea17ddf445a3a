"""The way to a server over a WebSocket: opening the connection, and what it is opened with."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from ndb_models.client.connection import NdbConnection
from ndb_models.client.transport import Transport
from ndb_models.client.uri import WebSocketUri
from ndb_models.errors import ConnectError
from ndb_models.wire.commands import Command

_LARGEST_ANSWER: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """How to talk to a server. Times in seconds.

    Args:
        open_timeout: for the connection and its handshake.
        request_timeout: for the answer to each request.
        keepalive: how often to ask whether the other side still lives; None for never.
        ssl: the TLS context for `wss://`; None for the system's trusted certificates.
        headers: more headers for the handshake, such as `Authorization`. Never shown.
    """

    open_timeout: float = 10.0
    request_timeout: float = 30.0
    keepalive: float | None = 20.0
    ssl: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


class WebSocketTransport(Transport):
    """Carries requests over one connection."""

    def __init__(self, connection: NdbConnection, options: Options) -> None:
        self._connection = connection
        self._options = options

    @classmethod
    async def open(cls, uri: WebSocketUri, options: Options) -> WebSocketTransport:
        """Connect.

        Raises:
            ConnectError: nothing answers there, or what answers does not speak WebSocket or refuses us.
        """
        try:
            connection = await connect(
                uri.text,
                create_connection=NdbConnection,
                additional_headers=options.headers,
                compression=None,
                max_size=_LARGEST_ANSWER,
                open_timeout=options.open_timeout,
                ping_interval=options.keepalive,
                ping_timeout=options.keepalive,
                proxy=None,
                ssl=options.ssl,
            )
        except TimeoutError as exc:
            raise ConnectError(uri.shown, f"no handshake within {options.open_timeout:g} s") from exc
        except InvalidStatus as exc:
            reason = f"the server answered the handshake with HTTP status {exc.response.status_code}"
            raise ConnectError(uri.shown, reason) from exc
        except WebSocketException as exc:
            raise ConnectError(uri.shown, "what answers there does not speak WebSocket") from exc
        except (OSError, EOFError) as exc:
            raise ConnectError(uri.shown, getattr(exc, "strerror", None) or type(exc).__name__) from exc
        assert isinstance(connection, NdbConnection)
        return cls(connection, options)

    async def request(self, command: Command, frame: bytes) -> bytes:
        return await self._connection.ask(command, frame, self._options.request_timeout)

    async def aclose(self) -> None:
        await self._connection.close()
