"""Listen on an address. Errors name the address."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Generator
from typing import Final

# Connections that the system holds until they are accepted.
_BACKLOG: Final = 256
# Errors that mean: this machine does not have the address that the host name resolved to.
_NOT_HERE: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def reason_of(failure: OSError) -> str:
    """Return the system's words for a failure: each event loop has its own, and some do not name the port."""
    is_by_name = isinstance(failure, socket.gaierror) or not failure.errno
    reason = failure.strerror if is_by_name else os.strerror(failure.errno or 0)
    return (reason or str(failure)).lower()


@contextlib.contextmanager
def listening_on(host: str, port: int) -> Generator[None]:
    """Add the address to an error of the system; `errno` stays.

    Raises:
        OSError: the server cannot listen on the address.
    """
    try:
        yield
    except OSError as exc:
        failure = OSError(f"port {port} of {host or 'every address'} cannot be listened on: {reason_of(exc)}")
        failure.errno = exc.errno
        raise failure from exc


async def listen(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """Return listening sockets, one for each address of the host that this machine has.

    Raises:
        OSError: the machine has no such address, or one of them cannot be listened on: its port may be in use.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listening: list[socket.socket] = []
    missing: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            listening.append(_listening(family, kind, protocol, address, reuse_port=reuse_port))
        except OSError as exc:
            if exc.errno not in _NOT_HERE:
                for each in listening:
                    each.close()
                raise
            missing = exc
    if not listening:
        raise missing or OSError("no address was found")
    return listening


def _listening(
    family: int, kind: int, protocol: int, address: tuple[object, ...], *, reuse_port: bool
) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere this option would let other programs take the port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made
