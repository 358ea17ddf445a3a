"""One WebSocket connection to a server, with its requests.

websockets keeps the handshake, TLS, keepalive, closing, and all frames but whole text messages. This module reads and
writes the frames of requests. Requests of one turn of the event loop share one write. The pipeline decides which frames
go out, and matches answers to requests.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

from ndb_models.client.attempt_limits import AttemptLimits
from ndb_models.client.attempts import Attempt
from ndb_models.client.unattended import UnattendedTask
from ndb_models.errors import ConnectionLostError, NdbError, ProtocolError, RequestTimeoutError
from ndb_models.protocol.exchange import orphaned
from ndb_models.protocol.framing import Breach, FrameReader, MaskedFrameWriter, OtherFrame, Part
from ndb_models.protocol.messages import MessageAssembler, check_utf8
from ndb_models.protocol.pipeline import FENCE_EVERY, Pipeline

try:
    from websockets.speedups import apply_mask
except ImportError:  # where websockets was installed without its C extension
    from websockets.utils import apply_mask


# Bytes read from the socket at once.
_READ_AT_ONCE: Final = 64 * 1024
# Every server takes frames of this size, in bytes.
_TAKEN_BY_ALL: Final = 1024
# A look that is later than this, in seconds, was held up by the loop. Answers may have come in that are not read yet.
_HELD_UP: Final = 0.05
_CONTROL_FRAME: Final = 0x08


class NdbConnection(ClientConnection, asyncio.BufferedProtocol):
    """A connection that hands each answer to its request. Made by websockets' `connect(create_connection=...)`.

    It is a buffered protocol, since asyncio makes an object of 256 KiB for each read of any other protocol.

    Args:
        protocol: the protocol of websockets.
        max_in_flight: the most requests that may wait for answers at once.
        request_timeout: seconds for a request. A server that reads no bytes for so long is dropped.
        max_answer: bytes of the largest answer.
        limits: how long the connection may be silent while an answer is due.
        on_failure: called with a failed request, unless its caller was cancelled, and with the error.
        on_unusable: called when the connection takes no more requests. A retired connection calls it again when it is
            lost.
        options: passed on to websockets.
    """

    def __init__(
        self,
        protocol: ClientProtocol,
        *,
        max_in_flight: int,
        request_timeout: float,
        max_answer: int,
        limits: AttemptLimits,
        on_failure: Callable[[NdbConnection, Attempt, NdbError], None],
        on_unusable: Callable[[NdbConnection], None],
        **options: Any,
    ) -> None:
        super().__init__(protocol, **options)
        self._request_timeout = request_timeout
        self._limits = limits
        self._on_failure = on_failure
        self._on_unusable = on_unusable
        # If a request's deadline is at least this many seconds after the next look, no earlier look is needed.
        self._slack = max(0.0, request_timeout - limits.attempt_timeout)
        self._pipeline: Pipeline[Attempt] = Pipeline(max_in_flight)
        self._incoming = memoryview(bytearray(_READ_AT_ONCE))
        self._reader = FrameReader(masked=False, apply_mask=apply_mask, max_size=max_answer)
        self._writer = MaskedFrameWriter(apply_mask)
        self._assembler = MessageAssembler()
        # The message that was complete with the last fragment.
        self._joined: bytes | None = None
        # Set while requests wait to be written together, in the next turn of the loop.
        self._sends_soon = False
        # In a turn in which answers resume many tasks, their requests go out in groups of so many.
        self._group = sys.maxsize
        # Runs while there are requests. It looks for overdue requests and a frozen connection, at the time below.
        self._watch: asyncio.TimerHandle | None = None
        self._looks_at = math.inf
        # A new request with a deadline before this needs an earlier look.
        self._looks_for = math.inf
        # Whether the next look makes up for one that came too late.
        self._looks_again = False
        # The time of the last sign of life, or of the first request since the connection was idle.
        self._silent_since = 0.0
        # Runs while the server does not read.
        self._stalled: asyncio.TimerHandle | None = None
        # The reason why the connection was dropped; None before that.
        self._failure: NdbError | None = None
        self.usable: bool = False
        """Whether requests can be sent."""
        self.has_answered: bool = False
        """Whether a request was answered."""
        self.largest_taken: int = _TAKEN_BY_ALL
        """Bytes of the largest frame that the server is known to take."""
        self.suspect_above: float = math.inf
        """Larger frames go alone, unless the server is known to take them: it may cut the connection at them."""
        self.retired: bool = False
        """Whether the connection only waits for the answers to requests that were sent."""

    def submit(self, request: Attempt) -> None:
        """Send a request. A connection that is not usable keeps it until its deadline.

        A request with no other in flight goes out at once. Others go out together, in the next turn of the loop.
        """
        size = len(request.exchange.frame)
        if size > self.suspect_above:
            request.alone = size > self.largest_taken
        pipeline = self._pipeline
        pipeline.push(request)
        if self._sends_soon:
            if len(pipeline.outbox) % self._group == 0:  # the server works on these while the next tasks go on
                self._send()
        elif pipeline.flying or not self.usable:
            self._send_soon()
        else:
            self._silent_since = self.loop.time()
            self.transport.write(self._writer.text_frames(pipeline.take()))
        if request.deadline < self._looks_for:
            self._watch_until(min(request.deadline, self.loop.time() + self._limits.attempt_timeout))

    def _send_soon(self) -> None:
        """Write in the next turn of the loop, after the tasks that go on in that turn."""
        self._sends_soon = True
        self.loop.call_soon(self._send_rest)

    def _send_rest(self) -> None:
        self._sends_soon = False
        self._group = sys.maxsize
        self._send()

    def _send(self) -> None:
        """Write all frames that the pipeline releases, in one call."""
        if self.usable:
            if not self._pipeline.flying:
                self._silent_since = self.loop.time()
            frames = self._pipeline.take()
            if frames:
                self.transport.write(self._writer.text_frames(frames))

    def start_keepalive(self) -> None:
        """Start the keepalive of websockets in an unattended task."""
        if self.ping_interval is not None:
            self.keepalive_task: asyncio.Task[None] | None = UnattendedTask(self.keepalive(), loop=self.loop)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for received bytes."""
        return self._incoming

    def buffer_updated(self, nbytes: int) -> None:
        """Process the received bytes in the buffer."""
        self.data_received(bytes(self._incoming[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Give the received answers to their callers."""
        if self.response is None:
            self._process_other(OtherFrame(data))
            return
        pipeline = self._pipeline
        parts = self._reader.feed(data)
        last = parts[-1] if parts else b""
        if type(last) is not OtherFrame or not last[0] & _CONTROL_FRAME:  # a stuck server may still answer pings
            now = self.loop.time()
            silent, self._silent_since = now - self._silent_since, now
            if silent > self._limits.notable and (head := pipeline.head) is not None:
                self._limits.note(head.exchange.command, silent, now)
        for part in parts:
            answer = part if type(part) is bytes else self._process_other(part)
            if answer is None or not (self.usable or self.retired):
                continue  # after a breach of the framing or a close, no frame is an answer
            try:
                if not answer.isascii():
                    check_utf8(answer)
                answered = pipeline.receive(answer)
            except ProtocolError as exc:
                self.drop(exc)
                continue
            for request in answered:
                size = len(request.exchange.frame)
                if size > self.largest_taken:
                    self.largest_taken = size
                if request.is_abandoned or request.future.done():
                    orphaned(request.exchange, request.answer)
                    continue
                try:
                    request.future.set_result(request.read(request.answer))
                except ProtocolError as exc:
                    request.fail(exc)
            if answered:
                self.has_answered = True
                if not self._sends_soon and (len(answered) > 1 or pipeline.outbox):
                    self._group = FENCE_EVERY
                    self._send_soon()
        if self.retired and pipeline.idle:
            self.transport.abort()

    def _process_other(self, part: Part) -> bytes | None:
        """Process a part that is no whole text message. Return the message that it completes, or None."""
        if isinstance(part, Breach):
            self.protocol.fail(part.code, part.reason)
            self.send_data()
        else:
            super().data_received(part)
        joined, self._joined = self._joined, None
        return joined

    def send_data(self) -> None:
        """Send the bytes of websockets. It calls this whenever the connection's state may have changed."""
        try:
            super().send_data()
        finally:
            is_open = self._failure is None and self.protocol.state is State.OPEN
            self.usable = is_open and not self.retired
            self.retired = is_open and self.retired

    def process_event(self, event: Event) -> None:
        """Process an event of websockets, which parses all frames but whole text messages."""
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._joined = self._assembler.add(bytes(event.data), final=event.fin)
        else:
            super().process_event(event)

    def _watch_until(self, looks_at: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self.loop.call_at(looks_at, self._look)
        self._looks_at = looks_at
        self._looks_for = looks_at + self._slack

    def _look(self) -> None:
        """Drop the connection if a request is overdue; retire it if the server has been silent for too long."""
        now, held_up = self.loop.time(), self._looks_at + _HELD_UP
        self._stop_watching()
        most_urgent = self._pipeline.most_urgent
        if most_urgent is None:
            return
        if most_urgent.deadline <= now:
            # A late answer could not be told from later ones.
            name = most_urgent.exchange.command.name
            self.drop(RequestTimeoutError(name, self._request_timeout, maybe_done=True))
            return
        frozen_at = self._frozen_at(now)
        looks_again, self._looks_again = self._looks_again, False
        if frozen_at > now:
            self._watch_until(min(most_urgent.deadline, frozen_at))
        elif now > held_up and not looks_again:
            self._looks_again = True
            self._watch_until(now + _HELD_UP)
        else:
            self.retire(now - self._silent_since)
            self._watch_until(most_urgent.deadline)

    def _frozen_at(self, now: float) -> float:
        """Return the time at which the connection counts as frozen, if it stays silent."""
        if self.retired or self._pipeline.idle:
            return math.inf
        return self._silent_since + self._limits.longest_silence(self._pipeline.head, now)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = None
        self._looks_at = self._looks_for = math.inf

    def retire(self, silent: float) -> None:
        """Take no more requests, and fail the requests that can go over another connection.

        The others wait for their answers. Answers still come in, and show how long the server takes. Every sent request
        keeps its place until its answer comes.
        """
        self.retired = True
        self.usable = False
        frozen = TimeoutError(f"no answer for {silent:.3g} s")
        for request, sent in self._pipeline.withdraw():
            error = ConnectionLostError(request.exchange.command.name, maybe_done=sent)
            error.__cause__ = frozen
            self._on_failure(self, request, error)
        self._on_unusable(self)

    def drop(self, failure: NdbError) -> None:
        """Drop the connection, and fail its requests. Later frames on it cannot be trusted."""
        self.fail_requests(failure)
        self.transport.abort()

    def fail_requests(self, failure: NdbError) -> None:
        """Fail all requests, and take no more."""
        self.usable = self.retired = False
        if self._failure is None:
            self._failure = failure
        self._fail_requests()

    def _fail_requests(self) -> None:
        now = self.loop.time()
        for request, sent in self._pipeline.drain():
            if request.is_abandoned or request.future.done():
                continue
            error: NdbError
            if isinstance(self._failure, RequestTimeoutError) and request.deadline <= now:
                error = RequestTimeoutError(request.exchange.command.name, self._request_timeout, maybe_done=sent)
            else:
                error = ConnectionLostError(request.exchange.command.name, maybe_done=sent)
            error.__cause__ = self._failure or self.protocol.close_exc
            self._on_failure(self, request, error)

    def pause_writing(self) -> None:
        """Drop the connection if the server reads no bytes for `request_timeout`: unsent bytes would pile up."""
        super().pause_writing()
        unread = ProtocolError("the server does not read what it is sent")
        self._stalled = self.loop.call_later(self._request_timeout, self.drop, unread)

    def resume_writing(self) -> None:
        """Go on: the server reads."""
        super().resume_writing()
        self._stop_stalled()

    def _stop_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the requests, since their answers will not come."""
        super().connection_lost(exc)
        self.usable = self.retired = False
        self._stop_watching()
        self._stop_stalled()
        self._fail_requests()
        self._on_unusable(self)
