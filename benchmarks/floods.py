"""Clients that ask for as much as they can, on raw sockets: what each kind of flood sends, and how it is sent."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TEXT: Final = 0x81
_BURST: Final = 256 * 1024
_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(payload: bytes, first: int = _TEXT) -> bytes:
    """Return a frame of a client; `first` is its first byte. The mask changes nothing."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2)
    else:
        length = b"\xff" + size.to_bytes(8)
    return bytes([first]) + length + bytes(4) + payload


def request(command: str, **body: object) -> bytes:
    """Return a request as a frame."""
    return frame(json.dumps({command: body}).encode())


FLOODS: Final[Mapping[str, bytes]] = {
    "get": request("KV_GET", keys=["username"]),
    "set": request("KV_SET", keys={"flood": "x" * 50}),
    "new session": request("SH_NEW"),
    "bad JSON of one byte": frame(b"{"),
    "pings": frame(b"", 0x89),
    "unsolicited pongs": frame(b"", 0x8A),
    "empty binary frames": frame(b"", 0x82),
    "fragments": frame(b"{", 0x01) + frame(b"", 0x00) * 1000 + frame(b"}", 0x80),
    "empty text": frame(b""),
    "large values": request("KV_SET", keys={"large": "x" * 1_000_000}),
    "unknown commands": request("KV_UNKNOWN"),
    "closing and reconnecting": b"",
}
"""What each kind sends again and again; nothing for the one that only connects and leaves."""

FURTHER_FLOODS: Final[Mapping[str, bytes]] = {
    "large requests of bad JSON": frame(b"{" + b" " * 1_000_000),
    "many keys": request("KV_SET", keys={f"{number:x}": 1 for number in range(10_000)}),
    "arrays in arrays": request("KV_SET", keys={"arrays": [[] for _ in range(100_000)]}),
    "saves": request("SH_SAVE", name="flood"),
    "loads": request("SH_LOAD", name="flood"),
    "searches": request("KV_FIND", path="$..*", rsp="paths"),
    "tokens of no session": request("SH_EXISTS", tkns=list(range(1, 50_000))),
    "fragments of one byte": b"".join(
        frame(bytes([byte]), 0x01 if number == 0 else 0x00) for number, byte in enumerate(b'{"KV_COUNT":{}')
    )
    + frame(b"}", 0x80),
    "pings among requests": frame(b"x" * 125, 0x89) + request("KV_GET", keys=["username"]),
    "answers that are not read": request("KV_GET", keys=["stored"]),
    "handshakes that do not end": _HANDSHAKE[:-2],
}
"""Kinds that are tried as well; the last two are sent once on each connection, or until nothing more is taken."""

_NOT_READ: Final = "answers that are not read"
_HALF_OPEN: Final = "handshakes that do not end"
# Connections of a kind that leaves them open.
_LEFT_OPEN: Final = 300


@dataclass(frozen=True)
class Target:
    """A server on this machine; `certificate` is its own where it is reached over TLS."""

    port: int
    certificate: Path | None = None

    def reached(self) -> socket.socket:
        """Return a connection, before any handshake of WebSocket."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.certificate is None:
            return connection
        context = ssl.create_default_context(cafile=self.certificate)
        context.check_hostname = False
        return context.wrap_socket(connection)


def connected(target: Target) -> socket.socket:
    """Connect to a server, and shake hands."""
    connection = target.reached()
    connection.sendall(_HANDSHAKE)
    _read_until(connection, b"\r\n\r\n")
    return connection


def _read_until(connection: socket.socket, end: bytes) -> None:
    """Read one answer, which ends with these bytes.

    Raises:
        ConnectionResetError: the server ended the connection.
    """
    answer = b""
    while not answer.endswith(end):
        read = connection.recv(65536)
        if not read:
            raise ConnectionResetError
        answer += read


def _send(connection: socket.socket, frames: bytes) -> None:
    burst = frames * max(1, _BURST // len(frames))
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(burst)


def _read(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(1 << 20):
            pass


def _reconnect(target: Target) -> None:
    with contextlib.suppress(OSError):
        while True:
            with connected(target) as connection:
                connection.sendall(frame(b"\x03\xe8", 0x88))
                _read(connection)


def _never_read(target: Target) -> None:
    while True:
        with contextlib.suppress(OSError), connected(target) as connection:
            connection.settimeout(5)
            _send(connection, FURTHER_FLOODS[_NOT_READ])


def _half_open(target: Target) -> None:
    opened: list[socket.socket] = []
    while True:
        with contextlib.suppress(OSError):
            opened.append(target.reached())
            opened[-1].sendall(FURTHER_FLOODS[_HALF_OPEN])
        if len(opened) > _LEFT_OPEN:
            opened.pop(0).close()


def flood(target: Target, kind: str, connections: int) -> None:
    """Flood a server with one kind from so many connections, until this process is ended or the server is gone."""
    alone = {"closing and reconnecting": _reconnect, _NOT_READ: _never_read, _HALF_OPEN: _half_open}
    threads: list[threading.Thread] = []
    for _ in range(connections):
        if kind in alone:
            threads.append(threading.Thread(target=alone[kind], args=(target,)))
        else:
            connection = connected(target)
            frames = FLOODS.get(kind) or FURTHER_FLOODS[kind]
            threads.append(threading.Thread(target=_send, args=(connection, frames)))
            threads.append(threading.Thread(target=_read, args=(connection,)))
    _give_way()
    for thread in threads:
        thread.start()
    sys.stdout.write("flooding\n")
    sys.stdout.flush()
    for thread in threads:
        thread.join()


def _give_way() -> None:
    """Let other processes go first: on two cores, the other client must not wait for the system but for the server."""
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        os.sched_setscheduler(0, os.sched_getscheduler(0), os.sched_param(1))
    elif hasattr(os, "nice"):
        os.nice(10)


@contextlib.contextmanager
def flooding(target: Target, kind: str, connections: int) -> Iterator[None]:
    """Flood a server from a process of its own, until the end; return once it has begun."""
    certificate = () if target.certificate is None else (str(target.certificate),)
    command = [sys.executable, "-m", "benchmarks.floods", str(target.port), kind, str(connections), *certificate]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def latencies(target: Target, seconds: float) -> list[float]:
    """Ask for so long, one request after the other; return how long each took."""
    asked = request("SV_INFO")
    taken: list[float] = []
    with connected(target) as connection:
        ends = time.perf_counter() + seconds
        while (started := time.perf_counter()) < ends:
            connection.sendall(asked)
            _read_until(connection, b"}}")
            taken.append(time.perf_counter() - started)
    return taken


_ANSWERED: Final = b'"SV_INFO_RSP"'


def pipelined(target: Target, seconds: float, in_flight: int) -> float:
    """Ask for so long, with so many requests in flight; return the answers per second."""
    asked = request("SV_INFO")
    answered, end = 0, b""
    with connected(target) as connection:
        connection.sendall(asked * in_flight)
        started = time.perf_counter()
        while time.perf_counter() < started + seconds:
            read = end + connection.recv(65536)
            count = read.count(_ANSWERED)
            end = read[-len(_ANSWERED) + 1 :]  # an answer may come in two parts
            answered += count
            connection.sendall(asked * count)
        return answered / (time.perf_counter() - started)


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of all stay under."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    flood(Target(int(sys.argv[1]), *map(Path, sys.argv[4:])), sys.argv[2], int(sys.argv[3]))
