"""Connections to servers. A lost connection is replaced."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, Protocol

from ndb_models.stores.redis.confirmed_writes import ConfirmedWrites
from ndb_models.stores.redis.connection import Connection
from ndb_models.stores.redis.opening import LOST, ClientName, Opener, reason_of
from ndb_models.stores.redis.slot_map import Address

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.25
# A server that is silent is asked this often for confirmation, within the time in which it counts as hung.
_WAITS_PER_ATTEMPT: Final = 4


def pause_before(attempt: int) -> float:
    """Return the seconds before an attempt, 1 for the second one: longer each time, and at random."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt, 10))
    return longest * random.uniform(0.5, 1.0)


class Link(Protocol):
    """Takes requests; see `Connection.request`."""

    def request(self, frame: bytes, deadline: float) -> asyncio.Future[Any]:
        """Send a command. Return a future for its reply."""
        ...


class Changes:
    """Lets any number of tasks wait for the next change."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def next(self) -> asyncio.Future[None]:
        """Return a future that is done at the next change."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return future

    def tell(self) -> None:
        """Resume all waiting tasks."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class ServerConnection:
    """One connection to a server, made when it is wanted, and made anew when it is lost.

    Args:
        address: the server's.
        opener: opens connections.
        changes: told when a connection is there or lost.
        on_lost: called when a connection is lost.
        confirms: it carries only writes that replicas must confirm.

    Attributes:
        link: takes requests; None while there is no connection.
        failed_at: the time since when it cannot connect, as the loop has it; None if it can, or has not tried.
        reason: why the last attempt failed.
        is_closed: it connects no more: the server has left the cluster, or the store is closed.
    """

    def __init__(
        self, address: Address, opener: Opener, changes: Changes, on_lost: Callable[[], None], *, confirms: bool = False
    ) -> None:
        self.address: Address = address
        self.link: Link | None = None
        self.failed_at: float | None = None
        self.reason: str = ""
        self._opener = opener
        self._changes = changes
        self._on_lost = on_lost
        self._confirms = confirms
        self._connection: Connection | None = None
        self._name: ClientName | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.is_closed: bool = False

    def want(self) -> None:
        """Connect in the background, unless that is done or under way."""
        if self._connection is None and self._connecting is None and not self.is_closed:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        attempt = 0
        try:
            while True:
                try:
                    connection, name = await self._opener.open(self.address, self._note_lost, self._name)
                except LOST as exc:
                    self._note_failure(reason_of(exc))
                    attempt += 1
                    await asyncio.sleep(pause_before(attempt))
                    continue
                if connection.usable:
                    self._use(connection, name)
                    return
        finally:
            self._connecting = None

    def _use(self, connection: Connection, name: ClientName | None) -> None:
        self._connection, self._name = connection, name
        options = self._opener.uri.options
        self.link = (
            ConfirmedWrites(
                connection,
                options.wait_replicas,
                options.wait_timeout,
                options.attempt_timeout / _WAITS_PER_ATTEMPT,
            )
            if self._confirms
            else connection
        )
        self.failed_at = None
        self._changes.tell()

    def _note_failure(self, reason: str) -> None:
        self.reason = reason
        if self.failed_at is None:
            self.failed_at = asyncio.get_running_loop().time()
        self._changes.tell()

    def _note_lost(self, connection: Connection) -> None:
        if connection is self._connection:
            self._connection = self.link = None
            if not self.is_closed:
                self._note_failure(connection.reason)
                self._on_lost()
                self.want()

    def drop(self) -> None:
        """Give the connection up: another one may lead elsewhere."""
        if self._connection is not None:
            self._connection.drop("the server is no master any more")

    def retire(self) -> None:
        """Take no more requests. `close` must follow."""
        self.is_closed = True
        self.link = None

    async def close(self, seconds: float = 0.0) -> None:
        """Close the connection after the replies that are due, and make no other."""
        self.retire()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._connection is not None:
            await self._connection.close(seconds)
