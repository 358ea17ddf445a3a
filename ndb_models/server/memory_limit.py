"""The memory that this process may still take: by its control group, by its own limits, and by the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

_ROOT: Final = Path("/")
_GROUPS: Final = "sys/fs/cgroup"
# Mount points of both versions of control groups, alone or side by side, and the file with the limit.
_MOUNTS: Final = (("", "memory.max"), ("unified", "memory.max"), ("memory", "memory.limit_in_bytes"))
# Fields of /proc/self/statm, in pages, in the order of `MemoryUse`: proc(5).
_FIELDS: Final = (0, 1, 5)
# The server's own needs once it serves: modules, and the stacks and allocation arenas of threads. These are mostly
# reserved addresses.
_RESIDENT_TO_COME: Final = 16 * 1024 * 1024
_VIRTUAL_TO_COME: Final = 128 * 1024 * 1024


class MemoryUse(NamedTuple):
    """The bytes of memory that a process takes."""

    virtual: int
    resident: int
    data: int


def resident_limit(root: Path = _ROOT) -> int | None:
    """Return the bytes of memory at which the system ends this process; None if the system does not tell."""
    return min([*_group_limits(root), *_machine_memory()], default=None)


def memory_left(root: Path = _ROOT) -> int | None:
    """Return the bytes of memory left for data and clients; None if the system does not tell.

    This is the limit of this process, less its present use, and less the needs of a starting server. `root` is the
    directory of the system's files.
    """
    virtual, resident, data = memory_used(root)
    left = [most - resident - _RESIDENT_TO_COME for most in (*_group_limits(root), *_machine_memory())]
    if sys.platform != "win32":
        import resource

        for kind, used in ((resource.RLIMIT_AS, virtual), (resource.RLIMIT_DATA, data)):
            most, _ = resource.getrlimit(kind)
            if most != resource.RLIM_INFINITY:
                left.append(most - used - _VIRTUAL_TO_COME)
    return max(0, min(left)) if left else None


def memory_used(root: Path = _ROOT) -> MemoryUse:
    """Return the memory that this process takes; zeros if the system does not tell."""
    try:
        fields = (root / "proc/self/statm").read_text("ascii").split()
        page = os.sysconf("SC_PAGE_SIZE")
        return MemoryUse(*(int(fields[field]) * page for field in _FIELDS))
    except (OSError, AttributeError, IndexError, ValueError):  # no /proc, or none of this form
        return MemoryUse(0, 0, 0)


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of this process's control group and of the groups above it. A huge number means no limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:  # no control groups
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        group = PurePosixPath(path.lstrip("/"))
        for mount, name in _MOUNTS:
            for above in (group, *group.parents):
                yield from _limit(root / _GROUPS / mount / above / name)


def _limit(path: Path) -> Iterator[int]:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):  # this mount has no such limit
        return
    if text.isdecimal():  # else it is "max"
        yield int(text)


def _machine_memory() -> Iterator[int]:
    try:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # the system does not tell
        return
