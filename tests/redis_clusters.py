"""Clusters of Redis or Valkey for tests, whose nodes can be killed, hung, added and removed. See `Servers.cluster`."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import hiredis

from tests.redis_servers import Link, RedisServer, Servers

_SLOTS: Final = 16384
_SECONDS: Final = 60.0


class NodeView(NamedTuple):
    """A node of a cluster, as another sees it."""

    id: str
    port: int
    flags: frozenset[str]
    master: str
    slots: tuple[str, ...]


class Cluster:
    """Six nodes or more. The first three are masters at the start."""

    # Nodes tell each other more often while the timeout is short.
    FORMING: Final = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1001")

    def __init__(self, servers: Servers, nodes: list[RedisServer]) -> None:
        self._servers = servers
        self.nodes: list[RedisServer] = nodes
        self._thirds = itertools.cycle((0, _SLOTS // 2, _SLOTS - 1))

    @property
    def uri(self) -> str:
        """The URI with three of its nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def form(self, node_timeout: int) -> None:
        """Make a cluster of the nodes, which are empty. `node_timeout` counts once they are one."""
        with contextlib.ExitStack() as stack:
            links = [stack.enter_context(node.link()) for node in self.nodes]
            per_master = -(-_SLOTS // 3)
            for number, link in enumerate(links):
                link("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if number < 3:
                    first = number * per_master
                    link("CLUSTER", "ADDSLOTS", *range(first, min(first + per_master, _SLOTS)))
            for number, link in enumerate(links):
                for other in self.nodes[number + 1 :]:
                    self._meet(link, other)
            self._until(lambda: all(self._is_met(link) for link in links))
            ids = [link("CLUSTER", "MYID") for link in links]
            for number, link in enumerate(links[3:]):
                link("CLUSTER", "REPLICATE", ids[number])
            self._until(lambda: all("cluster_state:ok" in link("CLUSTER", "INFO") for link in links))
            self._until(lambda: all("master_link_status:up" in link("INFO", "replication") for link in links[3:]))
            self._until(lambda: all(sum("slave" in node.flags for node in _view(link)) == 3 for link in links))
        self.set_node_timeout(node_timeout)
        for node in self.nodes:  # for when it is started again
            node.command = [*node.command, "--cluster-node-timeout", str(node_timeout)]

    def _is_met(self, link: Link) -> bool:
        """Tell whether a node knows the others by their own names."""
        view = _view(link)
        return len(view) == len(self.nodes) and not any("handshake" in node.flags for node in view)

    @staticmethod
    def _meet(link: Link, other: RedisServer) -> None:
        bus_port = other.option("--cluster-port")
        link("CLUSTER", "MEET", "127.0.0.1", other.port, *([] if bus_port is None else [bus_port]))

    def set_node_timeout(self, milliseconds: int) -> None:
        """Set the silence after which the nodes take one of them for failed."""
        for node in self.nodes:
            with node.link() as link:
                link("CONFIG", "SET", "cluster-node-timeout", milliseconds)

    def _until(self, is_so: Callable[[], bool], seconds: float = _SECONDS) -> None:
        give_up = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < give_up, "the cluster did not come to agree"
            time.sleep(0.02)

    def view(self) -> list[NodeView]:
        """Return the nodes as a node that is up sees them."""
        for node in self.nodes:
            if node.is_running:
                with contextlib.suppress(OSError), node.link(0.3) as link:
                    return _view(link)
        raise RuntimeError("no node answers")

    def masters(self) -> list[RedisServer]:
        """Return the masters that have slots."""
        ports = {
            node.port for node in self.view() if "master" in node.flags and node.slots and "fail" not in node.flags
        }
        return [node for node in self.nodes if node.port in ports]

    def next_master(self) -> RedisServer:
        """Return the master of another third of the slots each time.

        Masters vote for the replicas of one and the same shard only now and then.
        """
        slot = next(self._thirds)
        return next(master for master in self.masters() if slot in self.slots_of(master))

    def replica_of(self, master: RedisServer) -> RedisServer:
        """Return a replica of a master."""
        view = self.view()
        master_id = next(node.id for node in view if node.port == master.port)
        port = next(node.port for node in view if node.master == master_id and "fail" not in node.flags)
        return next(node for node in self.nodes if node.port == port)

    def slots_of(self, master: RedisServer) -> list[int]:
        """Return all slots of a master."""
        node = next(node for node in self.view() if node.port == master.port)
        ranges = [slots.partition("-") for slots in node.slots if not slots.startswith("[")]
        return [slot for first, _, last in ranges for slot in range(int(first), int(last or first) + 1)]

    def add_node(self, program: str) -> RedisServer:
        """Add an empty master, and wait until all nodes know it."""
        node = self._servers.start(program, *self.FORMING)
        with node.link() as link:
            for other in self.nodes:
                self._meet(link, other)
            self.nodes.append(node)
            self._until(lambda: self._is_met(link) and "cluster_state:ok" in link("CLUSTER", "INFO"))
        self._until(lambda: all(self._knows(other, node) for other in self.nodes))
        return node

    @staticmethod
    def _knows(one: RedisServer, other: RedisServer) -> bool:
        with one.link() as link:
            return any(node.port == other.port and "handshake" not in node.flags for node in _view(link))

    def migrate(self, slot: int, source: RedisServer, target: RedisServer, pause: float = 0.0) -> None:
        """Move a slot with its keys, a few at a time. Waits `pause` seconds after each group of keys."""
        self.begin_to_migrate(slot, source, target)
        with source.link() as old:
            while keys := old("CLUSTER", "GETKEYSINSLOT", slot, 20):
                self.move_keys(keys, source, target)
                time.sleep(pause)
        self.end_migration(slot, source, target)

    @staticmethod
    def move_keys(keys: Sequence[str | bytes], source: RedisServer, target: RedisServer) -> None:
        """Do the second step of `migrate` with some keys."""
        with source.link() as old:
            old("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    @staticmethod
    def end_migration(slot: int, source: RedisServer, target: RedisServer) -> None:
        """Do the last step of `migrate`: the slot is the target's."""
        with source.link() as old, target.link() as new:
            new_id = new("CLUSTER", "MYID")
            new("CLUSTER", "SETSLOT", slot, "NODE", new_id)
            with contextlib.suppress(hiredis.ReplyError):  # without its last slot, it may be a replica by now
                old("CLUSTER", "SETSLOT", slot, "NODE", new_id)

    @staticmethod
    def begin_to_migrate(slot: int, source: RedisServer, target: RedisServer) -> None:
        """Do the first step of `migrate`: new keys go to the target."""
        with source.link() as old, target.link() as new:
            new("CLUSTER", "SETSLOT", slot, "IMPORTING", old("CLUSTER", "MYID"))
            old("CLUSTER", "SETSLOT", slot, "MIGRATING", new("CLUSTER", "MYID"))

    def remove_node(self, node: RedisServer) -> None:
        """Have all other nodes forget a node without slots, and kill it."""
        with node.link() as link:
            node_id = link("CLUSTER", "MYID")
        self.nodes.remove(node)
        self._servers.kill(node)
        for other in self.nodes:
            with other.link() as link:
                link("CLUSTER", "FORGET", node_id)

    def kill(self, node: RedisServer) -> None:
        """Kill a node as `kill -9` does."""
        self._servers.kill(node)

    def restart(self, node: RedisServer) -> None:
        """Start a killed node again, without its data."""
        self._servers.restart(node)

    def events(self) -> str:
        """Return what the nodes wrote to their logs about failures and elections, for the message of a failed test."""
        words = ("fail", "elect", "vote", "MASTER", "PRIMARY", "master", "primary", "sync")
        lines = [
            f"{node.port} {line}"
            for node in self.nodes
            for line in Path(node.folder, "log").read_text("utf-8", "replace").splitlines()[-60:]
            if any(word in line for word in words)
        ]
        return "\n".join(lines)

    def wait_promoted(self, master: RedisServer, seconds: float = 30.0) -> float:
        """Wait until a replica has taken the place of a master that is down; return when, by `time.monotonic`."""
        self._until(lambda: len(self.masters()) == 3 and master not in self.masters(), seconds)
        return time.monotonic()

    def wait_alone(self, master: RedisServer) -> None:
        """Wait until a master has noticed that it has no replica any more."""
        with master.link() as link:
            self._until(lambda: "connected_slaves:0" in link("INFO", "replication"))

    def wait_whole(self, seconds: float = 30.0) -> None:
        """Wait until every node is up, sees the same masters, and every replica is in step with its master."""
        self._until(self._is_whole, seconds)

    def _is_whole(self) -> bool:
        views: set[frozenset[tuple[str, bool, str]]] = set()
        for node in self.nodes:
            with contextlib.suppress(OSError), node.link(0.5) as link:
                view = _view(link)
                if any(flag.startswith("fail") for each in view for flag in each.flags):
                    return False
                if "cluster_state:ok" not in link("CLUSTER", "INFO"):
                    return False
                if "master_link_status:down" in link("INFO", "replication"):
                    return False
                views.add(frozenset((each.id, "master" in each.flags, each.master) for each in view))
                continue
            return False
        return len(views) == 1


def _view(link: Link) -> list[NodeView]:
    lines = [line.split() for line in link("CLUSTER", "NODES").splitlines()]
    return [
        NodeView(
            line[0],
            int(line[1].partition("@")[0].partition(",")[0].rpartition(":")[2]),
            frozenset(flag.rstrip("?") for flag in line[2].split(",")),
            line[3],
            tuple(line[8:]),
        )
        for line in lines
    ]
