"""Ports for servers that are told theirs, or that stop and start again on the same one."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

# Above the ports that Linux gives to connections and to servers that ask for any: between two starts of a server, a
# connection of another process cannot come to have its port.
_PORTS: Final = range(61_000, 65_000)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    for port in random.sample(_PORTS, 200):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")
