"""The transport to a server over WebSocket. It uses one connection at a time, and replaces a lost one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Awaitable, Callable
from threading import get_ident
from typing import Any, Final

from ndb_models import forks
from ndb_models.client.attempt_limits import AttemptLimits
from ndb_models.client.attempts import Attempt, Attempts
from ndb_models.client.connection import NdbConnection
from ndb_models.client.handshake import connected
from ndb_models.client.options import Options
from ndb_models.client.outage import Outage
from ndb_models.client.transport import Transport, used_elsewhere
from ndb_models.client.unattended import UnattendedTask
from ndb_models.client.uri import WebSocketUri
from ndb_models.client.waiting import WaitingRequests
from ndb_models.errors import (
    ConnectError,
    ConnectionLostError,
    NdbError,
    NotConnectedError,
    RequestTimeoutError,
)
from ndb_models.protocol.commands import Command
from ndb_models.protocol.exchange import Exchange, orphaned
from ndb_models.protocol.payload import too_large
from ndb_models.protocol.prepared import Prepared
from ndb_models.uncopyable import Uncopyable

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
        self._max_payload = options.max_payload
        self._request_timeout = options.request_timeout
        # Without reconnecting, waiting for the old connection is the only way.
        self._limits = AttemptLimits(options.attempt_timeout if options.reconnect else math.inf)
        self._connection: NdbConnection | None = None
        # Connections that wait for answers, and take no more requests.
        self._retired: set[NdbConnection] = set()
        # Connects again.
        self._reconnecting: asyncio.Task[None] | None = None
        # From the loss of the connection until the new one has answered.
        self._outage: Outage | None = None
        # Larger frames are sent alone, after a connection was cut with one in flight.
        self._suspect_above: float = math.inf
        self._closed = False
        # A connection belongs to one event loop and one process; after a fork two processes would read its answers.
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._forks = forks.count
        self._waiting = WaitingRequests(self._loop, self._waits_until, self._waited_error)
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
        connection = await connected(
            self._uri, self._options, self._limits, on_failure=self._note_failure, on_unusable=self._note_unusable
        )
        connection.suspect_above = self._suspect_above
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

    def _carry(self, exchange: Exchange, read: Callable[[bytes], Any]) -> Awaitable[Any]:
        """Send a request. Return a future for its result, which `read` makes of the answer's frame."""
        loop = self._loop
        # To ask asyncio for the running loop takes a system call on Python 3.11, and this is 5 % faster.
        if get_ident() != self._thread or not loop.is_running() or forks.count != self._forks:
            self._require_own_loop()
        if len(exchange.frame) > self._max_payload:
            raise too_large(exchange.command, exchange.frame, self._max_payload)
        future: asyncio.Future[Any] = loop.create_future()
        may_be_orphan = exchange.on_orphan is not None
        deadline = loop.time() + self._request_timeout
        attempt = Attempt(exchange, deadline, future.cancelled, future=future, read=bytes if may_be_orphan else read)
        connection = self._connection
        if connection is not None and connection.usable:
            connection.submit(attempt)
        else:
            self._wait(attempt)
        return _result_or_orphan(exchange, future, read) if may_be_orphan else future

    def _require_own_loop(self) -> None:
        if forks.count != self._forks or asyncio.get_running_loop() is not self._loop:
            raise used_elsewhere()
        self._thread = get_ident()  # the loop runs in another thread now

    def _wait(self, attempt: Attempt) -> None:
        """Keep a request until there is a usable connection."""
        if not self.is_connected and self._options.reconnect and not self._closed:
            self._current_outage()
            self._connect_again()
        self._waiting.add(attempt)
        if self.is_connected:
            self._submit_waiting()

    def _submit_waiting(self) -> None:
        for attempt in self._waiting.take_all():
            assert self._connection is not None
            self._connection.submit(attempt)

    def _note_failure(self, connection: NdbConnection, attempt: Attempt, error: NdbError) -> None:
        """Repeat a failed request if that can help and is safe. Otherwise give its caller the error."""
        exchange, failed = attempt.exchange, attempt.failed
        if isinstance(error, ConnectionLostError):
            failed = failed or Attempts()
            if failed.note(error, len(exchange.frame), connection.largest_taken):
                self._suspect_above = min(self._suspect_above, connection.largest_taken)
                if self._connection is not None:
                    self._connection.suspect_above = self._suspect_above
            if not failed.hopeless and self._repeats(exchange.command, failed):
                self._wait(attempt.again(failed))
                return
            cause, error = error.__cause__, failed.error(exchange.command)
            error.__cause__ = cause
        elif isinstance(error, RequestTimeoutError) and failed is not None and failed.maybe_done > error.maybe_done:
            cause, error = error, RequestTimeoutError(exchange.command.name, error.timeout, maybe_done=True)
            error.__cause__ = cause
        attempt.fail(error)

    def _repeats(self, command: Command, failed: Attempts) -> bool:
        return self._options.reconnect and not self._closed and (command.repeatable or not failed.maybe_done)

    def _waits_until(self, attempt: Attempt) -> float:
        """Return the time from which a request no longer waits for a connection; 0 if it does not wait at all."""
        return 0.0 if self._outage is None or self._closed else min(attempt.deadline, self._outage.waited_for_until)

    def _waited_error(self, attempt: Attempt) -> NdbError:
        """Return the error for a request that has waited for a connection until its end."""
        name, outage = attempt.exchange.command.name, self._outage
        maybe_done = attempt.failed is not None and attempt.failed.maybe_done
        if outage is None or self._closed:
            return ConnectionLostError(name, maybe_done=maybe_done)
        error: NdbError
        if outage.waited_for_until < attempt.deadline:
            error = ConnectionLostError(name, maybe_done=maybe_done, reason=outage.reason)
        else:
            timeout = self._options.request_timeout
            error = RequestTimeoutError(name, timeout, maybe_done=maybe_done, reason=outage.reason)
        error.__cause__ = outage.cause
        return error

    def _current_outage(self) -> Outage:
        """Return the current outage, or begin one."""
        connection = self._connection
        if connection is not None and connection.has_answered:
            connection.has_answered = False
            self._outage = None
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
                    self._submit_waiting()
                    return
                self._outage_goes_on(frozen=False)
        except Exception as exc:  # noqa: BLE001 - the waiting callers get it
            for attempt in self._waiting.take_all():
                attempt.fail(exc)
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
        self._suspect_above = max(self._suspect_above, connection.largest_taken)
        if connection is not self._connection:
            return
        if self._options.reconnect and not self._closed:
            self._outage_goes_on(frozen=connection.retired)
            self._loop.call_later(random.uniform(0, _LONGEST_DELAY), self._connect_unasked)
        self._connection = None

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
            self._waiting.end_overdue()
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
        is_open = any(not each.transport.is_closing() for each in self._connections)
        if forks.count == self._forks:  # after a fork the connection is the parent's
            with contextlib.suppress(RuntimeError):  # the loop was closed: the sockets go with their transports
                self._loop.call_soon_threadsafe(self._let_go)
        return is_open

    def _let_go(self) -> None:
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        self._waiting.end_overdue()
        for connection in self._connections:  # also one that was made since `abandon` was called
            connection.transport.abort()


async def _result_or_orphan(exchange: Exchange, future: asyncio.Future[bytes], read: Callable[[bytes], Any]) -> Any:
    """Return the result of a request whose answer must not be lost: if the caller is cancelled, it is an orphan."""
    try:
        answer = await future
    except asyncio.CancelledError:
        if not future.cancelled() and future.exception() is None:
            orphaned(exchange, future.result())
        raise
    return read(answer)
