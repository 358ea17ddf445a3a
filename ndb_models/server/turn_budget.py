"""Take the frames of one client at a pace that leaves time for others.

In a turn of the event loop, each connection has a budget of frames, bytes and time. Input beyond the budget waits for a
later turn (`Rounds`), with reading paused. So does input that arrives when others have used up the turn.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from time import perf_counter
from typing import Final

from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import Event, State
from websockets.server import ServerProtocol

from ndb_models.protocol.framing import Breach, FrameReader, Part, is_last
from ndb_models.protocol.messages import MessageAssembler
from ndb_models.protocol.pipeline import FENCE_EVERY, FEW
from ndb_models.server.context import ServerContext
from ndb_models.server.deadline import Deadline
from ndb_models.server.fair_queue import BYTES_A_TURN, FRAMES_A_TURN, SECONDS_A_ROUND, SECONDS_AT_ONCE
from ndb_models.server.fair_shares import Account
from ndb_models.server.traffic import Ending
from ndb_models.server.writing import WritingConnection

try:
    from websockets.speedups import apply_mask
except ImportError:  # websockets was installed without its C extension
    from websockets.utils import apply_mask


# Answers in one write: enough to be worth a system call, and few enough to give the client work early. One more than
# FENCE_EVERY, for the fence that our client waits for. Fewer than FEW further answers go out with these: the client
# lets them share the fence.
_WRITTEN_TOGETHER: Final = FENCE_EVERY + 1


class PacedConnection(WritingConnection):
    """A connection that hands over messages in order, within the budget of each turn."""

    def __init__(self, protocol: ServerProtocol, context: ServerContext, *, peer: str, only_probes: bool) -> None:
        super().__init__(protocol, context, peer=peer, only_probes=only_probes)
        options = self._options
        self._rounds = context.rounds
        self.account: Account = context.rounds.openings
        # Bytes of the opening handshake that wait for a turn.
        self._head: list[bytes] = []
        self._most_waiting = options.max_in_flight
        self._reader = FrameReader(masked=True, apply_mask=apply_mask, max_size=options.max_payload)
        self._assembler = MessageAssembler()
        self._binary = False
        # Messages that wait: for an earlier answer, or for the client to read its answers.
        self._inbox: deque[tuple[bytes, bool]] = deque()
        # The breach or close frame that ends the connection, while it waits for earlier answers.
        self._last: Part | None = None
        # True if the client will send no more, while this waits for earlier answers too.
        self._eof = False
        # True if a later turn has been asked for; and if reading pauses until then.
        self._asked = False
        self._sated = False
        # Set once the server stops: reading ends. Then a future for the last answer.
        self._leaving = False
        self._all_answered: asyncio.Future[None] | None = None
        self._reading = True
        # Runs while a message is coming in.
        self._arrives_by = Deadline(self.loop, self._give_up)

    @abstractmethod
    def _answer(self, message: bytes, *, binary: bool) -> None:
        """Answer a message, or set `_answering` to the task that will."""

    @abstractmethod
    def cut(self) -> None:
        """End at once, with requests unanswered and answers unread."""

    def data_received(self, data: bytes) -> None:
        """Answer the input, as far as the budget of this turn allows."""
        if not self.has_shaken_hands:
            self._head.append(data)
            self._sated = self._asked or self._rounds.must_wait(self.account)
            if self._sated:
                self._ask()
            else:
                self._shake_hands()
            return
        self._traffic.received += len(data)
        rounds = self._rounds
        must_wait = rounds.watches and rounds.arrived(self.account)
        if must_wait or self._asked:
            self._reader.add(data)
            self._sated = self._asked or len(data) >= BYTES_A_TURN
            self._ask()
            return
        try:
            self._work(data)
        except MemoryError:
            self.free()

    def _shake_hands(self) -> None:
        """Take the bytes of the opening handshake."""
        started = perf_counter()
        head = b"".join(self._head)
        self._head.clear()
        super().data_received(head)
        self._rounds.charge_openings(perf_counter() - started)

    def _begin_with(self, early: bytes) -> None:
        self.account = Account(parent=self._rounds.openings)
        early += b"".join(self._head)
        self._head.clear()
        if early:
            self._traffic.received += len(early)
            self._reader.add(early)
            self._ask()

    def send_data(self) -> None:
        """Send the output of websockets, which calls this whenever the connection's state may have changed."""
        try:
            super().send_data()
        finally:
            if self._leaving:
                self._settle()

    def take_turn(self) -> None:
        """Process the input and the messages that wait."""
        self._asked = False
        if self.connection_lost_waiter.done():
            return
        if self._head:
            self._sated = False
            self._settle()  # before the handshake, which pauses reading by itself
            self._shake_hands()
            return
        try:
            self._work()
        except MemoryError:
            self.free()

    def _go_on(self) -> None:
        """Process waiting input and messages now, or in a later turn if this one is used up."""
        self._take_last()
        if self._asked or self._rounds.must_wait(self.account):
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
        self._note_ending(Ending.MEMORY)
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
            self._arrives_by.start(self._options.receive_timeout)
        elif self._arrives_by.runs:
            self._arrives_by.stop()
        spent = perf_counter() - started
        rounds = self._rounds
        if rounds.watches:
            rounds.charge(self.account, spent)
        else:
            self.account.time_used += spent
        if data:
            self._traffic.batches.note(spent)
        if spent >= SECONDS_AT_ONCE:
            self._rounds.note(spent)
        goes_on = bool(self._inbox or self._reader.has_parts) and self._can_go_on()
        self._sated = len(data) >= BYTES_A_TURN or (self._sated and goes_on)
        if self._sated or goes_on:
            self._traffic.turns_used_up += 1
            self._ask()
            return
        if rounds.watches and self._answering is None and self._is_open and not self._reader.has_begun:
            rounds.expect(self.account)
        if not self._reading or self._leaving or self._eof or self._inbox:
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
        if self._arrives_by.runs:
            self._arrives_by.stop()
        self._looks = 0
        if self._inbox or self._answering is not None or self.paused:
            self._inbox.append((message, binary))
        else:
            self._answer(message, binary=binary)

    def _give_up(self) -> None:
        if self._reading:
            self._fail(CloseCode.POLICY_VIOLATION, "the message took too long to come in")
        else:  # the server has paused reading: the client is not late
            self._arrives_by.start(self._options.receive_timeout)

    async def leave(self) -> None:
        """Stop reading, answer everything that was read, and close the connection (code 1001)."""
        self._leaving = True
        self._all_answered = self.loop.create_future()
        self._settle()
        await self._all_answered
        await self.close(CloseCode.GOING_AWAY)

    def _read_on(self, go_on: bool) -> None:
        if go_on is not self._reading and not self.transport.is_closing():
            self._reading = go_on
            if go_on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its answers."""
        super().pause_writing()
        self._read_on(False)

    def resume_writing(self) -> None:
        """Resume answering."""
        super().resume_writing()
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the requests that wait."""
        self._is_open = False
        self._arrives_by.stop()
        self._inbox.clear()
        self._last, self._eof = None, False
        self._settle()
        if self.account is not self._rounds.openings:
            self._rounds.close(self.account)
        super().connection_lost(exc)
