"""Which connection leads to the master of a key: always the same one, or one of a cluster's."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Final

import hiredis

from ndb_models.stores.redis.opening import LOST, Opener, forgotten, ignored, reason_of
from ndb_models.stores.redis.packing import packed
from ndb_models.stores.redis.server_connections import Changes, ServerConnection, pause_before
from ndb_models.stores.redis.slot_map import SLOTS, Address, SlotMap, parse_slot_map, slot_of

_CLUSTER_SLOTS: Final = packed("CLUSTER", "SLOTS")
_CLUSTER_INFO: Final = packed("CLUSTER", "INFO")
# How many servers are asked at once. One of them may be out of date.
_ASKED_AT_ONCE: Final = 3


class Server:
    """A server with its connections. `writes` is the same one as `reads`, unless replicas must confirm writes."""

    def __init__(self, address: Address, opener: Opener, changes: Changes, on_lost: Callable[[], None]) -> None:
        self.address: Address = address
        self.reads: ServerConnection = ServerConnection(address, opener, changes, on_lost)
        self.writes: ServerConnection = (
            ServerConnection(address, opener, changes, on_lost, confirms=True)
            if opener.uri.options.wait_replicas
            else self.reads
        )

    @property
    def connections(self) -> set[ServerConnection]:
        """All its connections."""
        return {self.reads, self.writes}


class Topology(ABC):
    """The servers.

    Attributes:
        changes: told when a connection is there or lost, and when the masters change.
    """

    def __init__(self, opener: Opener) -> None:
        self.changes: Changes = Changes()
        self._opener = opener
        self._servers: dict[Address, Server] = {}

    def server_at(self, address: Address) -> Server:
        """Return the server at an address."""
        server = self._servers.get(address)
        if server is None:
            server = Server(address, self._opener, self.changes, self.look_soon)
            self._servers[address] = server
        return server

    @abstractmethod
    def master_of(self, key: bytes) -> Server | None:
        """Return the master that has a key; None if no server is known to have it."""

    @abstractmethod
    def slots_by_master(self) -> dict[Server, list[tuple[int, int]]]:
        """Return all masters that have keys, each with the ranges of its slots."""

    def masters(self) -> list[Server]:
        """Return all masters that have keys."""
        return [*self.slots_by_master()]

    async def look(self) -> list[str]:
        """Ask for the masters, and use the answer. Return why servers did not answer, if none did."""
        return []

    @abstractmethod
    def look_soon(self) -> None:
        """Look for the masters in the background, until all of them can be reached."""

    @abstractmethod
    def moved(self, key: bytes, address: Address) -> None:
        """Take a server's word that another one has a key's slot."""

    @abstractmethod
    def demoted(self) -> None:
        """Take a server's word that it is no master, or that its cluster is down."""

    async def close(self, seconds: float) -> None:
        """Close all connections after the replies that are due."""
        connections = [connection for server in self._servers.values() for connection in server.connections]
        await asyncio.gather(*(connection.close(seconds) for connection in connections))
        self.changes.tell()


class SingleServer(Topology):
    """One server for all keys."""

    def __init__(self, opener: Opener) -> None:
        super().__init__(opener)
        self._server = self.server_at(Address(*opener.uri.addresses[0]))

    def master_of(self, key: bytes) -> Server:
        return self._server

    def slots_by_master(self) -> dict[Server, list[tuple[int, int]]]:
        return {self._server: [(0, SLOTS - 1)]}

    def look_soon(self) -> None:
        pass  # its connections connect again by themselves

    def moved(self, key: bytes, address: Address) -> None:
        self.demoted()

    def demoted(self) -> None:
        for connection in self._server.connections:
            connection.drop()  # its name may lead to the new master


class Cluster(Topology):
    """The masters of a cluster. A look asks several servers, and believes the one that knows of most changes."""

    def __init__(self, opener: Opener) -> None:
        super().__init__(opener)
        self._map = SlotMap({})
        self._by_slot: list[Server | None] = [None] * SLOTS
        self._looking: asyncio.Task[None] | None = None
        self._looks_again = False
        self._closed = False
        # Servers that left the cluster, until they have answered their last requests.
        self._retiring: set[asyncio.Task[None]] = set()

    def master_of(self, key: bytes) -> Server | None:
        return self._by_slot[slot_of(key)]

    def slots_by_master(self) -> dict[Server, list[tuple[int, int]]]:
        ranges: dict[Server, list[tuple[int, int]]] = {}
        first = 0
        for server, slots in groupby(self._by_slot):
            last = first + sum(1 for _ in slots) - 1
            if server is not None:
                ranges.setdefault(server, []).append((first, last))
            first = last + 1
        return ranges

    def moved(self, key: bytes, address: Address) -> None:
        self._by_slot[slot_of(key)] = self.server_at(address)
        self.look_soon()

    def demoted(self) -> None:
        self.look_soon()

    def look_soon(self) -> None:
        self._looks_again = True
        if self._looking is None and not self._closed:
            self._looking = asyncio.get_running_loop().create_task(self._look_until_settled())

    async def _look_until_settled(self) -> None:
        attempt = 0
        try:
            while self._looks_again or any(self._is_failing(server) for server in self.masters()):
                self._looks_again = False
                await self.look()
                attempt += 1
                await asyncio.sleep(pause_before(attempt))
        finally:
            self._looking = None

    @staticmethod
    def _is_failing(server: Server) -> bool:
        return any(connection.failed_at is not None for connection in server.connections)

    async def look(self) -> list[str]:
        reasons: list[str] = []
        asked = self._to_ask()
        for first in range(0, len(asked), _ASKED_AT_ONCE):
            answers = await asyncio.gather(*(self._ask(address) for address in asked[first : first + _ASKED_AT_ONCE]))
            maps = [answer for answer in answers if isinstance(answer, SlotMap)]
            if maps:
                self._use(max(maps, key=lambda each: (each.epoch, len(each.masters))))
                return []
            reasons += [answer for answer in answers if isinstance(answer, str)]
        return reasons

    def _to_ask(self) -> list[Address]:
        """Return all known servers: the ones that are connected first, and the failing ones last."""
        masters = self.masters()
        failing = {server.address for server in masters if self._is_failing(server)}
        connected = {server.address for server in masters if server.reads.link is not None} - failing
        named = (Address(*address) for address in self._opener.uri.addresses)
        others = {*named, *self._map.others, *(each.address for each in masters)}
        return [*_shuffled(connected), *_shuffled(others - connected - failing), *_shuffled(failing)]

    async def _ask(self, address: Address) -> SlotMap | str:
        """Return the map of a server, or why there is none."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._opener.uri.options.attempt_timeout
        server = self._servers.get(address)
        link = None if server is None else server.reads.link
        temporary = None
        try:
            if link is None:
                temporary, _ = await self._opener.open(address, ignored)
                link = temporary
            requests = [link.request(frame, deadline) for frame in (_CLUSTER_SLOTS, _CLUSTER_INFO)]
            for request in requests:
                request.add_done_callback(forgotten)
            slots, info = [await request for request in requests]
        except LOST as exc:
            return reason_of(exc)
        finally:
            if temporary is not None:
                temporary.drop("it is not needed any more")
        if isinstance(slots, hiredis.ReplyError) or isinstance(info, hiredis.ReplyError):
            return "the server is no part of a cluster: use redis://"
        try:
            return parse_slot_map(slots, info, address)
        except (ValueError, TypeError, IndexError):
            return "the server's view of the cluster cannot be read"

    def _use(self, slot_map: SlotMap) -> None:
        if not slot_map.masters:
            return
        self._map = slot_map
        by_slot: list[Server | None] = [None] * SLOTS
        for slot, address in slot_map.masters.items():
            by_slot[slot] = self.server_at(address)
        if by_slot == self._by_slot:
            return
        self._by_slot = by_slot
        gone = self._servers.keys() - set(slot_map.masters.values())
        for address in gone:
            server = self._servers.pop(address)
            for connection in server.connections:
                connection.retire()
                retiring = asyncio.get_running_loop().create_task(
                    connection.close(self._opener.uri.options.attempt_timeout)
                )
                self._retiring.add(retiring)
                retiring.add_done_callback(self._retiring.discard)
        self.changes.tell()

    async def close(self, seconds: float) -> None:
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        if self._retiring:
            await asyncio.wait(self._retiring)
        await super().close(seconds)


def _shuffled(addresses: Iterable[Address]) -> list[Address]:
    listed = [*addresses]
    random.shuffle(listed)
    return listed
