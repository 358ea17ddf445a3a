"""The system's figures for this process, with the names of Prometheus' client libraries (`process_*`).

They come from `/proc`, if there is one. Unknown figures are left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from ndb_models.server.file_descriptors import descriptor_limit
from ndb_models.server.memory_limit import memory_used

_SELF: Final = Path("/proc/self")
# Fields of /proc/self/stat after the name in parentheses, which may hold spaces: proc(5) numbers them from 3.
_START_TIME: Final = 22 - 3


Metric: TypeAlias = tuple[str, str, str, float | None]
"""Name, type, meaning, and value of a metric without labels; None for an unknown value, which is left out."""


def process_metrics() -> Iterator[Metric]:
    """Yield the present figures: times in seconds, sizes in bytes."""
    yield "process_cpu_seconds_total", "counter", "User and system CPU time in seconds.", time.process_time()
    yield "process_max_fds", "gauge", "Most file descriptors that may be open.", descriptor_limit(wanted=0)
    try:
        fields = (_SELF / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
        # Not counting the descriptor of this directory itself.
        open_fds = len(os.listdir(_SELF / "fd")) - 1  # noqa: PTH208 - only names, up to tens of thousands
        # Not from /proc/stat: a hardened service sees only its own processes.
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):  # no /proc, or none of this form
        return
    memory = memory_used()
    yield "process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.", time.time() - age
    yield "process_virtual_memory_bytes", "gauge", "Virtual memory in bytes.", memory.virtual
    yield "process_resident_memory_bytes", "gauge", "Resident memory in bytes.", memory.resident
    yield "process_open_fds", "gauge", "Open file descriptors.", open_fds
