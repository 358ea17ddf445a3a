"""Requests in flight on one connection, and whose answer is whose: decided here, without I/O.

The protocol has no request ids. The server answers a connection's requests in order, so that answers are matched first
in, first out; one answer too few or too many would shift all later ones to the wrong requests. These rules keep that
from happening:

- A request that nobody waits for any longer keeps its place; its answer is dropped.
- An answer must belong to the request at the head: by its name, and by what of the request it repeats.
- Requests that are in flight together end with a fence: an unknown command of the session prefix, with a number of its
  own, which the server answers by that very name. Their answers are handed over once the fence's has come in its place;
  so an answer that is missing, or one too many, shows before any of them is believed.
- A request that is alone in flight from first to last needs no fence: the next answer can only be its own.
- What is in flight is bounded. A NemesisDB silently drops answers once more than 128 KiB of them wait to be read: the
  window starts at one request, grows by as many as are handed over, and shrinks so that as many of the largest recent
  answers fit. What is not handed over yet counts as in flight.

Whatever breaks a rule raises `ProtocolError`, after which nothing on the connection can be trusted.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final, Generic, TypeVar

from ndb_models.errors import ProtocolError
from ndb_models.wire.codec import name_of
from ndb_models.wire.commands import UNKNOWN_COMMAND
from ndb_models.wire.exchange import Exchange

_UNREAD_LIMIT: Final = 128 * 1024
# What may come with each answer: its header, and a fence.
_WITH_AN_ANSWER: Final = 100
_REMEMBERED: Final = 256
FENCE_EVERY: Final = 16
"""How many requests one fence is for, where there are many; the last of a burst may be for half as many more.

Few enough that the first answers of a long burst are handed over while the server works on the last.
"""
FEW: Final = FENCE_EVERY // 2
"""Fewer requests, or answers, than this are worth no fence and no system call of their own, if others are with them."""


class Request:
    """A request on its way. It outlives whoever waits for its answer: `is_abandoned` once nobody does any longer.

    `deadline` is when the answer is overdue, on the clock of whoever sends it. `answer` is the frame that came for it.
    One that is abandoned keeps its place if it was sent, so that its answer cannot become another's. One that goes
    `alone` is in flight with no other: the server may cut the connection over it. `patience` is how many times as long
    as usual its answer may take before the connection counts as frozen.
    """

    __slots__ = ("alone", "answer", "deadline", "exchange", "is_abandoned", "patience")

    def __init__(self, exchange: Exchange, deadline: float) -> None:
        self.exchange: Exchange = exchange
        self.deadline: float = deadline
        self.answer: bytes = b""
        self.is_abandoned: bool = False
        self.alone: bool = False
        self.patience: int = 1


R = TypeVar("R", bound=Request)


class Window:
    """How many requests may be in flight, learnt from how large the answers are."""

    __slots__ = ("_answers", "_largest_before", "_limit", "largest", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._answers = 0
        # The largest answer of the last few hundred, and of as many before: what was large is forgotten late.
        self.largest: int = 0
        self._largest_before = 0
        self.size: int = 1

    def note_size(self, answer_size: int) -> None:
        """Take note of how large an answer is, which need not be done unless it is larger than `largest`.

        That is 0 again after some hundred answers, so that each time the largest of them is found anew.
        """
        self.largest = max(self.largest, answer_size)
        self._fit(self.size)

    def note_answers(self, count: int) -> None:
        """Take note of so many answers."""
        self._answers += count
        if self._answers >= _REMEMBERED:
            self._answers = 0
            self.largest, self._largest_before = 0, self.largest
        self._fit(self.size + count)

    def _fit(self, size: int) -> None:
        fitting = _UNREAD_LIMIT // (max(self.largest, self._largest_before) + _WITH_AN_ANSWER)
        self.size = max(1, min(size, self._limit, fitting))


class Pipeline(Generic[R]):
    """The requests of one connection: those that wait to be sent, those in flight, and answers not yet believed."""

    def __init__(self, max_in_flight: int) -> None:
        self._window = Window(max_in_flight)
        self._outbox: deque[R] = deque()
        self.push: Callable[[R], None] = self._outbox.append
        """Takes a request, to be sent when there is room."""
        # In the order in which they were sent: requests, and the answer names of fences.
        self._in_flight: deque[R | str] = deque()
        # What was answered and is not handed over yet.
        self._held: list[R] = []
        # How many requests were sent and are not handed over yet.
        self._flying = 0
        # How many requests were sent since the last fence, or since one was answered alone.
        self._unfenced = 0
        # Whether what is in flight goes alone.
        self._alone = False
        self._fence_name = f"SH_FENCE{secrets.token_hex(4).upper()}N"
        self._fences = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self._in_flight

    @property
    def most_urgent(self) -> R | None:
        """The request that is overdue first. Mostly that is the oldest, but for those that were sent before."""
        in_flight = (entry for entry in self._in_flight if isinstance(entry, Request))
        waiting = (request for request in self._outbox if not request.is_abandoned)
        return min(chain(self._held, in_flight, waiting), key=_deadline, default=None)

    @property
    def head(self) -> R | None:
        """The request whose answer must come next; None if that is a fence's, or nothing's."""
        entry = self._in_flight[0] if self._in_flight else None
        return entry if isinstance(entry, Request) else None

    def take(self) -> list[bytes]:
        """Return the frames to send now: requests as far as there is room, and fences."""
        frames: list[bytes] = []
        while self._outbox and self._flying < self._window.size and not self._alone:
            request = self._outbox.popleft()
            if request.is_abandoned:
                continue
            if request.alone:
                if self._flying:
                    self._outbox.appendleft(request)
                    break
                self._alone = True
            frames.append(request.exchange.frame)
            self._in_flight.append(request)
            self._flying += 1
            self._unfenced += 1
            if self._unfenced >= FENCE_EVERY and len(self._outbox) >= FEW:
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
        """Take an answer; return the requests whose answers are to be handed over now.

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
            return self._handed_over()
        entry.answer = frame
        held.append(entry)
        exchange = entry.exchange
        command = exchange.command
        if not frame.startswith(command.answer_start) and name_of(frame) not in (command.answer_name, UNKNOWN_COMMAND):
            raise ProtocolError(f"the server's answer is not one to {command.name}{_hint(frame)}")
        if not exchange.fits(frame):
            raise ProtocolError(f"the server's answer to {command.name} is about something else than was asked")
        size = len(frame)
        if size > self._window.largest:
            self._window.note_size(size)
        if in_flight or len(held) > 1:
            return ()
        self._unfenced = 0
        return self._handed_over()

    def _handed_over(self) -> Sequence[R]:
        held, self._held = self._held, []
        self._flying -= len(held)
        self._alone = False
        self._window.note_answers(len(held))
        return held

    def withdraw(self) -> Sequence[tuple[R, bool]]:
        """Take off what can go over another connection: what was not sent, and what is safe to send again.

        Returns them with whether they were sent, oldest first. Those that were keep their places, so that their answers
        are dropped.
        """
        withdrawn: list[tuple[R, bool]] = []
        for entry in (*self._held, *self._in_flight):
            if isinstance(entry, Request) and entry.exchange.command.repeatable and not entry.is_abandoned:
                entry.is_abandoned = True
                withdrawn.append((entry, True))
        withdrawn += [(request, False) for request in self._outbox if not request.is_abandoned]
        self._outbox.clear()
        return withdrawn

    def drain(self) -> Iterator[tuple[R, bool]]:
        """Take all requests off, oldest first, each with whether it was sent: the connection is lost."""
        for request in self._held:
            yield request, True
        self._held.clear()
        while self._in_flight:
            entry = self._in_flight.popleft()
            if isinstance(entry, Request):
                yield entry, True
        while self._outbox:
            yield self._outbox.popleft(), False


def _is_named(frame: bytes, name: str) -> bool:
    return frame.startswith(b'{"%s":' % name.encode()) or name_of(frame) == name


def _hint(frame: bytes) -> str:
    """Say what the answer of an old server may mean: of commands that it does not know it may get the names wrong."""
    return "; it may not know the command: sessions need a NemesisDB of 0.7 to 0.8" if b'"st":10,' in frame else ""


def _deadline(request: Request) -> float:
    return request.deadline
