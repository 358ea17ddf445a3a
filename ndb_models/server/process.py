"""The system's figures for this process, with the names of Prometheus' client libraries (`process_*`).

They come from `/proc`, if there is one. Unknown figures are left out.
"""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ndb_models.server.memory_limit import memory_used

_SELF: Final = Path("/proc/self")
# Fields of /proc/self/stat after the name in parentheses, which may hold spaces: proc(5) numbers them from 3.
_START_TIME: Final = 22 - 3


@dataclass(frozen=True, slots=True)
class ProcessStatistics:
    """Figures for this process: times in seconds, sizes in bytes; None for unknown ones.

    `started` is in seconds since 1970; `max_fds` is infinite if there is no limit.
    """

    cpu: float
    started: float | None = None
    virtual: int | None = None
    resident: int | None = None
    open_fds: int | None = None
    max_fds: float | None = None


def process_statistics() -> ProcessStatistics:
    """Return the present figures."""
    cpu, max_fds = time.process_time(), _max_fds()
    try:
        fields = (_SELF / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
        # Not counting the descriptor of this directory itself.
        open_fds = len(os.listdir(_SELF / "fd")) - 1  # noqa: PTH208 - only names, up to tens of thousands
        # Not from /proc/stat: a hardened service sees only its own processes.
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):  # no /proc, or none of this form
        return ProcessStatistics(cpu, max_fds=max_fds)
    memory = memory_used()
    return ProcessStatistics(
        cpu,
        started=time.time() - age,
        virtual=memory.virtual,
        resident=memory.resident,
        open_fds=open_fds,
        max_fds=max_fds,
    )


def _max_fds() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if limit == resource.RLIM_INFINITY else limit
