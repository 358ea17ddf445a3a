"""Clients that ask for as much as they can, on raw sockets: what each kind of flood sends, and how it is sent."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
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


def connected(port: int) -> socket.socket:
    """Connect to a server on this machine, and shake hands."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(_HANDSHAKE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        read = connection.recv(65536)
        if not read:
            raise ConnectionResetError
        answer += read
    return connection


def _send(connection: socket.socket, frames: bytes) -> None:
    burst = frames * max(1, _BURST // len(frames))
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(burst)


def _read(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(1 << 20):
            pass


def _reconnect(port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            with connected(port) as connection:
                connection.sendall(frame(b"\x03\xe8", 0x88))
                _read(connection)


def flood(port: int, kind: str, connections: int) -> None:
    """Flood a server with one kind from so many connections, until this process is ended or the server is gone."""
    frames = FLOODS[kind]
    threads: list[threading.Thread] = []
    for _ in range(connections):
        if frames:
            connection = connected(port)
            threads.append(threading.Thread(target=_send, args=(connection, frames)))
            threads.append(threading.Thread(target=_read, args=(connection,)))
        else:
            threads.append(threading.Thread(target=_reconnect, args=(port,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def flooding(port: int, kind: str, connections: int) -> Iterator[None]:
    """Flood a server from a process of its own, until the end."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.floods", str(port), kind, str(connections)]) as process:
        try:
            yield
        finally:
            process.kill()


def latencies(port: int, seconds: float) -> list[float]:
    """Ask for so long, one request after the other; return how long each took."""
    asked = request("SV_INFO")
    taken: list[float] = []
    with connected(port) as connection:
        ends = time.perf_counter() + seconds
        while (started := time.perf_counter()) < ends:
            connection.sendall(asked)
            answer = b""
            while not answer.endswith(b"}}"):
                answer += connection.recv(4096)
            taken.append(time.perf_counter() - started)
    return taken


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of all stay under."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    flood(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
