"""The server: listening, sweeping, stopping."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Final

from websockets.protocol import State

from ndb_models.engine import Engine
from ndb_models.server.accepting import Acceptor
from ndb_models.server.connection import NdbServerConnection
from ndb_models.server.connection_registry import ConnectionRegistry
from ndb_models.server.gate import Gate, Readiness
from ndb_models.server.generations import Generations, WorkerState
from ndb_models.server.hosting import Host
from ndb_models.server.listening import listen, listening_on
from ndb_models.server.memory_limit import resident_limit, resident_memory
from ndb_models.server.memory_watch import MemoryWatch, give_back_freed_memory
from ndb_models.server.misses import MissWatch
from ndb_models.server.options import ServerOptions
from ndb_models.server.rounds import Rounds
from ndb_models.server.tls import replace_certificate, server_context
from ndb_models.server.tokens import Tokens
from ndb_models.server.traffic import Traffic
from ndb_models.uncopyable import Uncopyable

__all__ = ["NdbServer", "ServerOptions"]

_SWEEP_EVERY: Final = 1.0
_ENDING: Final = (State.CLOSING, State.CLOSED)

_logger = logging.getLogger(__name__)

# At DEBUG, websockets logs the frames: values and tokens, in an application that turns its root logger up.
_websocket_logger = logging.getLogger("ndb_models.server.websocket")
_websocket_logger.setLevel(logging.INFO)


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Return False for what websockets tells at INFO of a connection that is no client's, unless DEBUG is asked for.

    Else two lines would be logged for each probe of health and each scrape of metrics.
    """
    connection = getattr(record, "websocket", None)
    if record.levelno == logging.INFO and isinstance(connection, NdbServerConnection) and not connection.is_client:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return _logger.isEnabledFor(logging.DEBUG)
    return True


_websocket_logger.addFilter(_is_worth_telling)


class NdbServer(Uncopyable):
    """An engine behind a port: `async with NdbServer(engine, options) as server`, or `start` and `stop`.

    Browsers are refused, but for pages of the origins that are allowed. `prepare` is run once the server listens and
    before it is ready; until then handshakes get HTTP status 503, and so does `/readyz`. `state` is that of this worker
    among those that share a port.
    """

    def __init__(
        self,
        engine: Engine,
        options: ServerOptions | None = None,
        *,
        prepare: Callable[[], Awaitable[object]] | None = None,
        state: WorkerState | None = None,
    ) -> None:
        self._engine = engine
        self._options = options or ServerOptions()
        self._prepare = prepare
        self._traffic = Traffic()
        self._state = Generations().workers[0] if state is None else state
        if not self._state.served:
            self._state.born()
        self._registry: ConnectionRegistry[NdbServerConnection] = ConnectionRegistry(self._options, self._traffic)
        self._misses = MissWatch(self._options, self._traffic)
        self._gate = Gate(self._options, engine, self._traffic, self._state, self._registry)
        self._rounds = Rounds()
        self._acceptor: Acceptor | None = None
        self._port: int | None = None
        self._tls: ssl.SSLContext | None = None
        self._certificate = self._options.certificate
        self._sweeper: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and be ready.

        Raises:
            InvalidArgumentError: the host is beyond this machine and not protected, and `insecure` is not set; or the
                certificate or its key cannot be used.
            OSError: the address cannot be listened on.
            Exception: whatever `prepare` raised; the server has stopped.
        """
        options = self._options
        options.require_safe_address()
        if self._certificate is not None:
            self._tls = server_context(*self._certificate)
        with listening_on(options.host, options.port):
            listening = await listen(options.host, options.port, reuse_port=options.reuse_port)
        self._port = int(listening[0].getsockname()[1])
        _logger.info("listening", extra={"fields": {"uri": self.uri}})
        make = functools.partial(
            NdbServerConnection,
            engine=self._engine,
            options=options,
            traffic=self._traffic,
            misses=self._misses,
            rounds=self._rounds,
        )
        host = Host(options, make, self._gate, self._registry, tls=self._tls, logger=_websocket_logger)
        self._acceptor = Acceptor(
            listening, host.connect, free_descriptors=self._registry.free_descriptors, traffic=self._traffic
        )
        self._sweeper = asyncio.create_task(self._sweep())
        most = resident_limit()
        if most is not None:
            watch = MemoryWatch(most, resident_memory, lambda: self._registry.clients, give_back=give_back_freed_memory)
            self._watch = asyncio.create_task(watch.run())
        try:
            if self._prepare is not None:
                await self._prepare()
        except BaseException:
            await self.stop()
            raise
        self._gate.readiness = Readiness.READY
        _logger.info("ready", extra={"fields": {"uri": self.uri, "generation": self._state.served}})

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._port is not None, "the server was not started"
        return self._port

    @property
    def uri(self) -> str:
        """Where clients connect to."""
        host = self._options.host
        return f"{'wss' if self._options.secure else 'ws'}://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def reload(
        self, tokens: Tokens | None, *, certificate: tuple[Path, Path] | None = None, generation: int | None = None
    ) -> None:
        """Take these tokens, and read the certificate and its key anew.

        Clients whose token is not among them, or has another role now, are disconnected (code 1008) before this
        returns, and so are clients that were let in without one. The others stay connected. The new certificate is for
        connections from now on.

        Args:
            tokens: all that open the server from now on; None to let everyone do everything.
            certificate: the files of the certificate and of its key; None for those that the server has.
            generation: the number of what is read; None for the next.

        Raises:
            InvalidArgumentError: the certificate or its key cannot be used; everything stays as it was, and the
                generation too.
        """
        if generation is None:
            generation = self._state.generations.ask()
        if self._certificate is not None:
            certificate = certificate or self._certificate
            replace_certificate(self._tls, *certificate)
            self._certificate = certificate
        self._gate.tokens = tokens
        revoked = 0 if tokens is None else self._revoke(tokens)
        self._state.note_served(generation)
        _logger.info("reloaded", extra={"fields": {"generation": generation, "revoked": revoked}})

    def _revoke(self, tokens: Tokens) -> int:
        """End the clients whose token is not among these, or not with the role that it had; return how many."""
        revoked = [
            each
            for each in self._registry.clients
            if each.grant is not None and not tokens.holds(each.grant) and each.protocol.state not in _ENDING
        ]
        for connection in revoked:
            connection.revoke()
        return len(revoked)

    async def stop(self) -> None:
        """Answer what has been accepted, close all connections (code 1001), and the engine. Twice does no harm.

        What is not answered and read within `stop_timeout` is cut off.
        """
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            return
        self._gate.readiness = Readiness.STOPPING
        try:
            await acceptor.stop()
            if self._sweeper is not None:
                self._sweeper.cancel()
                await asyncio.wait([self._sweeper])
            if self._watch is not None:
                self._watch.cancel()
                await asyncio.wait([self._watch])
            await self._say_goodbye()
            self._registry.cut()
            await acceptor.wait_closed()
        finally:  # also where nobody waits any longer for the goodbye
            self._registry.cut()
            await self._engine.aclose()
        _logger.info("stopped")

    async def _say_goodbye(self) -> None:
        """Let every client have its answers, as long as there is time. Who is no client yet, or no more, has none."""
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
