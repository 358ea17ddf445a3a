"""Opens a connection to a server: TCP, TLS, and the first commands."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import hiredis

from ndb_models.errors import NdbError
from ndb_models.stores.redis.connection import Connection, RequestLostError
from ndb_models.stores.redis.options import RedisUri
from ndb_models.stores.redis.packing import Part, packed
from ndb_models.stores.redis.replies import understood
from ndb_models.stores.redis.slot_map import Address

_NAME: Final = b"ndb_models"


class ServerRefusedError(NdbError):
    """A connection was made, and the server cannot be used over it. The message says why, without the server."""


class ClientName(NamedTuple):
    """How a server names a connection. Another connection may later have the number, but not the address too."""

    number: bytes
    address: bytes


@dataclass(slots=True)
class Opener:
    """Opens connections to the servers of one URI.

    Attributes:
        uri: the servers.
        tls: the context for TLS; None for plain TCP.
    """

    uri: RedisUri
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    async def open(
        self, address: Address, on_lost: Callable[[Connection], None], replaced: ClientName | None = None
    ) -> tuple[Connection, ClientName | None]:
        """Return a new connection, and its name.

        Args:
            address: the server's.
            on_lost: see `Connection`.
            replaced: the connection before this one to the same server. Its requests that the server has not carried
                out yet are dropped: they could come after requests over the new one.

        Raises:
            OSError, TimeoutError, RequestLostError: no connection could be made.
            UnicodeError: a server named another one, and no host can have that name.
            ServerRefusedError: the server refuses the client, or is a replica.
        """
        loop = asyncio.get_running_loop()
        timeout = self.uri.options.attempt_timeout
        async with asyncio.timeout(timeout):
            connection = await self._connected(loop, address, on_lost)
            try:
                name = await self._greeted(connection, loop.time() + timeout, replaced)
            except BaseException:
                connection.drop("the server did not take the connection")
                raise
        return connection, name

    async def _connected(
        self, loop: asyncio.AbstractEventLoop, address: Address, on_lost: Callable[[Connection], None]
    ) -> Connection:
        # A connection is dropped by its own watch if the server is silent, so that there is no second limit on replies.
        transport, connection = await loop.create_connection(
            lambda: Connection(loop, self.uri.options.attempt_timeout, on_lost),
            address.host,
            address.port,
            ssl=self.tls,
            server_hostname=address.host if self.tls is not None else None,
        )
        with suppress(OSError, AttributeError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    async def _greeted(self, connection: Connection, deadline: float, replaced: ClientName | None) -> ClientName | None:
        uri = self.uri
        must: list[tuple[Part, ...]] = []
        if uri.password is not None:
            must.append(("AUTH", *filter(None, (uri.user,)), uri.password))
        if uri.database:
            must.append(("SELECT", uri.database))
        # A server may forbid these. It is used all the same.
        may: list[tuple[Part, ...]] = [("CLIENT", "SETNAME", _NAME), ("CLIENT", "INFO")]
        if replaced is not None:
            may.append(("CLIENT", "KILL", "ID", replaced.number, "ADDR", replaced.address))
        # In a cluster, a replica refuses requests by itself.
        if not uri.is_cluster:
            may.append(("ROLE",))
        requests = [connection.request(packed(*command), deadline) for command in (*must, *may)]
        for request in requests:
            request.add_done_callback(forgotten)
        replies = [await request for request in requests]
        for number, reply in enumerate(replies):
            error = understood(str(reply)) if isinstance(reply, hiredis.ReplyError) else None
            if error is not None and (number < len(must) or error.code == "NOAUTH"):
                raise ServerRefusedError(error.reason)
        if not uri.is_cluster and _is_replica(replies[-1]):
            raise ServerRefusedError("the server is a replica")
        return _own_name(replies[len(must) + 1])


def _is_replica(role: Any) -> bool:
    return type(role) is list and role[:1] == [b"slave"]


def _own_name(info: Any) -> ClientName | None:
    if not isinstance(info, bytes):
        return None
    fields = dict(part.split(b"=", 1) for part in info.split() if b"=" in part)
    return ClientName(fields[b"id"], fields[b"addr"]) if fields.keys() >= {b"id", b"addr"} else None


def ignored(connection: Connection) -> None:
    """Take no note of the loss of a connection."""


def forgotten(future: asyncio.Future[Any]) -> None:
    """Take note of the error of a future, so that asyncio does not complain if no one awaits it."""
    if not future.cancelled():
        future.exception()


LOST: Final = (OSError, TimeoutError, RequestLostError, ServerRefusedError, UnicodeError)
"""The errors of `Opener.open`."""


def reason_of(failure: BaseException) -> str:
    """Return why a connection could not be made, in words without the address."""
    if isinstance(failure, (RequestLostError, ServerRefusedError)):
        return str(failure)
    if isinstance(failure, ssl.SSLError):
        return f"TLS failed ({failure.reason or 'certificate'})"
    if isinstance(failure, TimeoutError):
        return "no answer"
    if isinstance(failure, UnicodeError):
        return "no host can have its name"
    return (isinstance(failure, OSError) and failure.strerror) or type(failure).__name__
