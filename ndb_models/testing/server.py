"""A server for tests, in a thread of this process."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, Unpack

from ndb_models.client import NdbClient
from ndb_models.client.client import Connecting
from ndb_models.client.options import OptionArguments
from ndb_models.engine import Engine
from ndb_models.errors import InvalidArgumentError
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.contract import Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.opening import open_store, parse_store_uri
from ndb_models.testing.loop_thread import LoopThread

# A test may leave a client open on a loop that has stopped. The server must not wait for it.
_QUICKLY: Final = ServerOptions(port=0, stop_timeout=0.1, close_timeout=0.1)


class RunningServer:
    """A server in a thread of this process: `with RunningServer() as server: ... server.uri`.

    The thread has an event loop of its own. So the server has clients on all loops, and in other threads and processes
    of this machine. It also goes on while a test blocks its loop. A `MovableClock` moves its store too.

    Args:
        store: the store to serve, `memory://` or `sqlite:///PATH`.
        options: None for a free port of 127.0.0.1, without tokens or TLS. Such a server waits 0.1 s for its clients
            when it stops.

    Raises (when entered):
        InvalidArgumentError: the store or an option cannot be used.
        StoreError: the store cannot be opened.
        OSError: the server cannot listen on the port.
    """

    def __init__(self, store: str = "memory://", *, options: ServerOptions | None = None) -> None:
        self._thread = LoopThread()
        self._options = options or _QUICKLY
        self._store_uri = store
        # A store in memory is kept while the server is stopped.
        self._memory = MemoryStore() if parse_store_uri(store) is None else None
        self._server: NdbServer | None = None
        self._uri: str | None = None
        self._reserved: socket.socket | None = None

    def __enter__(self) -> Self:
        self._thread.__enter__()
        try:
            self._reserve_port()
            self.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
        self._thread.__exit__(None, None, None)

    def _reserve_port(self) -> None:
        """Choose a free port. While the server is stopped, no program that asks for any free port gets this one."""
        # Other systems do not let a server listen on a port that a socket of another program is bound to.
        if self._options.port == 0 and self._options.host == "127.0.0.1" and sys.platform == "linux":
            self._reserved = socket.socket()
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved.bind((self._options.host, 0))  # it does not listen, so it does not disturb the server
            self._options = replace(self._options, port=self._reserved.getsockname()[1])

    @property
    def uri(self) -> str:
        """The URI for clients. It stays while the server is stopped, and after it has started again."""
        if self._uri is None:
            raise InvalidArgumentError("this server was not started: with RunningServer() as server: ...")
        return self._uri

    def connect(self, **options: Unpack[OptionArguments]) -> Connecting:
        """Return a client of the server, for one event loop: `async with server.connect() as client`.

        Takes the options of `NdbClient.connect`, such as a `token`, and raises as it.
        """
        return NdbClient.connect(self.uri, **options)

    def stop(self) -> None:
        """Stop serving, as in an outage: connections end, and new ones are refused. What is stored stays.

        Blocks until the port is closed. Stopping twice does no harm.
        """
        server, self._server = self._server, None
        if server is not None:
            self._thread.run(server.stop())

    def start(self) -> None:
        """Serve again after `stop`, on the same port and with the data as it was. Starting twice does no harm.

        Raises as entering does; also `OSError` if another program has taken the port meanwhile. Where the server chose
        a free port, Linux gives it to no program that asks for any.
        """
        if self._server is None:
            self._server = self._thread.run(self._started())
            self._uri = self._server.uri
            self._options = replace(self._options, port=self._server.port)

    async def _started(self) -> NdbServer:
        store: Store = self._memory or await open_store(self._store_uri)
        try:
            server = NdbServer(Engine(store), self._options)
            await server.start()
        except BaseException:
            await store.aclose()
            raise
        return server

    def __repr__(self) -> str:
        state = "" if self._server is not None else ", stopped"
        return f"<RunningServer {self._uri or '(never started)'}{state}>"
