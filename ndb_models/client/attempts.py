"""One attempt to carry a request to the server, and the record of the failed attempts before it. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from ndb_models.errors import ConnectionLostError, ProtocolError
from ndb_models.protocol.commands import Command
from ndb_models.protocol.pipeline import Request

_TOO_LARGE: Final = "the connection was closed since a message was too large; max_payload= is what the server takes"
# Retries after a protocol violation, and after a connection that was cut at a frame of suspicious size.
_ANOMALIES_FORGIVEN: Final = 2
_CUTS_FORGIVEN: Final = 1


class Attempt(Request, eq=False, kw_only=True):
    """An attempt to carry a request over one connection. The caller waits for the future, through all attempts.

    Args:
        future: ends with the answer or an error. If the caller is cancelled, it is cancelled.
        read: makes the result of the answer's frame. It may raise `ProtocolError`.
        failed: the failed attempts of the same request; None if this is the first.
    """

    future: asyncio.Future[Any]
    read: Callable[[bytes], Any] = bytes
    failed: Attempts | None = None

    def again(self, failed: Attempts) -> Attempt:
        """Return the next attempt for the same caller."""
        again = Attempt(self.exchange, self.deadline, self.is_cancelled, future=self.future, read=self.read)
        again.failed, again.silence_factor = failed, failed.silence_factor
        return again

    def fail(self, error: Exception) -> None:
        """Give the caller an error, if it still waits."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # so asyncio does not complain if the loop ends before the caller sees it


class Attempts:
    """The failed attempts of one request.

    Attributes:
        maybe_done: whether the server may have carried the request out.
        silence_factor: multiplies the limit for the next answer. It doubles after each frozen connection to which the
            request was sent.
    """

    __slots__ = ("_anomalies", "_cuts", "_hopeless", "_reason", "maybe_done", "silence_factor")

    def __init__(self) -> None:
        self.maybe_done: bool = False
        self.silence_factor: int = 1
        self._reason: str | None = None
        self._anomalies = 0
        self._cuts = 0
        self._hopeless = False

    def note(self, lost: ConnectionLostError, size: int, largest_taken: int) -> bool:
        """Record a failure. Return True if the server may have cut the connection because of the frame's size.

        Args:
            lost: the failure; its cause says why.
            size: bytes of the request's frame.
            largest_taken: bytes of the largest frame that the server is known to take on that connection.
        """
        cause = lost.__cause__
        self.maybe_done = self.maybe_done or lost.maybe_done
        self._reason = None
        self._anomalies += isinstance(cause, ProtocolError)
        if isinstance(cause, TimeoutError):
            self._reason = f"the connection is frozen: {cause}"
            self.silence_factor *= 2 if lost.maybe_done else 1
        elif isinstance(cause, ConnectionClosed):
            closes = [close.code for close in (cause.rcvd, cause.sent) if close is not None]
            self._hopeless = CloseCode.MESSAGE_TOO_BIG in closes  # the same would happen again
            self._reason = _TOO_LARGE if self._hopeless else None
            if lost.maybe_done and not closes and size > largest_taken:
                self._cuts += 1
                self._reason = (
                    f"the server cut the connection without a word at a request of {size} bytes; it may take no more"
                    f" than {largest_taken} (1024 is a NemesisDB's default): max_payload= is what the server takes"
                )
                return True
        return False

    @property
    def hopeless(self) -> bool:
        """Whether another attempt would fail in the same way."""
        return self._hopeless or self._anomalies > _ANOMALIES_FORGIVEN or self._cuts > _CUTS_FORGIVEN

    def error(self, command: Command) -> ConnectionLostError:
        """Return the error for the request."""
        return ConnectionLostError(command.name, maybe_done=self.maybe_done, reason=self._reason)
