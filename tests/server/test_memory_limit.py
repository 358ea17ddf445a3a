"""How much memory a process may take is the least of what its control groups, its own limits and the machine say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ndb_models.server.memory_limit import memory_left, resident_limit

MIB = 1024 * 1024
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def system(root: Path, groups: str, limits: dict[str, str]) -> Path:
    """Write what a system says of a process of 50 MiB; return where."""
    page = os.sysconf("SC_PAGE_SIZE")
    files = {
        "proc/self/cgroup": groups,
        "proc/self/statm": f"{100 * MIB // page} {50 * MIB // page} 0 0 0 {80 * MIB // page} 0\n",
        **{f"sys/fs/cgroup/{path}": limit for path, limit in limits.items()},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/app\n", {"app/memory.max": f"{512 * MIB}\n"}),
        ("0::/pod/app\n", {"pod/memory.max": f"{512 * MIB}\n", "pod/app/memory.max": "max\n"}),
        ("0::/\n", {"memory.max": f"{512 * MIB}\n"}),
        # A path of the host, which the container does not see: its own group is at the root.
        ("0::/docker/1234\n", {"memory.max": f"{512 * MIB}\n"}),
        ("4:memory:/app\n0::/\n", {"memory/app/memory.limit_in_bytes": f"{512 * MIB}\n"}),
        ("4:cpu,memory:/app\n", {"memory/app/memory.limit_in_bytes": f"{512 * MIB}", "memory.max": "max"}),
        (
            "4:memory:/a\n0::/a\n",
            {"memory/a/memory.limit_in_bytes": f"{2**60}", "unified/a/memory.max": f"{512 * MIB}"},
        ),
    ],
)
def test_the_least_limit_of_the_control_groups_counts(tmp_path: Path, groups: str, limits: dict[str, str]) -> None:
    root = system(tmp_path, groups, limits)
    assert resident_limit(root) == 512 * MIB
    left = memory_left(root)
    assert left is not None
    assert 400 * MIB < left < 462 * MIB


@pytest.mark.parametrize("limit", ["max", "", "9223372036854771712", "no number"])
def test_without_a_limit_it_is_the_machine_that_counts(tmp_path: Path, limit: str) -> None:
    root = system(tmp_path, "0::/app\n1:memory:/\n", {"app/memory.max": limit, "memory/memory.limit_in_bytes": limit})
    assert resident_limit(root) == MACHINE


def test_where_the_system_tells_nothing_it_is_the_machine(tmp_path: Path) -> None:
    assert resident_limit(tmp_path) == MACHINE


def test_a_limit_that_is_reached_leaves_nothing(tmp_path: Path) -> None:
    assert memory_left(system(tmp_path, "0::/app\n", {"app/memory.max": f"{40 * MIB}"})) == 0
