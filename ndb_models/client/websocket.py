"""The way to a server over WebSocket connections: one at a time, made anew when it is lost."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
import ssl
import types
from collections.abc import Awaitable, Callable, Generator, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode

from ndb_models.client.connection import NdbConnection
from ndb_models.client.options import Options
from ndb_models.client.pending import PendingRequest
from ndb_models.client.transport import Transport
from ndb_models.client.uri import WebSocketUri
from ndb_models.errors import (
    ConnectError,
    ConnectionLostError,
    InvalidArgumentError,
    NotConnectedError,
    ProtocolError,
    RequestTimeoutError,
)
from ndb_models.uncopyable import Uncopyable
from ndb_models.wire.commands import Command
from ndb_models.wire.exchange import Exchange
from ndb_models.wire.payload import too_large
from ndb_models.wire.prepared import Prepared

T = TypeVar("T")

# At DEBUG websockets logs whole frames and headers: values, tokens, credentials.
_websockets_logger: Final = logging.getLogger("ndb_models.client.websockets")
_websockets_logger.setLevel(logging.INFO)

_LARGEST_ANSWER: Final = 64 * 1024 * 1024
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_TOO_LARGE: Final = "the connection was closed since a message was too large; max_payload= is what the server takes"
# How often a request is repeated after an answer that could not be right, before it is given up.
_ANOMALIES_FORGIVEN: Final = 2

# How many forks lie between this process and the first that has loaded this. Asking for the process's id instead would
# be a system call for each request.
_forks = 0


def _note_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class _Connect(connect):
    """Follows no redirects: they would take headers, and the sessions, to a server that nobody named."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class WebSocketTransport(Uncopyable, Transport):
    """Carries requests over a connection, and connects again when it is lost.

    What was in flight then is repeated if that is safe, and fails otherwise; what was not sent yet waits for the new
    connection. All within the request's own time.
    """

    is_remote: bool = True

    def __init__(self, uri: WebSocketUri, options: Options) -> None:
        self._uri = uri
        self._options = options
        self._connection: NdbConnection | None = None
        self.connections = 0
        # Connects again, for all who wait; ends when nobody does.
        self._reconnecting: asyncio.Task[None] | None = None
        self._waiting = 0
        self._why_not: ConnectError | None = None
        # Before the next attempt, in seconds: grows with each, until a request was answered.
        self._pause = 0.0
        self._closed = False
        # A connection belongs to one event loop, and its answers to one process: a fork would share them.
        self._loop = asyncio.get_running_loop()
        self._forks = _forks

    @classmethod
    async def open(cls, uri: WebSocketUri, options: Options) -> WebSocketTransport:
        """Connect.

        Raises:
            ConnectError: nothing answers there, or what answers does not speak WebSocket or refuses us.
        """
        if options.ssl is not None and not uri.secure:
            raise InvalidArgumentError("ssl= is for wss://, and the URI is ws://")
        transport = cls(uri, options)
        transport._connection = await transport._connect()
        return transport

    async def _connect(self) -> NdbConnection:
        options = self._options
        try:
            connection = await _Connect(
                self._uri.text,
                # Asked for as a class, but only called.
                create_connection=functools.partial(  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                    NdbConnection,
                    max_in_flight=options.max_in_flight,
                    request_timeout=options.request_timeout,
                    max_answer=_LARGEST_ANSWER,
                ),
                additional_headers=options.handshake_headers,
                close_timeout=options.open_timeout,
                compression=None,
                logger=_websockets_logger,
                max_size=_LARGEST_ANSWER,
                open_timeout=options.open_timeout,
                ping_interval=options.keepalive,
                ping_timeout=options.keepalive,
                proxy=None,
                ssl=(options.ssl or True) if self._uri.secure else None,
            )
        except TimeoutError as exc:
            raise ConnectError(self._uri.shown, f"no handshake within {options.open_timeout:g} s") from exc
        except InvalidStatus as exc:
            status = exc.response.status_code
            reason = f"the server answered the handshake with HTTP status {status}{self._advice(status)}"
            raise ConnectError(self._uri.shown, reason) from exc
        except WebSocketException as exc:
            raise ConnectError(self._uri.shown, "what answers there does not speak WebSocket") from exc
        except ssl.SSLError as exc:
            raise ConnectError(self._uri.shown, _tls_reason(exc)) from exc
        except (OSError, EOFError, UnicodeError) as exc:
            reason = getattr(exc, "strerror", None) or type(exc).__name__
            raise ConnectError(self._uri.shown, f"{reason}; {self._uri.hint}") from exc
        assert isinstance(connection, NdbConnection)
        self.connections += 1
        if self._closed:  # meanwhile; nobody else will close it
            connection.transport.abort()
        return connection

    def _advice(self, status: int) -> str:
        """Return what to do about a handshake that was refused, where the status tells."""
        if status != HTTPStatus.UNAUTHORIZED:
            return ""
        return "; it takes no " + (
            "token like this one" if self._options.token else "client without a token: token=..."
        )

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and self._connection.usable

    def request(self, exchange: Exchange) -> Awaitable[bytes]:
        return self._carry(exchange, bytes)

    def perform(self, prepared: Prepared) -> Awaitable[Mapping[str, Any]]:
        return self._carry(prepared.to_frame(), prepared.read)

    @types.coroutine
    def _carry(self, exchange: Exchange, read: Callable[[bytes], T]) -> Generator[Any, Any, T]:
        """Carry a request to the server, and return what is read from the frame that answers it.

        A coroutine that waits for its request itself; `await` would put a generator between, for each request.
        """
        command = exchange.command
        options = self._options
        if len(exchange.frame) > options.max_payload:
            raise too_large(command, exchange.frame, options.max_payload)
        loop = self._loop
        deadline = loop.time() + options.request_timeout
        anomalies = 0
        maybe_done = False
        if _forks != self._forks:
            raise self._elsewhere()
        while True:
            connection = self._connection
            if connection is None or not connection.usable:
                connection = yield from self._reconnected(command, deadline, maybe_done).__await__()
            request = PendingRequest(exchange, deadline, loop, connection.submit)
            try:
                yield request
            except RuntimeError as exc:
                if asyncio.get_running_loop() is not loop:
                    raise self._elsewhere() from exc
                raise
            except RequestTimeoutError as exc:
                if maybe_done and not exc.maybe_done:
                    raise RequestTimeoutError(command.name, exc.timeout, maybe_done=True) from exc
                raise
            except ConnectionLostError as exc:
                maybe_done = maybe_done or exc.maybe_done
                anomalies += isinstance(exc.__cause__, ProtocolError)
                reason = _TOO_LARGE if _is_too_large(exc.__cause__) else None
                hopeless = reason is not None or anomalies > _ANOMALIES_FORGIVEN
                if hopeless or not self._repeats(command, maybe_done):
                    raise ConnectionLostError(command.name, maybe_done=maybe_done, reason=reason) from exc.__cause__
            else:
                self._pause = 0.0
                return read(request.answer)

    def _elsewhere(self) -> InvalidArgumentError:
        return InvalidArgumentError("this client was opened in another event loop or process; open one in each")

    def _repeats(self, command: Command, maybe_done: bool) -> bool:
        return self._options.reconnect and not self._closed and (command.repeatable or not maybe_done)

    async def _reconnected(self, command: Command, deadline: float, maybe_done: bool) -> NdbConnection:
        """Return a new connection, for which many may wait while one is made."""
        if asyncio.get_running_loop() is not self._loop:
            raise self._elsewhere()
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                while self._connection is None or not self._connection.usable:
                    if self._closed or not self._options.reconnect:
                        raise ConnectionLostError(command.name, maybe_done=maybe_done) from self._why_not
                    if self._reconnecting is None:
                        self._reconnecting = asyncio.create_task(self._reconnect())
                    reconnecting = self._reconnecting
                    await asyncio.wait([reconnecting])
                    if not reconnecting.cancelled():
                        reconnecting.result()
        except TimeoutError:
            timeout = self._options.request_timeout
            raise RequestTimeoutError(command.name, timeout, maybe_done=maybe_done) from self._why_not
        finally:
            self._waiting -= 1
        return self._connection

    async def _reconnect(self) -> None:
        """Connect, again and again while somebody waits: with pauses that grow, and differ from client to client."""
        try:
            while self._waiting and not self._closed:
                await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))
                self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
                try:
                    self._connection = await self._connect()
                except ConnectError as exc:
                    self._why_not = exc
                else:
                    self._why_not = None
                    return
        finally:
            self._reconnecting = None

    async def aclose(self) -> None:
        self._closed = True
        if asyncio.get_running_loop() is not self._loop or _forks != self._forks:
            self.abandon()
            return
        try:
            if self._reconnecting is not None:
                self._reconnecting.cancel()
                await asyncio.wait([self._reconnecting])
            if self._connection is not None:
                self._connection.fail_requests(NotConnectedError("the client was closed"))
                await self._connection.close()
        except asyncio.CancelledError:
            self.abandon()
            raise

    def abandon(self) -> bool:
        self._closed = True
        connection = self._connection
        if connection is None or connection.transport.is_closing():
            return False
        if _forks == self._forks:  # after a fork the connection is the parent's
            connection.abort_from_anywhere()
        return True


def _tls_reason(failure: ssl.SSLError) -> str:
    """Return why TLS could not be agreed upon, and what to do."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted: {failure.verify_message}; ssl= takes the context that trusts"
            " it: ssl.create_default_context(cafile=...)"
        )
    reason = (failure.reason or type(failure).__name__).replace("_", " ").lower()
    return f"TLS failed: {reason}; does the server speak TLS there? wss:// is with TLS, ws:// without; see ssl="


def _is_too_large(cause: BaseException | None) -> bool:
    """Tell whether a side closed the connection because a message was too large: the same would happen again."""
    closes = (cause.rcvd, cause.sent) if isinstance(cause, ConnectionClosed) else ()
    return any(close is not None and close.code == CloseCode.MESSAGE_TOO_BIG for close in closes)
