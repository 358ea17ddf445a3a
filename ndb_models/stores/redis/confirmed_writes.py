"""Writes that count only once replicas have confirmed them.

Writes that come while others wait go out together, with one WAIT behind them all. WAIT counts only the writes of its
own connection. A script may find its work done, by an earlier attempt over another connection or by another client, and
write nothing. So a small write goes along with each script: replicas that have it have all earlier writes too.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import hiredis

from ndb_models.stores.redis.connection import Connection, RequestLostError
from ndb_models.stores.redis.packing import packed


def written_along(slot_key: bytes) -> bytes:
    """Return a command that always writes, in the slot of a key. Its own key lives for one millisecond."""
    return packed(b"SET", slot_key + b":confirm", b"", b"PX", 1)


class NotReplicatedError(RequestLostError):
    """A write was carried out, and too few replicas confirmed it in time. Attribute: `confirmed`, how many did."""

    def __init__(self, confirmed: int) -> None:
        self.confirmed = confirmed
        super().__init__("too few replicas confirmed the write in time", sent=True)


class _Write(NamedTuple):
    frame: bytes
    deadline: float
    future: asyncio.Future[Any]


class ConfirmedWrites:
    """Sends writes over a connection of their own.

    Args:
        connection: the connection.
        replicas: the number of replicas that must confirm each write.
        timeout: the seconds that they get.
        slice_seconds: the seconds of one WAIT at most. While a server waits, it gives no answer and may seem hung.
    """

    def __init__(self, connection: Connection, replicas: int, timeout: float, slice_seconds: float) -> None:
        self._connection = connection
        self._replicas = replicas
        self._timeout = timeout
        self._wait = packed(b"WAIT", replicas, max(1, int(slice_seconds * 1000)))
        self._loop = asyncio.get_running_loop()
        self._next: list[_Write] = []
        self._is_waiting = False

    def request(self, frame: bytes, deadline: float) -> asyncio.Future[Any]:
        """Send a write. The future has its reply once enough replicas have it; see `Connection.request`.

        Raises `NotReplicatedError` if too few of them confirm it in time.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._next and not self._is_waiting:
            self._loop.call_soon(self._send)
        self._next.append(_Write(frame, deadline, future))
        return future

    def _send(self) -> None:
        # Writes that were cancelled meanwhile are not sent.
        group = [write for write in self._next if not write.future.done()]
        self._next.clear()
        self._is_waiting = bool(group)
        if group:
            replies = [self._connection.request(write.frame, write.deadline) for write in group]
            self._confirm(group, replies, self._loop.time() + self._timeout)

    def _confirm(self, group: list[_Write], replies: list[asyncio.Future[Any]], give_up: float) -> None:
        confirming = self._connection.request(self._wait, give_up + self._timeout)

        def confirmed(_: object) -> None:
            count = _outcome(confirming)
            waiting: list[tuple[_Write, asyncio.Future[Any]]] = []
            too_few, now = isinstance(count, int) and count < self._replicas, self._loop.time()
            for write, reply in zip(group, replies, strict=True):
                if too_few and now < min(give_up, write.deadline):
                    waiting.append((write, reply))
                else:
                    _settle(write.future, _outcome(reply), count, self._replicas)
            if waiting:
                self._confirm([write for write, _ in waiting], [reply for _, reply in waiting], give_up)
            elif self._next:
                self._send()
            else:
                self._is_waiting = False

        confirming.add_done_callback(confirmed)


def _outcome(future: asyncio.Future[Any]) -> Any:
    """Return the result of a future, or its error. Replies come before the WAIT that was sent behind them."""
    if not future.done():
        future.cancel()
        return RequestLostError("no answer in time", sent=True)
    return future.exception() or future.result()


def _settle(future: asyncio.Future[Any], reply: Any, count: Any, replicas: int) -> None:
    if future.done():
        return
    if isinstance(reply, RequestLostError):
        future.set_exception(reply)
    elif isinstance(reply, hiredis.ReplyError):
        future.set_result(reply)
    elif isinstance(count, int):
        if count >= replicas:
            future.set_result(reply)
        else:
            future.set_exception(NotReplicatedError(count))
    elif isinstance(count, RequestLostError):
        future.set_exception(RequestLostError(count.reason, sent=True))
    else:  # the server became a replica meanwhile, and will discard the write
        future.set_exception(RequestLostError("the server would not wait for replicas", sent=True))
