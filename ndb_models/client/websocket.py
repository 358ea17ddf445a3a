"""The transport to a server over WebSocket. It uses one connection at a time, and replaces a lost one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, TypeVar

from ndb_models import forks
from ndb_models.client.attempt_limits import AttemptLimits
from ndb_models.client.attempts import Attempts
from ndb_models.client.connection import NdbConnection
from ndb_models.client.handshake import connected
from ndb_models.client.options import Options
from ndb_models.client.outage import Outage
from ndb_models.client.pending import PendingRequest
from ndb_models.client.transport import Transport, used_elsewhere
from ndb_models.client.unattended import UnattendedTask
from ndb_models.client.uri import WebSocketUri
from ndb_models.errors import (
    ConnectError,
    ConnectionLostError,
    NotConnectedError,
    RequestTimeoutError,
)
from ndb_models.uncopyable import Uncopyable
from ndb_models.wire.commands import Command
from ndb_models.wire.exchange import Exchange
from ndb_models.wire.payload import too_large
from ndb_models.wire.prepared import Prepared

T = TypeVar("T")

# The most seconds that an idle client waits before it connects again. Clients draw random times.
_LONGEST_DELAY: Final = 0.05


class WebSocketTransport(Uncopyable, Transport):
    """Carries requests over a connection, and connects again when it is lost.

    Requests that were in flight are repeated if that is safe, and fail otherwise. Unsent requests wait for the new
    connection. All stay within their own `request_timeout`, and wait at most `connect_wait` from the beginning of the
    outage. The transport keeps trying to connect until it succeeds or is closed, even without waiting requests.
    """

    is_remote: bool = True

    def __init__(self, uri: WebSocketUri, options: Options) -> None:
        self._uri = uri
        self._options = options
        # Without reconnecting, waiting for the old connection is the only way.
        self._limits = AttemptLimits(options.attempt_timeout if options.reconnect else math.inf)
        self._connection: NdbConnection | None = None
        # Connections that wait for answers, and take no more requests.
        self._retired: set[NdbConnection] = set()
        # Connects again.
        self._reconnecting: asyncio.Task[None] | None = None
        # From the loss of the connection until the next answer.
        self._outage: Outage | None = None
        # Larger frames are sent alone, after a connection was cut with one in flight.
        self._suspect_above: float = math.inf
        self._closed = False
        # A connection belongs to one event loop and one process; after a fork two processes would read its answers.
        self._loop = asyncio.get_running_loop()
        self._forks = forks.count
        self.connections: int = 0

    @classmethod
    async def open(cls, uri: WebSocketUri, options: Options) -> WebSocketTransport:
        """Connect.

        Raises:
            ConnectError: the server does not answer, does not speak WebSocket, or refuses the client.
        """
        transport = cls(uri, options)
        await transport._connect()
        return transport

    async def _connect(self) -> NdbConnection:
        connection = await connected(self._uri, self._options, self._limits, self._note_unusable)
        if self._closed:  # closed meanwhile, so `aclose` has missed this connection
            connection.transport.abort()
        self._connection = connection
        self.connections += 1
        return connection

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and self._connection.usable

    def request(self, exchange: Exchange) -> Awaitable[bytes]:
        return self._carry(exchange, bytes)

    def perform(self, prepared: Prepared) -> Awaitable[dict[str, Any]]:
        return self._carry(prepared.to_frame(), prepared.read)

    @types.coroutine
    def _carry(self, exchange: Exchange, read: Callable[[bytes], T]) -> Generator[Any, Any, T]:
        """Carry a request to the server, and return its answer, read from the frame.

        This is a generator-based coroutine, so that it can yield the request itself. `await` would need one more
        generator for each request.
        """
        size = len(exchange.frame)
        if size > self._options.max_payload:
            raise too_large(exchange.command, exchange.frame, self._options.max_payload)
        loop = self._loop
        deadline = loop.time() + self._options.request_timeout
        attempts: Attempts | None = None
        if forks.count != self._forks:
            raise used_elsewhere()
        while True:
            connection = self._connection
            if connection is None or not connection.usable:
                connection = yield from self._reconnected(exchange.command, deadline, attempts).__await__()
            request = PendingRequest(exchange, deadline, loop, connection.submit)
            if attempts is not None:
                request.patience = attempts.patience
            if size > self._suspect_above:
                request.alone = True
            try:
                yield request
            except RuntimeError as exc:
                if asyncio.get_running_loop() is not loop:
                    raise used_elsewhere() from exc
                raise
            except RequestTimeoutError as exc:
                if attempts is not None and attempts.maybe_done and not exc.maybe_done:
                    raise RequestTimeoutError(exchange.command.name, exc.timeout, maybe_done=True) from exc
                raise
            except ConnectionLostError as exc:
                attempts = attempts or Attempts()
                if attempts.note(exc, size, connection.largest_taken):
                    self._suspect_above = min(self._suspect_above, connection.largest_taken)
                if attempts.hopeless or not self._repeats(exchange.command, attempts):
                    raise attempts.error(exchange.command) from exc.__cause__
            else:
                if self._outage is not None:
                    self._outage = None
                if size > connection.largest_taken:
                    self._note_taken(size, connection)
                return read(request.answer)

    def _repeats(self, command: Command, attempts: Attempts) -> bool:
        return self._options.reconnect and not self._closed and (command.repeatable or not attempts.maybe_done)

    def _note_taken(self, size: int, connection: NdbConnection) -> None:
        """Record that the server takes frames of this size."""
        connection.largest_taken = size
        if size > self._suspect_above:
            self._suspect_above = size

    async def _reconnected(self, command: Command, deadline: float, attempts: Attempts | None) -> NdbConnection:
        """Return a new connection. Many requests may wait for the same one.

        Raises:
            ConnectionLostError: the transport is closed or may not reconnect, or the outage lasts too long.
            RequestTimeoutError: the request's time is over.
            InvalidArgumentError: this runs in another event loop than the transport's.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise used_elsewhere()
        maybe_done = attempts is not None and attempts.maybe_done
        while self._connection is None or not self._connection.usable:
            if self._closed or not self._options.reconnect:
                raise ConnectionLostError(command.name, maybe_done=maybe_done)
            outage, reconnecting = self._current_outage(), self._connect_again()
            until = min(deadline, outage.waited_for_until)
            left = until - self._loop.time()
            if left > 0:
                await asyncio.wait([reconnecting], timeout=left)
                if reconnecting.done() and not reconnecting.cancelled():
                    reconnecting.result()
                continue
            await asyncio.sleep(0)  # a caller that retries in a loop leaves others their turn
            reason = outage.reason
            if until < deadline:
                raise ConnectionLostError(command.name, maybe_done=maybe_done, reason=reason) from outage.cause
            timeout = self._options.request_timeout
            raise RequestTimeoutError(command.name, timeout, maybe_done=maybe_done, reason=reason) from outage.cause
        return self._connection

    def _current_outage(self) -> Outage:
        """Return the current outage, or begin one."""
        if self._outage is None:
            wait = self._options.connect_wait
            self._outage = Outage(self._loop.time(), wait, f"no connection to {self._uri.shown} within {wait:g} s")
        return self._outage

    def _connect_again(self) -> asyncio.Task[None]:
        """Return the task that connects again; start it if necessary."""
        if self._reconnecting is None:
            self._reconnecting = UnattendedTask(self._reconnect(), loop=self._loop)
        return self._reconnecting

    async def _reconnect(self) -> None:
        """Try to connect until it succeeds. The pauses grow, and differ from client to client."""
        try:
            while not self._closed:
                await asyncio.sleep(self._current_outage().next_pause())
                try:
                    connection = await self._connect()
                except ConnectError as exc:
                    self._current_outage().failed(exc)
                    continue
                self._current_outage().connected(self._loop.time())
                if connection.usable:
                    return
                self._outage_goes_on(frozen=False)
        finally:
            self._reconnecting = None

    def _outage_goes_on(self, *, frozen: bool) -> None:
        """Record that a connection was lost: the outage goes on, or a new one begins."""
        reason = f"{self._uri.shown} takes connections, and does not answer"
        if not self._current_outage().goes_on(self._loop.time(), reason, frozen=frozen):
            self._outage = None
            self._current_outage()

    def _note_unusable(self, connection: NdbConnection) -> None:
        """Connect again without waiting for a request. The next request finds a connection, or the reason for none."""
        if connection.retired:
            self._retired.add(connection)
        else:
            self._retired.discard(connection)
        if connection is not self._connection:
            return
        self._connection = None
        if self._options.reconnect and not self._closed:
            self._outage_goes_on(frozen=connection.retired)
            self._loop.call_later(random.uniform(0, _LONGEST_DELAY), self._connect_unasked)

    def _connect_unasked(self) -> None:
        if self._connection is None and not self._closed:
            self._connect_again()

    async def aclose(self) -> None:
        self._closed = True
        if asyncio.get_running_loop() is not self._loop or forks.count != self._forks:
            self.abandon()
            return
        try:
            if self._reconnecting is not None:
                self._reconnecting.cancel()
                await asyncio.wait([self._reconnecting])
            for connection in (*self._retired,):
                connection.drop(NotConnectedError("the client was closed"))
            if self._connection is not None:
                self._connection.fail_requests(NotConnectedError("the client was closed"))
                await self._connection.close()
        except asyncio.CancelledError:
            self.abandon()
            raise

    @property
    def _connections(self) -> list[NdbConnection]:
        return [*self._retired, *([] if self._connection is None else [self._connection])]

    def abandon(self) -> bool:
        self._closed = True
        if self._reconnecting is not None and forks.count == self._forks:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and the task with it
                self._loop.call_soon_threadsafe(self._reconnecting.cancel)
        abandoned = [each for each in self._connections if not each.transport.is_closing()]
        for connection in abandoned:
            if forks.count == self._forks:  # after a fork the connection is the parent's
                connection.abort_from_anywhere()
        return bool(abandoned)
