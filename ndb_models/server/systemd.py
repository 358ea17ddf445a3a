"""Tell systemd the state of the service (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def reloading_state() -> str:
    """Return systemd's notification for the start of a reload. The one for its end is `READY`."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def tell_systemd(state: str) -> None:
    """Tell systemd the state of the service, if it has asked for that (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
            notifying.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)
