"""One WebSocket connection to a server, with its requests in flight.

websockets keeps the handshake, the framing, TLS, keepalive and closing. What is taken over here is where frames come in
and go out: an answer resolves its waiter in the very callback that read it from the socket, and requests that are made
in one turn of the event loop go out in one write.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

from ndb_models.errors import ConnectionLostError, NdbError, ProtocolError, RequestTimeoutError
from ndb_models.wire.commands import Command
from ndb_models.wire.messages import MessageAssembler
from ndb_models.wire.pending import PendingRequests, Request

Waiter: TypeAlias = asyncio.Future[bytes]


class NdbConnection(ClientConnection):
    """A connection whose answers go to those who asked. Made by websockets' `connect(create_connection=...)`."""

    def __init__(
        self,
        protocol: ClientProtocol,
        *,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_queue: int | None | tuple[int | None, int | None] = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
    ) -> None:
        super().__init__(
            protocol,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
        )
        self._pending: PendingRequests[Waiter] = PendingRequests()
        # Set while requests wait for the end of this turn of the loop to be written together.
        self._flush_scheduled = False
        # Runs while requests are in flight, and looks whether the oldest is overdue.
        self._watch: asyncio.TimerHandle | None = None
        self._assembler = MessageAssembler()
        # Why the connection failed, once it has.
        self._failure: NdbError | None = None

    async def ask(self, command: Command, frame: bytes, timeout: float) -> bytes:
        """Send a request and return its answer. See `Transport.request`; `timeout` in seconds."""
        if self.protocol.state is not State.OPEN or self._failure is not None:
            raise ConnectionLostError(command.name, maybe_done=False) from self._failure
        waiter: Waiter = self.loop.create_future()
        request = Request(command, waiter, self.loop.time() + timeout)
        alone = not self._pending
        self._pending.push(request)
        self.protocol.send_text(frame)
        if alone and not self._flush_scheduled:
            self._write()
        elif not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush)
        if self._watch is None:
            self._watch = self.loop.call_at(request.deadline, self._look_for_overdue, timeout)
        try:
            return await waiter
        except asyncio.CancelledError:
            request.abandon()
            raise

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._write()

    def _write(self) -> None:
        # Nothing is left to write once the state has changed: closing writes all that there is.
        if self.protocol.state is State.OPEN:
            self.transport.write(b"".join(self.protocol.data_to_send()))

    def process_event(self, event: Event) -> None:
        """Take what came in: data frames here, everything else to websockets."""
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            answer = self._assembler.add(bytes(event.data), final=event.fin)
            if answer is not None and self._failure is None:
                self._resolve(answer)
        else:
            super().process_event(event)

    def _resolve(self, answer: bytes) -> None:
        try:
            request = self._pending.resolve(answer)
        except ProtocolError as exc:
            self._fail(exc)
            return
        if request.waiter is not None and not request.waiter.done():
            request.waiter.set_result(answer)

    def _look_for_overdue(self, timeout: float) -> None:
        self._watch = None
        head = self._pending.head
        if head is None:
            return
        if head.deadline <= self.loop.time():
            # Later answers cannot be told from this one, should it still come.
            self._fail(RequestTimeoutError(head.command.name, timeout))
        else:
            self._watch = self.loop.call_at(head.deadline, self._look_for_overdue, timeout)

    def _fail(self, failure: NdbError) -> None:
        """Drop the connection: nothing that still comes in on it can be trusted."""
        if self._failure is None:
            self._failure = failure
        self._fail_pending()
        self.transport.abort()

    def _fail_pending(self) -> None:
        now = self.loop.time()
        for request in self._pending.drain():
            if request.waiter is None or request.waiter.done():
                continue
            if isinstance(self._failure, RequestTimeoutError) and request.deadline <= now:
                error: NdbError = RequestTimeoutError(request.command.name, self._failure.timeout)
            else:
                error = ConnectionLostError(request.command.name, maybe_done=True)
            error.__cause__ = self._failure or self.connection_exc
            request.waiter.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is in flight: its answers will not come."""
        super().connection_lost(exc)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._fail_pending()
