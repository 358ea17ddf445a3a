"""The connections of a server, by kind: handshakes, probes and clients.

A connection arrives as a handshake. It becomes a probe, which asks for health or metrics, or a client. When there are
too many handshakes or probes, the server evicts one, so that a new connection always gets in.
"""

from __future__ import annotations

import time
from collections import Counter
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final, Generic, Protocol, TypeVar

from ndb_models.server.file_descriptors import PROBES
from ndb_models.server.options import ServerOptions
from ndb_models.server.traffic import Refusal, Traffic
from ndb_models.types import Clock

_PREFIX_OF_A_SITE: Final = 64
# When descriptors have run out, handshakes younger than this many seconds are not evicted.
_YOUNG: Final = 0.05


def address_of(peer: str) -> str:
    """Return the address that limits count by: an IPv4 address, or the /64 of an IPv6 address.

    An IPv4-mapped IPv6 address counts as IPv4. Text that is no IP address is returned as it is.
    """
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Network((address.packed, _PREFIX_OF_A_SITE), strict=False))
    return str(address)


class Registered(Protocol):
    """A connection as the registry sees it: its address, its time of arrival, and two ways to end it."""

    address: str
    arrived_at: float

    @property
    def is_answered(self) -> bool:
        """Whether its handshake has been answered."""
        ...

    def evict(self) -> None:
        """End it at once, without an answer."""
        ...

    def cut(self) -> None:
        """End it at once, because the server is stopping."""
        ...


C = TypeVar("C", bound=Registered)


class ConnectionRegistry(Generic[C]):
    """Holds every connection from its arrival to its end."""

    def __init__(self, options: ServerOptions, traffic: Traffic, *, clock: Clock = time.monotonic) -> None:
        self._most_handshakes = options.max_handshakes
        self._most_of_an_address = options.max_connections_per_address
        self._traffic = traffic
        self._clock = clock
        # Dictionaries used as ordered sets: the oldest is first.
        self._handshakes: dict[C, None] = {}
        self._probes: dict[C, None] = {}
        self._clients: dict[C, None] = {}
        self._handshakes_of: Counter[str] = Counter()
        self._clients_of: Counter[str] = Counter()

    @property
    def clients(self) -> list[C]:
        """The clients, in order of admission."""
        return [*self._clients]

    def arrive(self, connection: C) -> None:
        """Add a handshake.

        If its address has too many, evict the oldest of that address. If there are too many in all, evict the oldest
        of the address with the most handshakes.
        """
        address = connection.address
        most = self._most_of_an_address
        if most is not None and self._handshakes_of[address] >= most:
            self._evict_handshake_of(address)
        elif len(self._handshakes) >= self._most_handshakes:
            self._evict_handshake_of(max(self._handshakes_of, key=self._handshakes_of.__getitem__))
        self._handshakes[connection] = None
        self._handshakes_of[address] += 1
        self._traffic.handshakes = len(self._handshakes)

    def become_probe(self, connection: C) -> None:
        """Move a handshake to the probes. If there are too many, evict the oldest probe."""
        if self._end_handshake(connection):
            if len(self._probes) >= PROBES:
                self._evict(next(iter(self._probes)))
            self._probes[connection] = None

    def become_client(self, connection: C) -> None:
        """Move a handshake to the clients."""
        if self._end_handshake(connection):
            self._clients[connection] = None
            self._clients_of[connection.address] += 1

    def has_too_many_clients(self, address: str) -> bool:
        """Return True if an address has all the clients that it may have."""
        return self._most_of_an_address is not None and self._clients_of[address] >= self._most_of_an_address

    def leave(self, connection: C) -> None:
        """Remove a connection; an unknown one changes nothing."""
        self._end_handshake(connection)
        self._probes.pop(connection, None)
        if connection in self._clients:
            del self._clients[connection]
            self._count_down(self._clients_of, connection.address)

    def free_descriptors(self) -> None:
        """Evict answered handshakes and probes, and the oldest handshake unless it is younger than 0.05 s."""
        for connection in [*self._handshakes, *self._probes]:
            if connection.is_answered:
                self._evict(connection)
        oldest = next(iter(self._handshakes), None)
        if oldest is not None and self._clock() - oldest.arrived_at > _YOUNG:
            self._evict(oldest)

    def cut(self) -> None:
        """End all connections at once."""
        for connection in [*self._handshakes, *self._probes, *self._clients]:
            connection.cut()

    def _evict_handshake_of(self, address: str) -> None:
        self._evict(next(each for each in self._handshakes if each.address == address))

    def _evict(self, connection: C) -> None:
        if not connection.is_answered:
            self._traffic.refused[Refusal.EVICTED] += 1
        self.leave(connection)
        connection.evict()

    def _end_handshake(self, connection: C) -> bool:
        """Remove a connection from the handshakes; return False if it has been evicted."""
        if connection not in self._handshakes:
            return False
        del self._handshakes[connection]
        self._count_down(self._handshakes_of, connection.address)
        self._traffic.handshakes = len(self._handshakes)
        return True

    @staticmethod
    def _count_down(counter: Counter[str], address: str) -> None:
        counter[address] -= 1
        if not counter[address]:
            del counter[address]
