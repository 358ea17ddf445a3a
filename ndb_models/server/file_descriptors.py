"""File descriptors: how many this process may open, and a few spare ones for when they run out."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from dataclasses import replace
from typing import Final, TypeVar

from ndb_models.server.options import ServerOptions

PROBES: Final = 32
"""The most health probes and metrics scrapes that may be connected at a time, beyond all other connections."""

# For the store's files, data sets, the log, the listening sockets, and the interpreter's own files.
_FOR_OTHERS: Final = 64
_SPARE: Final = 8
# If the limit is too low, handshakes get one in this many descriptors.
_SHARE_OF_HANDSHAKES: Final = 4

OptionsT = TypeVar("OptionsT", bound=ServerOptions)


def descriptor_limit(*, wanted: int) -> float:
    """Return how many descriptors this process may open; infinity if there is no limit, or on Windows.

    A lower soft limit is raised to `wanted`, or to the hard limit if that is lower. It is never lowered.
    """
    if sys.platform == "win32":
        return math.inf
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return math.inf if soft == resource.RLIM_INFINITY else soft
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # some systems refuse even their own hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        return raised
    return soft


def descriptors_for(options: ServerOptions) -> int:
    """Return the most descriptors that a server with these options may need."""
    return options.max_connections + options.max_handshakes + PROBES + _FOR_OTHERS


def fitted(options: OptionsT, limit: float) -> OptionsT:
    """Return options whose clients and handshakes fit into `limit` descriptors; at least one of each stays."""
    if descriptors_for(options) <= limit:
        return options
    left = int(limit) - PROBES - _FOR_OTHERS
    handshakes = max(1, min(options.max_handshakes, left // _SHARE_OF_HANDSHAKES))
    clients = max(1, min(options.max_connections, left - handshakes))
    return replace(options, max_connections=clients, max_handshakes=handshakes)


class SpareDescriptors:
    """Open descriptors in reserve, to be given up one by one when the process can open no more."""

    def __init__(self) -> None:
        self._kept: list[int] = []

    @property
    def is_full(self) -> bool:
        """True if the reserve is complete."""
        return len(self._kept) == _SPARE

    def refill(self) -> bool:
        """Open the missing descriptors, as far as the system allows; return True if the reserve is complete."""
        with contextlib.suppress(OSError):  # none is left to open
            while not self.is_full:
                self._kept.append(os.open(os.devnull, os.O_RDONLY))
        return self.is_full

    def give_up_one(self) -> bool:
        """Close one, so that it can be used; return False if none is left."""
        if not self._kept:
            return False
        os.close(self._kept.pop())
        return True

    def close(self) -> None:
        """Close all."""
        while self.give_up_one():
            pass
