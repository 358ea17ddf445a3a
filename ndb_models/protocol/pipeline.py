"""Matches answers to the requests in flight on one connection, without I/O.

The protocol has no request ids. The server answers a connection's requests in order, so answers are matched first in,
first out. One missing or extra answer would shift all later ones to the wrong requests. These rules prevent that:

- An abandoned request keeps its place; its answer is dropped.
- An answer must belong to the request at the head: by its name, and by the parts of the request that it repeats.
- Requests that are in flight together end with a fence: an unknown command of the session prefix, with a number of its
  own. The server answers it by that very name. The answers to the requests are handed over once the fence's answer has
  come in its place. So a missing or extra answer shows before any of them is believed.
- A request that is alone in flight from first to last needs no fence: the next answer can only be its own.
- The number of requests in flight is bounded by a window. A NemesisDB silently drops answers once more than 128 KiB of
  them wait to be read. The window starts at one request, and grows by the number of answers that are handed over. It
  shrinks to the number of answers that would fit if each were as large as the largest recent one. A request counts as
  in flight until its answer is handed over.

A broken rule raises `ProtocolError`. After it, the connection cannot be trusted.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final, Generic, TypeVar

import msgspec

from ndb_models.errors import ProtocolError
from ndb_models.protocol.codec import name_of
from ndb_models.protocol.commands import UNKNOWN_COMMAND, Command
from ndb_models.protocol.exchange import Exchange

_UNREAD_LIMIT: Final = 128 * 1024
# The further bytes that may come with each answer: its header, and a fence.
_WITH_AN_ANSWER: Final = 100
_REMEMBERED: Final = 256
FENCE_EVERY: Final = 16
"""The number of requests for each fence in a long burst; the last fence may be for half as many more.

It is small enough that the first answers of a long burst are handed over while the server works on the last.
"""
FEW: Final = FENCE_EVERY // 2
"""Fewer requests or answers than this get no fence and no system call of their own if others go with them."""


def _never() -> bool:
    return False


class Request(msgspec.Struct, eq=False):
    """A request on its way. It may outlive its caller.

    Args:
        exchange: the frame to send, and the check of the answer.
        deadline: when the answer is overdue, on the sender's clock.
        is_cancelled: returns True once the caller has stopped waiting.
        answer: the frame that came for it.
        is_abandoned: no answer is wanted any more, though the caller may still wait: another connection carries the
            request now. An abandoned or cancelled request keeps its place if it was sent, so that its answer cannot
            become another's.
        alone: it must be in flight with no other, since the server may cut the connection over it.
        silence_factor: multiplies the time that its answer may take before the connection counts as frozen.
    """

    exchange: Exchange
    deadline: float
    is_cancelled: Callable[[], bool] = _never
    answer: bytes = b""
    is_abandoned: bool = False
    alone: bool = False
    silence_factor: int = 1


R = TypeVar("R", bound=Request)


class Window:
    """The number of requests that may be in flight, learnt from the sizes of answers."""

    __slots__ = ("_answers", "_largest_before", "_limit", "_most", "largest", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._answers = 0
        # The largest answer of the last few hundred, and of as many before: large answers are forgotten late.
        self.largest: int = 0
        self._largest_before = 0
        self._most = limit
        self.size: int = 1

    def note_size(self, answer_size: int) -> None:
        """Note the size of an answer in bytes. A caller may skip sizes up to `largest`.

        `largest` returns to 0 after some hundred answers, so that the largest of the next ones is found anew.
        """
        self.largest = max(self.largest, answer_size)
        self._note_largest()

    def note_answers(self, count: int) -> None:
        """Note that `count` answers were handed over; the window may grow by as many."""
        self._answers += count
        if self._answers >= _REMEMBERED:
            self._answers = 0
            self.largest, self._largest_before = 0, self.largest
            self._note_largest()
        if self.size < self._most:
            self.size = min(self.size + count, self._most)

    def _note_largest(self) -> None:
        fitting = _UNREAD_LIMIT // (max(self.largest, self._largest_before) + _WITH_AN_ANSWER)
        self._most = max(1, min(self._limit, fitting))
        self.size = min(self.size, self._most)


class Pipeline(Generic[R]):
    """The requests of one connection: waiting to be sent, in flight, or answered and not yet believed."""

    def __init__(self, max_in_flight: int) -> None:
        self._window = Window(max_in_flight)
        self.outbox: deque[R] = deque()
        """Requests that wait to be sent."""
        self.push: Callable[[R], None] = self.outbox.append
        """Takes a request, to be sent when there is room."""
        # Requests, and the answer names of fences, in the order in which they were sent.
        self._in_flight: deque[R | str] = deque()
        # Requests that were answered and are not handed over yet.
        self._held: list[R] = []
        self.flying: int = 0
        """The number of requests that were sent and are not handed over yet. If it is 0, no fence is in flight."""
        # The number of requests sent since the last fence, or since one was answered alone.
        self._unfenced = 0
        # True if the request in flight goes alone.
        self._alone = False
        self._fence_name = f"SH_FENCE{secrets.token_hex(4).upper()}N"
        self._fences = 0

    @property
    def idle(self) -> bool:
        """True if no request and no fence is in flight."""
        return not self._in_flight

    @property
    def most_urgent(self) -> R | None:
        """The request that is overdue first, or None. It may be a newer one: a repeated request keeps its deadline."""
        in_flight = (entry for entry in self._in_flight if isinstance(entry, Request))
        waiting = (request for request in self.outbox if not _is_unwanted(request))
        return min(chain(self._held, in_flight, waiting), key=_deadline, default=None)

    @property
    def head(self) -> R | None:
        """The request that must be answered next; None if a fence must be, or if the connection is idle."""
        entry = self._in_flight[0] if self._in_flight else None
        return entry if isinstance(entry, Request) else None

    def take(self) -> list[bytes]:
        """Return the frames to send now: requests, as far as the window has room, and fences."""
        frames: list[bytes] = []
        while self.outbox and self.flying < self._window.size and not self._alone:
            request = self.outbox.popleft()
            if request.is_abandoned or request.is_cancelled():
                continue
            if request.alone:
                if self.flying:
                    self.outbox.appendleft(request)
                    break
                self._alone = True
            frames.append(request.exchange.frame)
            self._in_flight.append(request)
            self.flying += 1
            self._unfenced += 1
            if self._unfenced >= FENCE_EVERY and len(self.outbox) >= FEW:
                frames.append(self._fence())
        if self._unfenced > 1:
            frames.append(self._fence())
        return frames

    def _fence(self) -> bytes:
        self._fences += 1
        self._unfenced = 0
        name = f"{self._fence_name}{self._fences}"
        self._in_flight.append(name + "_RSP")
        return b'{"%s":{}}' % name.encode()

    def receive(self, frame: bytes) -> Sequence[R]:
        """Take an answer; return the requests to hand over now, each with its answer.

        Raises:
            ProtocolError: the answer cannot be right. The connection must be dropped.
        """
        in_flight, held = self._in_flight, self._held
        if not in_flight:
            raise ProtocolError("the server answered although nothing was asked")
        entry = in_flight.popleft()
        if isinstance(entry, str):
            if not _is_named(frame, entry):
                raise ProtocolError("the server's answers are out of step: one is missing, or one is too many")
        else:
            entry.answer = frame
            held.append(entry)
            exchange, size = entry.exchange, len(frame)
            command = exchange.command
            if not frame.startswith(command.answer_start) and not _answers(command, frame):
                raise ProtocolError(f"the server's answer is not one to {command.name}{_hint(frame)}")
            if exchange.is_checked and not exchange.fits(frame):
                raise ProtocolError(f"the server's answer to {command.name} is about something else than was asked")
            if size > self._window.largest:
                self._window.note_size(size)
            if in_flight or len(held) > 1:
                return ()
            self._unfenced = 0
        self._held = []
        self._alone = False
        self.flying -= len(held)
        self._window.note_answers(len(held))
        return held

    def withdraw(self) -> Sequence[tuple[R, bool]]:
        """Take off the requests that can go over another connection: unsent ones, and ones that are safe to repeat.

        Returns each with whether it was sent, oldest first. Abandoned and cancelled requests are left out. Sent
        requests keep their places here, so that their answers are dropped.
        """
        withdrawn: list[tuple[R, bool]] = []
        for entry in (*self._held, *self._in_flight):
            if isinstance(entry, Request) and entry.exchange.command.repeatable and not _is_unwanted(entry):
                entry.is_abandoned = True
                withdrawn.append((entry, True))
        withdrawn += [(request, False) for request in self.outbox if not _is_unwanted(request)]
        self.outbox.clear()
        return withdrawn

    def drain(self) -> Iterator[tuple[R, bool]]:
        """Take all requests off a lost connection, oldest first, each with whether it was sent."""
        for request in self._held:
            yield request, True
        self._held.clear()
        while self._in_flight:
            entry = self._in_flight.popleft()
            if isinstance(entry, Request):
                yield entry, True
        while self.outbox:
            yield self.outbox.popleft(), False


def _is_named(frame: bytes, name: str) -> bool:
    return frame.startswith(b'{"%s":' % name.encode()) or name_of(frame) == name


def _answers(command: Command, frame: bytes) -> bool:
    return name_of(frame) in (command.answer_name, UNKNOWN_COMMAND)


def _hint(frame: bytes) -> str:
    """Return a hint if the server may be an old one, which may name its answer to an unknown command wrongly."""
    return "; it may not know the command: sessions need a NemesisDB of 0.7 to 0.8" if b'"st":10,' in frame else ""


def _is_unwanted(request: Request) -> bool:
    return request.is_abandoned or request.is_cancelled()


def _deadline(request: Request) -> float:
    return request.deadline
