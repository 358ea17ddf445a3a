"""The server: listen, connect, sweep, reload, stop."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from websockets.protocol import State
from websockets.server import ServerProtocol

from ndb_models.engine import Engine
from ndb_models.server.accepting import Acceptor
from ndb_models.server.admission import Admission, Readiness
from ndb_models.server.connection import NdbServerConnection
from ndb_models.server.connection_registry import ConnectionRegistry
from ndb_models.server.context import ServerContext
from ndb_models.server.fair_queue import charged
from ndb_models.server.generations import Generations, WorkerState
from ndb_models.server.listening import listen, listening_on
from ndb_models.server.memory_limit import memory_used, resident_limit
from ndb_models.server.memory_watch import MemoryWatch, give_back_freed_memory
from ndb_models.server.options import ServerOptions
from ndb_models.server.tls import replace_certificate, server_context
from ndb_models.server.tokens import Tokens
from ndb_models.uncopyable import Uncopyable

if TYPE_CHECKING:
    from ndb_models.server.status_page import ServedPage, SharedPage

__all__ = ["NdbServer", "ServerOptions"]

_SWEEP_EVERY: Final = 1.0
_ENDING: Final = (State.CLOSING, State.CLOSED)

_logger = logging.getLogger(__name__)

# At DEBUG, websockets logs frames, with values and tokens. A root logger at DEBUG must not cause that.
_websocket_logger = logging.getLogger("ndb_models.server.websocket")
_websocket_logger.setLevel(logging.INFO)


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Lower the INFO records of websockets to DEBUG for connections that are not clients; return True to log one.

    Otherwise each health probe and each metrics scrape would log two lines.
    """
    connection = getattr(record, "websocket", None)
    if record.levelno == logging.INFO and isinstance(connection, NdbServerConnection) and not connection.is_client:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return _logger.isEnabledFor(logging.DEBUG)
    return True


_websocket_logger.addFilter(_is_worth_telling)


class NdbServer(Uncopyable):
    """An engine behind a port: `async with NdbServer(engine, options) as server`, or `start` and `stop`.

    Browsers are refused, except for pages of the allowed origins.

    Args:
        engine: answers the requests; `stop` closes it.
        options: None for the defaults.
        prepare: awaited once the server listens and before it is ready. Until then, handshakes and `/readyz` get HTTP
            status 503.
        state: the state of this worker, if several share a port.
        page: what all workers share of the status page, if several share a port.
    """

    def __init__(
        self,
        engine: Engine,
        options: ServerOptions | None = None,
        *,
        prepare: Callable[[], Awaitable[object]] | None = None,
        state: WorkerState | None = None,
        page: SharedPage | None = None,
    ) -> None:
        self._engine = engine
        self._options = options or ServerOptions()
        self._prepare = prepare
        self._context = ServerContext(engine, self._options)
        self._state = Generations().workers[0] if state is None else state
        if not self._state.served:
            self._state.born()
        self._registry: ConnectionRegistry[NdbServerConnection] = ConnectionRegistry(
            self._options, self._context.traffic
        )
        self._admission = Admission(self._context, self._state, self._registry)
        self._page: ServedPage | None = None
        if self._options.dashboard:
            self._page = self._served_page(page)
            self._admission.page = self._page
        self._acceptor: Acceptor | None = None
        self._port: int | None = None
        self._tls: ssl.SSLContext | None = None
        self._certificate = self._options.certificate
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen, prepare, and become ready.

        Raises:
            InvalidArgumentError: the host can be reached from other machines without protection, and `insecure` is not
                set; or the certificate or its key is unusable.
            OSError: the server cannot listen on the address.
            Exception: `prepare` raised it; the server has stopped.
        """
        options = self._options
        options.require_safe_address()
        options.require_safe_page()
        if self._certificate is not None:
            self._tls = server_context(*self._certificate)
        with listening_on(options.host, options.port):
            listening = await listen(options.host, options.port, reuse_port=options.reuse_port)
        self._port = int(listening[0].getsockname()[1])
        _logger.info("listening", extra={"fields": {"uri": self.uri}})
        rounds = self._context.rounds
        self._acceptor = Acceptor(
            listening,
            self._connect,
            turn=rounds.turn_of_openings,
            free_descriptors=self._registry.free_descriptors,
            traffic=self._context.traffic,
        )
        self._background.append(asyncio.create_task(self._sweep()))
        if self._page is not None:
            self._background.append(asyncio.create_task(self._page.run()))
        most = resident_limit()
        if most is not None:  # pragma: no branch - not every system tells
            watch = MemoryWatch(
                most,
                lambda: memory_used().resident,
                lambda: self._registry.clients,
                give_back=give_back_freed_memory,
            )
            self._background.append(asyncio.create_task(watch.run()))
        try:
            if self._prepare is not None:
                await self._prepare()
        except BaseException:
            await self.stop()
            raise
        self._admission.readiness = Readiness.READY
        _logger.info("ready", extra={"fields": {"uri": self.uri, "generation": self._state.served}})

    def _served_page(self, shared: SharedPage | None) -> ServedPage:
        # Loads the files of the page.
        from ndb_models.server.status_page import ServedPage, SharedPage

        shared = shared or SharedPage(len(self._state.generations.workers))
        return ServedPage(self._context, self._state, shared, lambda: self._admission.tokens)

    @property
    def page_uri(self) -> str | None:
        """The address of the status page; None if there is none."""
        return None if self._page is None else f"http{self.uri.removeprefix('ws')}dashboard/"

    @property
    def page_token(self) -> str | None:
        """The token that logs in to the status page during this run. None if the server has tokens, or no page."""
        return None if self._page is None or self._admission.tokens is not None else self._page.code

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        assert self._port is not None, "the server was not started"
        return self._port

    @property
    def uri(self) -> str:
        """The URI for clients."""
        host = self._options.host
        return f"{'wss' if self._options.secure else 'ws'}://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def reload(
        self, tokens: Tokens | None, *, certificate: tuple[Path, Path] | None = None, generation: int | None = None
    ) -> None:
        """Take these tokens, and read the certificate and its key again.

        A client is disconnected (code 1008) before this returns if its token is gone or has another role now. So is a
        client that was admitted without a token. The others stay connected; with `tokens` None, all do. The new
        certificate is for new connections.

        Args:
            tokens: all tokens that open the server from now on; None to let everyone do everything.
            certificate: the files of the certificate and its key; None for the present ones. Ignored without TLS.
            generation: the number of this configuration; None to ask for the next.

        Raises:
            InvalidArgumentError: the certificate or its key is unusable. The server goes on as before, with its old
                generation.
        """
        if generation is None:
            generation = self._state.generations.ask()
        if self._certificate is not None:
            certificate = certificate or self._certificate
            replace_certificate(self._tls, *certificate)
            self._certificate = certificate
        self._admission.tokens = tokens
        revoked = 0 if tokens is None else self._revoke(tokens)
        self._state.note_served(generation)
        _logger.info("reloaded", extra={"fields": {"generation": generation, "revoked": revoked}})

    def _revoke(self, tokens: Tokens) -> int:
        """End the clients that these tokens do not admit with the same role; return their number."""
        revoked = [
            each
            for each in self._registry.clients
            if each.grant is not None and not tokens.holds(each.grant) and each.protocol.state not in _ENDING
        ]
        for connection in revoked:
            connection.revoke()
        return len(revoked)

    async def stop(self) -> None:
        """Answer all accepted requests, close all connections (code 1001), and close the engine. Twice does no harm.

        After `stop_timeout`, the remaining connections are cut. That also happens if this is cancelled.
        """
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            return
        self._admission.readiness = Readiness.STOPPING
        try:
            await acceptor.stop()
            for task in self._background:
                task.cancel()
            await asyncio.wait(self._background)
            await self._say_goodbye()
            self._registry.cut()
            await acceptor.wait_closed()
        finally:  # even if this was cancelled during the goodbye
            self._registry.cut()
            await self._engine.aclose()
        _logger.info("stopped")

    async def _connect(self, accepted: socket.socket, peer: str, *, only_probes: bool) -> None:
        """Serve a socket until its connection ends or is cut off."""
        protocol = ServerProtocol(max_size=self._options.max_payload, logger=_websocket_logger)
        connection = NdbServerConnection(protocol, self._context, peer=peer, only_probes=only_probes)
        self._registry.arrive(connection)
        try:
            rounds = self._context.rounds
            await charged(self._serve(connection, accepted), rounds.charge_openings, rounds.turn_of_openings)
        except Exception:
            _websocket_logger.exception("a connection failed")
        finally:
            connection.hang_up()
            self._registry.leave(connection)

    async def _serve(self, connection: NdbServerConnection, accepted: socket.socket) -> None:
        if await self._open(connection, accepted):
            async with connection:
                await connection.stay()

    async def _open(self, connection: NdbServerConnection, accepted: socket.socket) -> bool:
        """Return True if the connection is open now. Otherwise it has been answered, or has failed by itself."""
        options = self._options
        times = {"ssl_handshake_timeout": options.open_timeout, "ssl_shutdown_timeout": options.close_timeout}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, **(times if self._tls is not None else {})
            )
            async with asyncio.timeout(options.open_timeout):
                await connection.handshake(self._admission, server_header=None)
        except Exception:  # noqa: BLE001 - a failed handshake, even in TLS or by time, is the client's fault
            return False
        if connection.protocol.state is not State.OPEN:
            return False
        connection.start_keepalive()
        return True

    async def _say_goodbye(self) -> None:
        """Give every open client its answers, within `stop_timeout`."""
        clients = [each for each in self._registry.clients if each.protocol.state is State.OPEN]
        leaving = [asyncio.create_task(each.leave()) for each in clients]
        if leaving:
            _, late = await asyncio.wait(leaving, timeout=self._options.stop_timeout)
            for each in late:
                each.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)

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
