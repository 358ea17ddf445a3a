"""Runs scripts and commands on Redis or Valkey: a single server, or the masters of a cluster.

Each request has a deadline, and any number of attempts until then. A command that may have been carried out is repeated
only if that is safe. While a connection is missing, requests wait for it, or for a cluster to choose another master.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import hiredis

from ndb_models import forks
from ndb_models.errors import StoreError, StoreNotReplicatedError, StoreUnreachableError
from ndb_models.stores.redis.confirmed_writes import NotReplicatedError, written_along
from ndb_models.stores.redis.connection import RequestLostError
from ndb_models.stores.redis.discovery import discovered
from ndb_models.stores.redis.health import warn_of_losses
from ndb_models.stores.redis.opening import forgotten
from ndb_models.stores.redis.options import RedisUri
from ndb_models.stores.redis.packing import packed
from ndb_models.stores.redis.replies import ErrorReply, Reaction, understood
from ndb_models.stores.redis.requests import DividedSlotError, RedisRequest, run_of
from ndb_models.stores.redis.script import Script
from ndb_models.stores.redis.server_connections import Link, ServerConnection, pause_before
from ndb_models.stores.redis.slot_map import Address, moved_to
from ndb_models.stores.redis.topology import Server, Topology
from ndb_models.uncopyable import Uncopyable

_ASKING: Final = packed("ASKING")
_NOT_OPEN: Final = "the store is not open: it was closed, or never opened"
_INHERITED: Final = "it was opened before this process was forked: open it anew in this process"
# Redirections that are followed at once. More of them, and the servers are still agreeing.
_REDIRECTIONS: Final = 3


class Node:
    """A master of a cluster, or the only server.

    Attributes:
        name: its address.
        slots: the ranges of slots that it has, each with its last one.
    """

    def __init__(self, driver: Driver, server: Server, slots: Sequence[tuple[int, int]]) -> None:
        self.name: str = server.address.shown
        self.slots: Sequence[tuple[int, int]] = slots
        self._driver = driver
        self._server = server

    async def run(self, script: Script, args: Sequence[bytes]) -> Any:
        """Run a script without keys on this node. Raises as `Driver.run`."""
        return await self._driver.run(script, b"", (), args, node=self)

    async def command(self, *parts: bytes) -> Any:
        """Carry out a command on this node that does no harm if it is carried out twice. Raises as `Driver.run`."""
        return await self._driver.command(*parts, node=self, idempotent=True, writes=False)

    @property
    def server(self) -> Server:
        """The server with its connections."""
        return self._server


class Driver(Uncopyable):
    """Runs scripts and commands. It belongs to the event loop in which it is opened.

    Args:
        uri: the servers, and how requests wait.
        tls: the context for `rediss://`; None for one that trusts the certificates of the system, or of `tls_ca`.
    """

    INSTEAD = "open a store where it is needed"

    def __init__(self, uri: RedisUri, *, tls: ssl.SSLContext | None = None) -> None:
        self._uri = uri
        self._tls = tls
        self._timeout = uri.options.timeout
        self._marks = uri.options.wait_replicas > 0
        self._forks = forks.count
        self._topology: Topology | None = None

    async def open(self, *, warns: bool = True) -> None:
        """Connect to the server, or to the cluster's masters. With `warns`, warn of settings that lose sessions.

        Raises:
            StoreError: no server can be used, or the server is part of a cluster and the URI names a single one, or the
                reverse.
        """
        uri = self._uri
        self._loop = asyncio.get_running_loop()
        self._topology = await discovered(uri, self._tls)
        if not uri.is_cluster and b"cluster_enabled:1" in await self._info_of_cluster():
            raise StoreError(uri.shown, "the server is part of a cluster: use redis+cluster://")
        if warns:
            await warn_of_losses(uri.shown, await self.masters(), uri.options.attempt_timeout)

    async def _info_of_cluster(self) -> bytes:
        try:
            info: bytes = await self.command(b"INFO", b"cluster", writes=False)
        except StoreUnreachableError:
            raise
        except StoreError:  # this user must not ask
            return b""
        return info

    def run(
        self,
        script: Script,
        slot_key: bytes,
        keys: Sequence[bytes],
        args: Sequence[bytes],
        *,
        note: bytes | None = None,
        node: Node | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Run a script on the master of a key; return its reply, with strings as bytes.

        If the caller is cancelled, the script may still be run.

        Args:
            script: the script. It is repeated after a lost connection only if it is idempotent, or was not sent.
            slot_key: a key in the slot of all `keys`.
            keys: the keys of the script.
            args: its arguments.
            note: one more key of the script, where it notes its answer for a second run. It is left out where a slot
                is on its way to another server, since a server then takes no script of two keys if one is missing. The
                script then is not repeated.
            node: the only one that may run it; None for the master of `slot_key`.

        Raises:
            StoreUnreachableError: no reply by the deadline, or a lost connection, if the script must not be repeated.
            StoreNotReplicatedError: it was run, and too few replicas confirmed that.
            StoreError: the server refuses it, or it failed.
        """
        request = run_of(script, slot_key, keys, args, note)
        if node is not None:
            request.server = node.server
        return self._carry(request)

    async def run_each(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes]) -> list[Any]:
        """Run a script that looks at keys of one slot, each by itself; return its outcome for each. Raises as `run`.

        The script runs once. Only while the slot is on its way, with some of the keys at one server and some at
        another, does it run once for each key.
        """
        request = run_of(script, keys[0], keys, args)
        request.is_divisible = len(keys) > 1
        try:
            outcomes: list[Any] = await self._carry(request)
        except DividedSlotError:
            outcomes = [outcome for (outcome,) in await asyncio.gather(*map(self._carry, request.divided()))]
        return outcomes

    def command(
        self,
        *parts: bytes,
        slot_key: bytes | None = None,
        node: Node | None = None,
        idempotent: bool = False,
        writes: bool = True,
    ) -> Coroutine[Any, Any, Any]:
        """Carry out a command on the master of a key; return its reply, with strings as bytes. Raises as `run`.

        Args:
            parts: the command and its arguments.
            slot_key: a key in the slot of the command's keys; None for a command without keys, on any master.
            node: the only one that may carry it out; None for the master of `slot_key`.
            idempotent: it may be repeated if it may have been carried out.
            writes: replicas are waited for, if that is the store's option.
        """
        frame = packed(*parts)
        request = RedisRequest(parts[0].decode(), frame, slot_key or b"", idempotent or not writes, writes)
        if node is not None:
            request.server = node.server
        return self._carry(request)

    async def masters(self, *, anew: bool = False) -> list[Node]:
        """Return the masters that have slots, as they are known. A cluster may change at any time.

        With `anew`, a cluster is asked first.

        Raises:
            StoreUnreachableError: no server of a cluster answers in time.
        """
        topology = self._require_open()
        if anew or not topology.masters():
            deadline = self._loop.time() + self._timeout
            attempt = 0
            while reasons := await topology.look():
                attempt += 1
                if self._loop.time() >= deadline:
                    raise StoreUnreachableError(self._uri.shown, "; ".join(dict.fromkeys(reasons)))
                await asyncio.sleep(pause_before(attempt))
        return [Node(self, server, slots) for server, slots in topology.slots_by_master().items()]

    async def aclose(self) -> None:
        """Close all connections, after the replies that are due. Closing twice does no harm."""
        topology, self._topology = self._topology, None
        if topology is not None and self._forks == forks.count:
            await topology.close(self._uri.options.attempt_timeout)

    def leave(self) -> None:
        """Close all connections without waiting for it. Any thread may call this. Leaving twice does no harm."""
        topology, self._topology = self._topology, None
        if topology is not None and self._forks == forks.count:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and the sockets go with their transports
                self._loop.call_soon_threadsafe(_close_soon, topology)

    async def _carry(self, request: RedisRequest) -> Any:
        """Bring a request to its end: the one road of all requests."""
        connection = self._connection_for(request)
        if self._marks and request.writes and request.slot_key:
            request.mark = written_along(request.slot_key)
        request.deadline = request.deadline or self._loop.time() + self._timeout
        while True:
            link = None if connection is None else connection.link
            if link is None:
                link = await self._link(request)
            if request.mark is not None:
                self._send_along(link, request, request.mark)
            if request.asked is not None:
                link.request(_ASKING, request.deadline).add_done_callback(forgotten)
            try:
                reply = await link.request(request.frame, request.deadline)
            except RequestLostError as exc:
                self._note_lost(request, exc)
            else:
                if type(reply) is not hiredis.ReplyError:
                    return reply
                await self._react(request, understood(str(reply)))
            connection = self._connection_for(request)

    @staticmethod
    def _send_along(link: Link, request: RedisRequest, frame: bytes) -> None:
        """Send a command to the server of a request, and ignore its reply."""
        frames = (frame,) if request.asked is None else (_ASKING, frame)
        for each in frames:
            link.request(each, request.deadline).add_done_callback(forgotten)

    def _connection_for(self, request: RedisRequest) -> ServerConnection | None:
        topology = self._topology
        if topology is None or self._forks != forks.count:
            topology = self._require_open()
        server = request.asked or request.server or topology.master_of(request.slot_key)
        return None if server is None else server.writes if request.writes else server.reads

    async def _link(self, request: RedisRequest) -> Link:
        """Wait for a connection to the master of the key, whichever server that is by then."""
        while True:
            connection = self._connection_for(request)
            if connection is not None and connection.link is not None:
                return connection.link
            if connection is None or connection.failed_at is not None:
                self._require_open().look_soon()
            if connection is None:
                request.reason = "no server has this slot"
            elif connection.is_closed:
                request.reason = "the server has left the cluster"
                raise self._unreachable(request)
            else:
                connection.want()
                request.reason = connection.reason or request.reason
            try:
                async with asyncio.timeout_at(self._waits_until(request, connection)):
                    await self._require_open().changes.next()
            except TimeoutError:
                raise self._unreachable(request) from None

    def _waits_until(self, request: RedisRequest, connection: ServerConnection | None) -> float:
        if connection is None or connection.failed_at is None:
            return request.deadline
        return min(request.deadline, connection.failed_at + self._timeout)

    def _note_lost(self, request: RedisRequest, lost: RequestLostError) -> None:
        """Return if the request may be repeated."""
        request.maybe_done |= lost.sent and request.writes
        request.reason = lost.reason
        if isinstance(lost, NotReplicatedError):
            wanted = self._uri.options.wait_replicas
            raise StoreNotReplicatedError(self._uri.shown, request.name, lost.confirmed, wanted)
        if (lost.sent and not request.idempotent) or self._loop.time() >= request.deadline:
            raise self._unreachable(request) from lost
        request.asked = None

    async def _react(self, request: RedisRequest, reply: ErrorReply) -> None:
        """Return if the request is to be repeated after an error reply."""
        request.reason = reply.reason
        request.attempts += 1
        asked, request.asked = request.asked, None
        match reply.reaction:
            case Reaction.LOAD if request.script is not None and not request.has_source:
                request.send_source()
                request.asked = asked
                return
            case Reaction.MOVED if (address := self._redirected(request, reply)) is not None:
                self._require_open().moved(request.slot_key, address)
                if request.attempts <= _REDIRECTIONS:
                    return
            case Reaction.ASK if (address := self._redirected(request, reply)) is not None:
                request.asked = self._require_open().server_at(address)
                if request.attempts <= _REDIRECTIONS:
                    return
            case Reaction.ELSEWHERE:
                self._require_open().demoted()
            case Reaction.UNSTEADY if request.is_divisible:
                raise DividedSlotError
            case Reaction.UNSTEADY if request.note is not None and not request.maybe_done:
                request.leave_note_out()
                return
            case Reaction.LATER | Reaction.UNSTEADY:
                pass
            case _:
                maybe_done = request.maybe_done or (reply.reaction is Reaction.FAILED and request.writes)
                raise reply.kind(self._uri.shown, f"{request.name} failed: {reply.reason}", maybe_done)
        pause = pause_before(request.attempts)
        if self._loop.time() + pause >= request.deadline:
            raise self._unreachable(request)
        await asyncio.sleep(pause)

    def _redirected(self, request: RedisRequest, reply: ErrorReply) -> Address | None:
        connection = self._connection_for(request)
        return None if connection is None or request.server is not None else moved_to(reply.target, connection.address)

    def _unreachable(self, request: RedisRequest) -> StoreUnreachableError:
        timeout = self._timeout
        return StoreUnreachableError(
            self._uri.shown,
            f"{request.name} had no reply within {timeout:g} s ({request.reason or 'no answer'})",
            maybe_done=request.maybe_done,
        )

    def _require_open(self) -> Topology:
        if self._topology is None or self._forks != forks.count:
            raise StoreError(self._uri.shown, _INHERITED if self._forks != forks.count else _NOT_OPEN)
        return self._topology


# Tasks are held here, because the event loop does not hold them.
_closing: Final[set[asyncio.Task[None]]] = set()


def _close_soon(topology: Topology) -> None:
    task = asyncio.get_running_loop().create_task(topology.close(0))
    _closing.add(task)
    task.add_done_callback(_closing.discard)
