"""Take the frames of one client at a pace that leaves time for others.

In a turn of the event loop, each connection has a budget of frames, bytes and time. Input beyond the budget waits for a
later turn (`Rounds`), with reading paused. So does input that arrives when others have used up the turn.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from time import perf_counter
from typing import Any, Final

from websockets.asyncio.server import Server
from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import Event, State
from websockets.server import ServerProtocol

from ndb_models.server.deadline import Deadline
from ndb_models.server.idleness import IdleWatch, UnreadWatch
from ndb_models.server.opening import OpeningConnection
from ndb_models.server.options import ServerOptions
from ndb_models.server.rounds import BYTES_A_TURN, FRAMES_A_TURN, SECONDS_A_ROUND, SECONDS_AT_ONCE, Rounds
from ndb_models.server.traffic import Ending, Traffic
from ndb_models.wire.framing import Breach, FrameReader, Part, is_last, text_frame
from ndb_models.wire.messages import MessageAssembler
from ndb_models.wire.pipeline import FENCE_EVERY, FEW

try:
    from websockets.speedups import apply_mask
except ImportError:  # websockets was installed without its C extension
    from websockets.utils import apply_mask


# Answers in one write: enough to be worth a system call, and few enough to give the client work early. One more than
# FENCE_EVERY, for the fence that our client waits for. Fewer than FEW further answers go out with these: the client
# lets them share the fence.
_WRITTEN_TOGETHER: Final = FENCE_EVERY + 1
# This many bytes of answers are written without waiting for more. Only a write shows that a client does not read, and
# requests of a few bytes may ask for large values.
_WRITTEN_AT_ONCE: Final = 64 * 1024


class PacedConnection(OpeningConnection):
    """A connection that hands over messages in order, within the budget of each turn."""

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        options: ServerOptions,
        traffic: Traffic,
        rounds: Rounds,
        **more: Any,
    ) -> None:
        super().__init__(protocol, server, options=options, traffic=traffic, **more)
        self._rounds = rounds
        self.time_used: float = 0.0
        self._most_waiting = options.max_in_flight
        self._reader = FrameReader(masked=True, apply_mask=apply_mask, max_size=options.max_payload)
        self._assembler = MessageAssembler()
        self._binary = False
        # Messages that wait: for an earlier answer, or for the client to read its answers.
        self._inbox: deque[tuple[bytes, bool]] = deque()
        self._answering: asyncio.Task[None] | None = None
        # The breach or close frame that ends the connection, while it waits for earlier answers.
        self._last: Part | None = None
        # True if the client will send no more, while this waits for earlier answers too.
        self._eof = False
        # True if a later turn has been asked for; and if reading pauses until then.
        self._asked = False
        self._sated = False
        # Frames that go out together.
        self._outbox: list[bytes] = []
        self._outbox_size = 0
        # Set once the server stops: reading ends. Then a future for the last answer.
        self._leaving = False
        self._all_answered: asyncio.Future[None] | None = None
        # True while the connection is open and there was no close frame.
        self._is_open = False
        self._reading = True
        # The first runs while a message is coming in, the second from the closing of the connection on.
        self._whole = Deadline(self.loop, options.receive_timeout, self._give_up)
        self._end_by = Deadline(self.loop, options.close_timeout, self._abort)
        self._idle = IdleWatch(self.loop, options.idle_timeout, self._close_idle)
        self._unread = UnreadWatch(self.loop, options.send_timeout, self._cut_unread)

    @abstractmethod
    def _answer(self, message: bytes, *, binary: bool) -> None:
        """Answer a message, or set `_answering` to the task that will."""

    @abstractmethod
    def _ended(self, reason: Ending) -> None:
        """Note that the server ends this connection."""

    @abstractmethod
    def cut(self) -> None:
        """End at once, with requests unanswered and answers unread."""

    def data_received(self, data: bytes) -> None:
        """Answer the input, as far as the budget of this turn allows."""
        if not self.has_shaken_hands:
            super().data_received(data)
            return
        self._traffic.received += len(data)
        if self._asked or self.time_used > self._rounds.limit:
            self._reader.add(data)
            self._sated = self._asked or len(data) >= BYTES_A_TURN
            self._ask()
            return
        try:
            self._work(data)
        except MemoryError:
            self.free()

    def _begin_with(self, early: bytes) -> None:
        if early:
            self._traffic.received += len(early)
            self._reader.add(early)
            self._ask()

    def send_data(self) -> None:
        """Send the output of websockets, which calls this whenever the connection's state may have changed."""
        try:
            super().send_data()
        finally:
            self._is_open = self.protocol.state is State.OPEN
            if self._leaving:
                self._settle()

    def take_turn(self) -> None:
        """Process the input and the messages that wait."""
        self._asked = False
        if self.connection_lost_waiter.done():
            return
        try:
            self._work()
        except MemoryError:
            self.free()

    def _go_on(self) -> None:
        """Process waiting input and messages now, or in a later turn if this one is used up."""
        self._take_last()
        if self._asked or self.time_used > self._rounds.limit:
            self._ask()
        else:
            self._work()

    def _ask(self) -> None:
        """Ask for a later turn, once."""
        if not self._asked:
            self._asked = True
            self._rounds.ask(self)
        self._settle()

    @property
    def held(self) -> int:
        """The bytes of requests and answers that are held for this client."""
        waiting = sum(len(message) for message, _ in self._inbox)
        return self._reader.size + self._assembler.size + waiting + self.transport.get_write_buffer_size()

    def free(self) -> None:
        """End at once, as memory is short: after a lost answer, the client would mistake the next for it."""
        self._is_open = False
        self._outbox.clear()
        self._inbox.clear()
        self._ended(Ending.MEMORY)
        self.transport.abort()

    def _work(self, data: bytes = b"") -> None:
        """Answer waiting messages and new input within the budget of a turn, then write all answers at once."""
        started = now = perf_counter()
        until = started + (SECONDS_AT_ONCE if data else SECONDS_A_ROUND)
        if self._inbox:
            now = self._work_off(until)
        if now >= until or self.paused or len(self._inbox) >= self._most_waiting:
            self._reader.add(data)
        elif parts := self._reader.feed(data, FRAMES_A_TURN):
            self._take(parts, until)
        if self._outbox:
            self._write()
        if self._reader.has_begun:
            self._whole.start()
        elif self._whole.runs:
            self._whole.stop()
        spent = perf_counter() - started
        self.time_used += spent
        if data:
            self._traffic.batches.note(spent)
        if spent >= SECONDS_AT_ONCE:
            self._rounds.note(spent)
        goes_on = bool(self._inbox or self._reader.has_parts) and self._can_go_on()
        self._sated = len(data) >= BYTES_A_TURN or (self._sated and goes_on)
        if self._sated or goes_on:
            self._traffic.turns_used_up += 1
            self._ask()
        elif not self._reading or self._leaving or self._eof or self._inbox:
            self._settle()

    def _work_off(self, until: float) -> float:
        """Answer waiting messages until time runs out or one must wait longer; return the time, or 0 if none waited."""
        now = 0.0
        while self._inbox and self._answering is None and not self.paused:
            message, binary = self._inbox.popleft()
            self._answer(message, binary=binary)
            now = perf_counter()
            if now >= until:
                break
        self._take_last()
        return now

    def _take_last(self) -> None:
        """End the connection if a breach or close frame waited for answers, and all are given."""
        if self._last is not None and not self._has_requests():
            last, self._last = self._last, None
            self._take_other(last)

    def _take(self, parts: list[Part], until: float) -> None:
        """Take frames in order; give back the rest when time or room runs out."""
        count = len(parts)
        enough = count - FEW
        for number, part in enumerate(parts, 1):
            if type(part) is bytes:
                self._receive(part, binary=False)
                if len(self._outbox) >= _WRITTEN_TOGETHER and number <= enough:
                    self._write()
            else:
                self._take_other(part)
            if number < count and (perf_counter() >= until or self.paused or len(self._inbox) >= self._most_waiting):
                self._reader.give_back(parts[number:])
                break

    def _has_requests(self) -> bool:
        return self._answering is not None or bool(self._inbox)

    # As asyncio's protocols have it; websockets always returns None.
    def eof_received(self) -> bool | None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Note that the client will send no more. Its earlier requests are answered first, except over TLS."""
        if self._has_work() and self.transport.can_write_eof():  # TLS ends both directions at once
            self._eof = True
            return True
        super().eof_received()
        return None

    def _take_other(self, part: Part) -> None:
        if self._has_requests() and is_last(part):
            self._last = part
        elif isinstance(part, Breach):
            self._fail(CloseCode(part.code), part.reason)
        elif self.protocol.state is not State.CLOSED and not self.transport.is_closing():
            self._write()  # earlier answers go out before those of websockets, above all before a close
            self._hand_over(part)
            self._end_in_time()

    def _can_go_on(self) -> bool:
        """Return True if there is work that waits only for time."""
        if self.paused:
            return False
        if self._answering is None and self._inbox:
            return True
        return self._reader.has_parts and len(self._inbox) < self._most_waiting

    def _settle(self) -> None:
        """Resume or pause reading; report once all is answered; end the connection if the client sends no more."""
        waits = (self._asked and self._sated) or self.paused or len(self._inbox) >= self._most_waiting
        self._read_on(not (waits or (self._leaving and self._is_open)))
        if self._all_answered is not None and not self._all_answered.done() and not self._has_work():
            self._all_answered.set_result(None)
        if self._eof and not self._has_work():
            self._eof = False
            super().eof_received()
            self.transport.close()

    def _has_work(self) -> bool:
        waits = self._asked or self._answering is not None or self._reader.has_parts or bool(self._inbox)
        return waits and self._is_open

    def process_event(self, event: Event) -> None:
        """Take the events of websockets, for frames that are not whole text messages."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.opcode is not Opcode.CONT:
            self._binary = event.opcode is Opcode.BINARY
        message = self._assembler.add(bytes(event.data), final=event.fin)
        if message is not None:
            self._receive(message, binary=self._binary)

    def _receive(self, message: bytes, *, binary: bool) -> None:
        if self._whole.runs:
            self._whole.stop()
        self._idle.looks = 0
        if self._inbox or self._answering is not None or self.paused:
            self._inbox.append((message, binary))
        else:
            self._answer(message, binary=binary)

    def _put(self, answer: bytes) -> None:
        frame = text_frame(answer)
        self._outbox.append(frame)
        self._outbox_size += len(frame)
        if self._outbox_size >= _WRITTEN_AT_ONCE:
            self._write()

    def _write(self) -> None:
        if self._outbox:
            frames = b"".join(self._outbox)
            self._outbox.clear()
            self._outbox_size = 0
            # After a reset by the client, this may run before `connection_lost`; asyncio would log each further write.
            if self._is_open and not self.transport.is_closing():
                self._traffic.sent += len(frames)
                self.transport.write(frames)

    def _fail(self, code: CloseCode, reason: str) -> None:
        """End the connection with a close frame, after earlier answers."""
        self._write()
        self.protocol.fail(code, reason)
        self.send_data()
        self._end_in_time()

    def _end_in_time(self) -> None:
        """After a close frame, cut off a client that does not end its side of the connection."""
        if self.protocol.state is State.CLOSING:
            self._end_by.start()

    def _give_up(self) -> None:
        if self._reading:
            self._fail(CloseCode.POLICY_VIOLATION, "the message took too long to come in")
        else:
            self._whole.start()  # the server has paused reading: the client is not late

    def _abort(self) -> None:
        self.transport.abort()

    async def leave(self) -> None:
        """Stop reading, answer everything that was read, and close the connection (code 1001)."""
        self._leaving = True
        self._all_answered = self.loop.create_future()
        self._settle()
        await self._all_answered
        await self.close(CloseCode.GOING_AWAY)

    def _watch_idleness(self) -> None:
        if self._is_open:
            self._idle.start()

    def _close_idle(self) -> None:
        """Close the connection, unless the client waits for an answer."""
        if self._answering is not None:
            self._idle.start()
            return
        self._ended(Ending.IDLE)
        self.protocol.send_close(CloseCode.GOING_AWAY, "idle")
        self.send_data()
        self._idle.then(self._options.send_timeout, self.transport.abort)

    def _read_on(self, go_on: bool) -> None:
        if go_on is not self._reading and not self.transport.is_closing():
            self._reading = go_on
            if go_on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def pause_writing(self) -> None:
        """Stop answering a client that does not read; cut it off if it does not resume."""
        super().pause_writing()
        self._read_on(False)
        self._unread.start(self.transport)

    def _cut_unread(self) -> None:
        self._ended(Ending.UNREAD)
        self.transport.abort()

    def resume_writing(self) -> None:
        """Resume answering."""
        super().resume_writing()
        self._unread.stop()
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the requests that wait, and stop all timers."""
        self._is_open = False
        self._idle.stop()
        self._unread.stop()
        self._whole.stop()
        self._end_by.stop()
        self._inbox.clear()
        self._last, self._eof = None, False
        self._settle()
        super().connection_lost(exc)
