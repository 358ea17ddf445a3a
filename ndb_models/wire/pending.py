"""Requests in flight, matched to answers first in, first out.

The protocol has no request ids: the server answers a connection's requests in the order in which they came. Two rules
keep one request from getting another's answer. A request that nobody waits for any longer keeps its place, and its
answer is dropped. An answer that by its name cannot belong to the request at the head is an anomaly, after which
nothing on this connection can be trusted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from ndb_models.errors import ProtocolError
from ndb_models.wire.codec import answers
from ndb_models.wire.commands import Command

W = TypeVar("W")


class Request(Generic[W]):
    """A request in flight. It outlives its waiter: `waiter` is None once nobody waits for the answer.

    `deadline` is when its answer is overdue, on the clock of whoever sent it.
    """

    __slots__ = ("command", "deadline", "waiter")

    def __init__(self, command: Command, waiter: W, deadline: float) -> None:
        self.command = command
        self.waiter: W | None = waiter
        self.deadline = deadline

    def abandon(self) -> None:
        """Wait no longer. The request keeps its place, so that its answer cannot become another's."""
        self.waiter = None


class PendingRequests(Generic[W]):
    """The requests of one connection that have not been answered, in the order in which they were sent."""

    def __init__(self) -> None:
        self._requests: deque[Request[W]] = deque()

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def head(self) -> Request[W] | None:
        """The request whose answer comes next."""
        return self._requests[0] if self._requests else None

    def push(self, request: Request[W]) -> None:
        """Take note of a request that is sent now."""
        self._requests.append(request)

    def resolve(self, frame: bytes) -> Request[W]:
        """Take the request that a frame answers off the head of the queue.

        Raises:
            ProtocolError: the frame answers nothing, or something else. The queue is left as it is; the connection must
                be dropped.
        """
        if not self._requests:
            raise ProtocolError("the server answered although nothing was asked")
        request = self._requests[0]
        if not answers(frame, request.command):
            raise ProtocolError(f"the server's answer is not one to {request.command.name}")
        return self._requests.popleft()

    def drain(self) -> Iterator[Request[W]]:
        """Take all requests off, oldest first: the connection is lost."""
        while self._requests:
            yield self._requests.popleft()
