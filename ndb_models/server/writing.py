"""Write answers to a client, and end clients that do not read them, send no requests, or do not close."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.server import ServerProtocol

from ndb_models.protocol.framing import text_frame
from ndb_models.server.context import ServerContext
from ndb_models.server.deadline import Deadline
from ndb_models.server.opening import OpeningConnection
from ndb_models.server.traffic import Ending

# This many bytes of answers are written without waiting for more. Only a write shows that a client does not read, and
# requests of a few bytes may ask for large values.
_WRITTEN_AT_ONCE: Final = 64 * 1024
# Looks at an idle connection in its time limit: it may stay idle for one look's time beyond the limit.
_LOOKS: Final = 4

_logger = logging.getLogger(__name__)


class WritingConnection(OpeningConnection):
    """A connection that writes answers together, and that ends by deadlines."""

    def __init__(self, protocol: ServerProtocol, context: ServerContext, *, peer: str, only_probes: bool) -> None:
        super().__init__(protocol, context, peer=peer, only_probes=only_probes)
        # Frames that go out together.
        self._outbox: list[bytes] = []
        self._outbox_size = 0
        # True while the connection is open and there was no close frame.
        self._is_open = False
        # The task that answers a request, if that takes more than one turn of the event loop.
        self._answering: asyncio.Task[None] | None = None
        self._ends_by = Deadline(self.loop, self._abort)
        self._reads_by = Deadline(self.loop, self._check_reading)
        self._unread = 0
        self._next_look = Deadline(self.loop, self._look_for_requests)
        self._looks = 0

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

    def send_data(self) -> None:
        """Send the output of websockets, which calls this whenever the connection's state may have changed."""
        try:
            super().send_data()
        finally:
            self._is_open = self.protocol.state is State.OPEN

    def _note_ending(self, reason: Ending) -> None:
        """Count and log that the server ends this connection."""
        self._traffic.ended[reason] += 1
        _logger.info("connection ended", extra={"fields": {"reason": reason.value, "peer": self.peer}})

    def _fail(self, code: CloseCode, reason: str) -> None:
        """End the connection with a close frame, after earlier answers."""
        self._write()
        self.protocol.fail(code, reason)
        self.send_data()
        self._end_in_time()

    def _end_in_time(self) -> None:
        """After a close frame, cut off a client that does not end its side of the connection."""
        if self.protocol.state is State.CLOSING:
            self._ends_by.start(self._options.close_timeout)

    def _abort(self) -> None:
        self.transport.abort()

    def pause_writing(self) -> None:
        """Cut the client off unless it reads some of its answers within each `send_timeout` from now on."""
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._reads_by.start(self._options.send_timeout)

    def resume_writing(self) -> None:
        """Stop watching: the client has caught up."""
        super().resume_writing()
        self._reads_by.stop()

    def _check_reading(self) -> None:
        before, self._unread = self._unread, self.transport.get_write_buffer_size()
        if self._unread < before:
            self._reads_by.start(self._options.send_timeout)
        else:
            self._note_ending(Ending.UNREAD)
            self.transport.abort()

    def _watch_idleness(self) -> None:
        if self._is_open and self._options.idle_timeout is not None:
            self._next_look.start(self._options.idle_timeout / _LOOKS)

    def _look_for_requests(self) -> None:
        """Close the connection if no request came for too long, unless the client waits for an answer."""
        if not self._is_open:
            return
        self._looks += 1
        if self._looks <= _LOOKS or self._answering is not None:
            self._watch_idleness()
            return
        self._note_ending(Ending.IDLE)
        self.protocol.send_close(CloseCode.GOING_AWAY, "idle")
        self.send_data()
        self._ends_by.start(self._options.send_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._is_open = False
        for deadline in (self._ends_by, self._reads_by, self._next_look):
            deadline.stop()
        super().connection_lost(exc)
