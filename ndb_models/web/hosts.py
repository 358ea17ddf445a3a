"""Which hosts are one's own machine. No I/O."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Return True for a `Host` header that names this very machine: localhost, *.localhost, 127.0.0.0/8 or [::1]."""
    name = host.lower().strip()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") <= 1:
        name = name.partition(":")[0]
    name = name.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
