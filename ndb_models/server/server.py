"""The server: listening, sweeping, stopping."""

from __future__ import annotations

import asyncio
import functools
import logging
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Final

from websockets.asyncio.server import Server, ServerConnection, serve

from ndb_models.engine import Engine
from ndb_models.errors import InvalidArgumentError
from ndb_models.server.connection import NdbServerConnection

_SWEEP_EVERY: Final = 1.0
# Longer than a client whose requests wait for a save is not read from, its pongs neither.
_PONG_WITHIN: Final = 120.0

_logger = logging.getLogger(__name__)

# At DEBUG, websockets logs the frames: values and tokens, in an application that turns its root logger up.
_websocket_logger = logging.getLogger("ndb_models.server.websocket")
_websocket_logger.setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a server listens on, and what it lets clients do. Times in seconds, sizes in bytes.

    Args:
        host: the address to listen on. One beyond this machine is refused unless `insecure` is set: there is neither
            authentication nor encryption.
        port: 0 for any that is free.
        max_payload: the largest request; a larger one closes its connection with code 1009.
        open_timeout: how long a client may take for the handshake before it is cut off.
        receive_timeout: how long a request may take to come in, from its first byte to its last, before its connection
            is closed with code 1008.
        send_timeout: how long a client may leave answers unread before it is cut off.
        close_timeout: how long a client may take to end a connection that is being closed before it is cut off.
        insecure: listen beyond this machine all the same.
    """

    host: str = "127.0.0.1"
    port: int = 1987
    max_payload: int = 1024 * 1024
    open_timeout: float = 10.0
    receive_timeout: float = 60.0
    send_timeout: float = 30.0
    close_timeout: float = 10.0
    insecure: bool = False


class NdbServer:
    """An engine behind a port: `async with NdbServer(engine, options) as server`, or `start` and `stop`.

    Browsers are refused: a handshake with an `Origin` gets HTTP status 403.
    """

    def __init__(self, engine: Engine, options: ServerOptions | None = None) -> None:
        self._engine = engine
        self._options = options or ServerOptions()
        self._server: Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            InvalidArgumentError: the host is beyond this machine, and `insecure` is not set.
            OSError: the address cannot be listened on.
        """
        options = self._options
        if not options.insecure and not _is_loopback(options.host):
            raise InvalidArgumentError(
                f"{options.host} can be reached from other machines, and there is neither authentication nor"
                " encryption: listen on 127.0.0.1, or say that it is meant (--insecure)"
            )
        self._server = await serve(
            _stay,
            options.host,
            options.port,
            # Asked for as a class, but only called.
            create_connection=functools.partial(  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                NdbServerConnection,
                engine=self._engine,
                max_payload=options.max_payload,
                receive_timeout=options.receive_timeout,
                send_timeout=options.send_timeout,
            ),
            open_timeout=options.open_timeout,
            close_timeout=options.close_timeout,
            compression=None,
            max_size=options.max_payload,
            origins=[None],
            ping_timeout=_PONG_WITHIN,
            server_header=None,
            logger=_websocket_logger,
        )
        self._sweeper = asyncio.create_task(self._sweep())

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None, "the server was not started"
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def uri(self) -> str:
        """Where clients connect to."""
        host = self._options.host
        return f"ws://{f'[{host}]' if ':' in host else host}:{self.port}/"

    async def stop(self) -> None:
        """Answer what has been accepted, close all connections (code 1001), and the engine. Twice does no harm."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        server.close(close_connections=False)
        await asyncio.gather(*(each.leave() for each in server.connections if isinstance(each, NdbServerConnection)))
        await server.wait_closed()
        await self._engine.aclose()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            try:
                await self._engine.sweep()
            except Exception:
                _logger.exception("sweeping failed, and will be tried again")

    async def __aenter__(self) -> NdbServer:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


async def _stay(connection: ServerConnection) -> None:
    """Keep a connection open: it answers by itself."""
    await connection.wait_closed()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
