"""One client's connection: frames in, their answers out, in order.

Where the engine does not have to wait, a frame is answered in the very callback that read it from the socket, and all
answers of one callback go out in one write. Where it has to (saving, loading), later frames wait their turn.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from typing import Any, Final, TypeAlias

from websockets.asyncio.server import Server
from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import Event, State
from websockets.server import ServerProtocol

from ndb_models.engine import Engine
from ndb_models.engine.engine import BINARY_FRAME
from ndb_models.server.deadline import Deadline
from ndb_models.server.misses import TOO_MANY_MISSES, MissWatch
from ndb_models.server.opening import OpeningConnection
from ndb_models.server.options import ServerOptions
from ndb_models.server.traffic import Ending, Traffic
from ndb_models.wire.framing import FrameReader, OtherFrame, text_frame
from ndb_models.wire.messages import MessageAssembler
from ndb_models.wire.pipeline import FENCE_EVERY, FEW

try:
    from websockets.speedups import apply_mask
except ImportError:  # where websockets was installed without its C extension
    from websockets.utils import apply_mask


_Begin: TypeAlias = Callable[[bytes], bytes | Coroutine[Any, Any, bytes]]

_logger = logging.getLogger(__name__)

# Enough to be worth a system call, few enough that the client has something to do meanwhile; and with the fence that a
# client of ours waits for before it goes on. The answers to a few more go out with these: it has them share the fence.
_WRITTEN_TOGETHER: Final = FENCE_EVERY + 1
# So many bytes of answers do not wait for more: only writing shows that a client does not read, and requests of a few
# bytes may ask for large values.
_WRITTEN_AT_ONCE: Final = 64 * 1024
# How often in its time a connection is looked at for being idle: so much of the time it may be longer.
_LOOKS: Final = 4


class NdbServerConnection(OpeningConnection):
    """A connection whose requests the engine answers.

    Who was not admitted as an admin is taken for a client that may only work on data.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        engine: Engine,
        options: ServerOptions,
        traffic: Traffic,
        misses: MissWatch,
        **more: Any,
    ) -> None:
        super().__init__(protocol, server, options=options, traffic=traffic, **more)
        self._engine = engine
        self._begin: _Begin = functools.partial(engine.begin, admin=False)
        self._options = options
        self._traffic = traffic
        self._misses = misses
        self._admitted = False
        # Stays when the connection has ended: probes and those who were refused never are.
        self.is_client: bool = False
        self._most_waiting = options.max_in_flight
        self._reader = FrameReader(masked=True, apply_mask=apply_mask, max_size=options.max_payload)
        self._assembler = MessageAssembler()
        self._binary = False
        # Messages that wait: for the one that is being answered, or for the client to read what it was sent.
        self._inbox: deque[tuple[bytes, bool]] = deque()
        self._answering: asyncio.Task[None] | None = None
        # Frames that go out together.
        self._outbox: list[bytes] = []
        self._outbox_size = 0
        # Set once the server stops: what comes from then on is not accepted.
        self._leaving = False
        # Whether there is a connection, and no close frame yet.
        self._is_open = False
        self._reading = True
        self._cut_off: asyncio.TimerHandle | None = None
        # Runs while a message is coming in; and from when the connection is to end.
        self._whole = Deadline(self.loop, options.receive_timeout, self._give_up)
        self._end_by = Deadline(self.loop, options.close_timeout, self._abort)
        # How often this was looked at since a request came.
        self._idle_looks = 0
        self._next_look: asyncio.TimerHandle | None = None

    def admit(self, *, admin: bool) -> None:
        """Let a client in; an `admin` may use the commands that are for admins."""
        on_miss = self._misses.of_connection(self.address, self.peer, self._end_guessing)
        self._begin = functools.partial(self._engine.begin, admin=admin, on_miss=on_miss)
        self._admitted = True
        self.is_client = True
        self._traffic.admitted += 1

    def _end_guessing(self) -> None:
        """End the connection once the answers to what came with the last guess are written."""
        self._ended(Ending.GUESSING)
        self.loop.call_soon(self._fail, CloseCode.POLICY_VIOLATION, TOO_MANY_MISSES)

    async def stay(self) -> None:
        """Answer until the connection ends."""
        self._traffic.opened += 1
        if self._options.idle_timeout is not None:
            self._look_again(self._options.idle_timeout / _LOOKS)
        await self.wait_closed()

    def _look_again(self, after: float) -> None:
        """Close the connection if no request came since as many looks as make its time."""

        def look() -> None:
            self._idle_looks += 1
            if self._idle_looks > _LOOKS and self._answering is None:
                self._ended(Ending.IDLE)
                self.protocol.send_close(CloseCode.GOING_AWAY, "idle")
                self.send_data()
                after_that = self._options.send_timeout
                self._next_look = self.loop.call_later(after_that, self.transport.abort)
            else:
                self._look_again(after)

        if self._is_open:
            self._next_look = self.loop.call_later(after, look)

    def _ended(self, reason: Ending) -> None:
        self._traffic.ended[reason] += 1
        _logger.info("connection ended", extra={"fields": {"reason": reason.value, "peer": self.peer}})

    def data_received(self, data: bytes) -> None:
        """Answer what came in, then write all answers at once."""
        if not self.is_client:
            if self.response is None:  # what comes after a refusal is not kept
                super().data_received(data)
            return
        traffic = self._traffic
        traffic.received += len(data)
        started = perf_counter()
        try:
            self._take(data)
        except MemoryError:
            self._run_out_of_memory()
        traffic.batches.note(perf_counter() - started)

    def _take(self, data: bytes) -> None:
        parts = self._reader.feed(data)
        enough = len(parts) - FEW
        for number, part in enumerate(parts):
            if type(part) is not OtherFrame:
                self._receive(part, binary=False)
                if len(self._outbox) >= _WRITTEN_TOGETHER and number < enough:
                    self._write()
            else:
                self._write()  # what websockets answers, a close above all, comes after what was answered before
                super().data_received(part)
                self._end_in_time()
        self._write()
        if self._reader.has_begun:
            self._whole.start()
        else:
            self._whole.stop()

    @property
    def held(self) -> int:
        """How many bytes of requests and answers are held for this client."""
        waiting = sum(len(message) for message, _ in self._inbox)
        return self._reader.size + self._assembler.size + waiting + self.transport.get_write_buffer_size()

    def free(self) -> None:
        """End at once, since memory is short."""
        self._run_out_of_memory()

    def _run_out_of_memory(self) -> None:
        """End at once: answers may have been lost, and those to come would be taken for them."""
        self._is_open = False
        self._outbox.clear()
        self._inbox.clear()
        self._ended(Ending.MEMORY)
        self.transport.abort()

    def send_data(self) -> None:
        """Send what websockets has to say, which it does whenever the state of the connection may have changed."""
        try:
            super().send_data()
        finally:
            self._is_open = self.protocol.state is State.OPEN

    def process_event(self, event: Event) -> None:
        """Take what websockets made of frames that are no whole text messages."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.opcode is not Opcode.CONT:
            self._binary = event.opcode is Opcode.BINARY
        message = self._assembler.add(bytes(event.data), final=event.fin)
        if message is not None:
            self._receive(message, binary=self._binary)

    def _receive(self, message: bytes, *, binary: bool) -> None:
        self._whole.stop()
        if self._leaving:
            return
        self._idle_looks = 0
        if self._inbox or self._answering is not None or self.paused:
            self._inbox.append((message, binary))
            self._read_on(len(self._inbox) < self._most_waiting and not self.paused)
        else:
            self._answer(message, binary=binary)

    def _answer(self, message: bytes, *, binary: bool) -> None:
        if not self._is_open:
            return
        if binary:
            self._put(BINARY_FRAME)
            return
        if not (message.isascii() or _is_utf8(message)):
            self._fail(CloseCode.INVALID_DATA, "a text message must be UTF-8")
            return
        answering = self._begin(message)
        if isinstance(answering, bytes):
            self._put(answering)
            return
        try:
            waits_for = answering.send(None)
        except StopIteration as done:
            self._put(done.value)
        else:
            self._answering = self.loop.create_task(self._finish(answering, waits_for))

    async def _finish(self, answering: Coroutine[Any, Any, bytes], waits_for: Any) -> None:
        started = perf_counter()
        try:
            answer = await _resume(answering, waits_for)
        finally:
            self._answering = None
            self._traffic.waits.note(perf_counter() - started)
        try:
            self._put(answer)
            self._work_off()
        except MemoryError:
            self._run_out_of_memory()

    def _put(self, answer: bytes) -> None:
        frame = text_frame(answer)
        self._outbox.append(frame)
        self._outbox_size += len(frame)
        if self._outbox_size >= _WRITTEN_AT_ONCE:
            self._write()

    def _work_off(self) -> None:
        """Answer what waits, until something has to wait longer."""
        while self._inbox and self._answering is None and not self.paused:
            message, binary = self._inbox.popleft()
            self._answer(message, binary=binary)
        self._write()
        self._read_on(len(self._inbox) < self._most_waiting and not self.paused)

    def _fail(self, code: CloseCode, reason: str) -> None:
        """End the connection with a close frame, after what was answered before."""
        self._write()
        self.protocol.fail(code, reason)
        self.send_data()
        self._end_in_time()

    def _end_in_time(self) -> None:
        """Once there was a close frame, a client that does not end its side of the connection is cut off."""
        if self.protocol.state is State.CLOSING:
            self._end_by.start()

    def _give_up(self) -> None:
        if self._reading:
            self._fail(CloseCode.POLICY_VIOLATION, "the message took too long to come in")
        else:
            self._whole.start()  # it is not the client who is late

    def _abort(self) -> None:
        self.transport.abort()

    async def leave(self) -> None:
        """Accept no more, answer everything that was accepted, and close the connection (code 1001)."""
        self._leaving = True
        while self._answering is not None:
            await asyncio.wait([self._answering])
        await self.close(CloseCode.GOING_AWAY)

    def cut(self) -> None:
        """End at once, whatever is still to be answered or read."""
        self._leaving = True
        if self._admitted:
            self._ended(Ending.STOPPING)
        if self._answering is not None:
            self._answering.cancel()
        self.evict()

    def _write(self) -> None:
        if self._outbox:
            frames = b"".join(self._outbox)
            self._outbox.clear()
            self._outbox_size = 0
            if self._is_open:
                self._traffic.sent += len(frames)
                self.transport.write(frames)

    def _read_on(self, go_on: bool) -> None:
        if go_on is not self._reading and not self.transport.is_closing():
            self._reading = go_on
            if go_on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def pause_writing(self) -> None:
        """Stop answering a client that does not read; cut it off if it does not start again."""
        super().pause_writing()
        self._read_on(False)
        self._wait_for_progress(self.transport.get_write_buffer_size())

    def _wait_for_progress(self, unread: int) -> None:
        """Cut the client off unless it has read something by then, again and again until it has caught up."""

        def look() -> None:
            still_unread = self.transport.get_write_buffer_size()
            if still_unread < unread:
                self._wait_for_progress(still_unread)
            else:
                self._ended(Ending.UNREAD)
                self.transport.abort()

        self._cut_off = self.loop.call_later(self._options.send_timeout, look)

    def resume_writing(self) -> None:
        """Go on answering."""
        super().resume_writing()
        self._stop_timer()
        try:
            self._work_off()
        except MemoryError:
            self._run_out_of_memory()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was not begun."""
        self._is_open = False
        self._stop_timer()
        self._whole.stop()
        self._end_by.stop()
        if self._next_look is not None:
            self._next_look.cancel()
        self._inbox.clear()
        if self._admitted:
            self._admitted = False
            self._traffic.admitted -= 1
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._cut_off is not None:
            self._cut_off.cancel()
            self._cut_off = None


def _is_utf8(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


@types.coroutine
def _resume(started: Coroutine[Any, Any, bytes], waits_for: Any) -> Generator[Any, Any, bytes]:
    """Go on with a coroutine that has been started outside of a task and waits for something."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as exc:  # noqa: BLE001 - whatever is thrown in, cancellation too, is the coroutine's
            resume = functools.partial(started.throw, exc)
        else:
            resume = functools.partial(started.send, sent)
        try:
            waits_for = resume()
        except StopIteration as done:
            answer: bytes = done.value
            return answer
