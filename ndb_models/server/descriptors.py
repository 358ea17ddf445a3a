"""File descriptors: how many this process may open, and a few that are kept for when there are no more."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from dataclasses import replace
from typing import Final

from ndb_models.server.options import ServerOptions

PROBES: Final = 32
"""Probes of health and scrapes of metrics that may be connected at a time, beyond all other connections."""

# For the store's files, data sets, the log, the listening sockets, and what the interpreter opens.
_FOR_OTHERS: Final = 64
_SPARE: Final = 8
# Of a limit that is too low, handshakes get one descriptor in so many.
_SHARE_OF_HANDSHAKES: Final = 4


def descriptor_limit(*, wanted: int) -> float:
    """Return how many descriptors this process may open; infinity where the system does not say.

    The soft limit is raised to `wanted`, or to the hard limit if that is lower. It is never lowered.
    """
    if sys.platform == "win32":
        return math.inf
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return math.inf if soft == resource.RLIM_INFINITY else soft
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # some systems refuse less than the hard limit that they name
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        return raised
    return soft


def descriptors_for(options: ServerOptions) -> int:
    """Return how many descriptors a server with these options may need."""
    return options.max_connections + options.max_handshakes + PROBES + _FOR_OTHERS


def fitted(options: ServerOptions, limit: float) -> ServerOptions:
    """Return the options with as many clients and handshakes as so many descriptors allow, each one at the least."""
    if descriptors_for(options) <= limit:
        return options
    left = int(limit) - PROBES - _FOR_OTHERS
    handshakes = max(1, min(options.max_handshakes, left // _SHARE_OF_HANDSHAKES))
    clients = max(1, min(options.max_connections, left - handshakes))
    return replace(options, max_connections=clients, max_handshakes=handshakes)


class SpareDescriptors:
    """Descriptors that are kept open, and given up one by one when the process can open no more."""

    def __init__(self) -> None:
        self._kept: list[int] = []

    @property
    def is_full(self) -> bool:
        """Whether none is missing."""
        return len(self._kept) == _SPARE

    def refill(self) -> bool:
        """Take as many as are missing, as far as there are any; return whether none is missing now."""
        with contextlib.suppress(OSError):
            while not self.is_full:
                self._kept.append(os.open(os.devnull, os.O_RDONLY))
        return self.is_full

    def give_up_one(self) -> bool:
        """Free one for another use; return False if none is left."""
        if not self._kept:
            return False
        os.close(self._kept.pop())
        return True

    def close(self) -> None:
        """Free all."""
        while self.give_up_one():
            pass
