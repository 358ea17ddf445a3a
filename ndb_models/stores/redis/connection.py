"""One connection to a server, with the requests that wait on it.

A server answers in the order of the requests. Requests of one turn of the event loop share a few writes: small enough
that the server works on the first of them while the turn makes the others. A request whose caller was cancelled, or is
out of time, keeps its place, and its reply is dropped. Any anomaly closes the connection and fails all its requests.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from ndb_models.errors import NdbError

_READ_AT_ONCE: Final = 64 * 1024
# A look that is later than this, in seconds, was held up by the loop. Replies may have come in that are not read yet.
_HELD_UP: Final = 0.05
_NOT_YET: Final = object()
# The requests of one write. Larger ones save little more, and the server is idle meanwhile.
_LARGEST_BURST: Final = 16


class RequestLostError(NdbError):
    """A request will get no reply. Attributes: `sent`, whether the server may have received it; `reason`."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        self.reason = reason
        self.sent = sent
        super().__init__(reason)


class Connection(asyncio.BufferedProtocol):
    """A connection on which any number of requests may wait.

    Args:
        loop: the event loop.
        silence: the seconds without a byte, while replies are due, after which the server counts as hung.
        on_lost: called once, when the connection takes no more requests.

    Attributes:
        usable: whether requests can be sent.
        reason: why it is not usable any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, silence: float, on_lost: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._silence = silence
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._incoming = memoryview(bytearray(_READ_AT_ONCE))
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        # Requests without a reply, oldest first, each with its deadline. The last ones may still be in the outbox.
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._outbox: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._looks_at = math.inf
        self._looks_again = False
        self._silent_since = 0.0
        self.usable: bool = False
        self.reason: str = "the connection was lost"

    def request(self, frame: bytes, deadline: float) -> asyncio.Future[Any]:
        """Send a command. Return a future for its reply, which may be a `hiredis.ReplyError`.

        The future raises `RequestLostError` if the connection is lost first, or if there is no reply by the deadline,
        which is a time of the event loop.
        """
        loop, waiting, outbox = self._loop, self._waiting, self._outbox
        is_alone = not waiting and self.usable
        if is_alone:
            # It goes out at once, and the rest is done while the server works.
            assert self._transport is not None
            self._transport.write(frame)
        future: asyncio.Future[Any] = loop.create_future()
        if not self.usable:
            future.set_exception(RequestLostError(self.reason, sent=is_alone))
            return future
        waiting.append((future, deadline))
        if is_alone:
            self._silent_since = loop.time()
        else:
            if not outbox:
                loop.call_soon(self._send)
            outbox.append(frame)
            # The server must not run out of work while this turn goes on.
            unsent = len(outbox)
            if unsent >= _LARGEST_BURST or 1 < unsent >= len(waiting) - unsent:
                self._send()
        if self._watch is None or deadline < self._looks_at:
            self._watch_until(min(deadline, loop.time() + self._silence))
        return future

    def _send(self) -> None:
        """Write all that was requested and is not sent."""
        frames = b"".join(self._outbox)
        self._outbox.clear()
        if frames and self.usable and self._transport is not None:
            self._transport.write(frames)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take requests from now on."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of classes of their own
        # Older releases of uvloop send at once only what exceeds this, and the rest at the end of the turn.
        self._transport.set_write_buffer_limits(high=0)
        self.usable = True

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for received bytes."""
        return self._incoming

    def buffer_updated(self, nbytes: int) -> None:
        """Give the received replies to their callers."""
        self._silent_since = self._loop.time()
        waiting = self._waiting
        get_reply = self._reader.gets
        try:
            self._reader.feed(bytes(self._incoming[:nbytes]))
            unsent = len(self._outbox)
            while (reply := get_reply()) is not _NOT_YET:
                if len(waiting) == unsent:
                    self.drop("the server answered without being asked")
                    return
                future, _ = waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except hiredis.ProtocolError:
            self.drop("the server does not speak Redis' protocol")

    def eof_received(self) -> bool:
        """Let the transport close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the waiting requests."""
        self.drop("the server closed the connection" if exc is None else "the connection failed")

    def drop(self, reason: str) -> None:
        """Close the connection, and fail its requests. Dropping twice does no harm."""
        if self._transport is not None:
            self._transport.abort()
        was_usable, self.usable = self.usable, False
        if was_usable:
            self.reason = reason
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        first_unsent = len(self._waiting) - len(self._outbox)
        for number, (future, _) in enumerate(self._waiting):
            if not future.done():
                future.set_exception(RequestLostError(reason, sent=number < first_unsent))
        self._waiting.clear()
        self._outbox.clear()
        if was_usable:
            self._on_lost(self)

    async def close(self, seconds: float) -> None:
        """Take no more requests, wait up to so many seconds for the replies that are due, and close."""
        waiting = [future for future, _ in self._waiting if not future.done()]
        self._send()
        self.usable, self.reason = False, "the store was closed"
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
        self.drop(self.reason)

    # The watch: one timer a connection, not one a request.

    def _watch_until(self, looks_at: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._looks_at = looks_at
        self._watch = self._loop.call_at(looks_at, self._look)

    def _look(self) -> None:
        """Drop the connection if the server is silent for too long; fail the requests that are out of time."""
        self._watch = None
        now = self._loop.time()
        if not self._waiting:
            return
        looks_again, self._looks_again = self._looks_again, False
        if now > self._looks_at + _HELD_UP and not looks_again:
            self._looks_again = True
            self._watch_until(now + _HELD_UP)
            return
        frozen_at = self._silent_since + self._silence
        if frozen_at <= now:
            self.drop(f"no answer for {now - self._silent_since:.3g} s")
            return
        soonest = math.inf
        first_unsent = len(self._waiting) - len(self._outbox)
        for number, (future, deadline) in enumerate(self._waiting):
            if future.done():
                continue
            if deadline <= now:
                future.set_exception(RequestLostError("no answer in time", sent=number < first_unsent))
            else:
                soonest = min(soonest, deadline)
        self._watch_until(min(frozen_at, soonest))
