"""`ndb-models bench`: it asks, measures, and ends its sessions, also when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ndb_models.testing import RunningServer
from tests.cli.shell import Shell, do
from tests.cli.shell import shell as shell
from tests.cli.shell import store as store

ROOT = Path(__file__).parents[2]


def sessions(uri: str) -> object:
    return do(uri, lambda client: client.sh_info_all())["totalSessions"]


def test_a_store_is_measured_and_nothing_is_left(shell: Shell, store: str) -> None:
    ran = shell.run("bench", "--store", store, "--seconds", "0.3", "--tasks", "4", "--yes", "--json")
    assert ran.status == 0
    assert [each["verb"] for each in ran.json["verbs"]] == ["create", "get", "change", "end"]
    assert all(each["perSecond"] > 0 for each in ran.json["verbs"])
    assert (ran.json["left"], sessions(store)) == (0, 0)


def test_the_table_has_a_row_for_each_verb(shell: Shell, store: str) -> None:
    ran = shell.run("bench", "--store", store, "--seconds", "0.3", "--tasks", "4", "--yes")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["VERB", "create", "get", "change", "end", "4"]


def test_it_asks_first(shell: Shell, store: str) -> None:
    ran = shell.run("bench", "--store", store, stdin="y\n")
    assert (ran.status, ran.out) == (2, "")
    assert "--yes" in ran.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_sessions(number: int) -> None:
    with RunningServer() as server:
        arguments = ("bench", "--store", server.uri, "--seconds", "60", "--yes")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-m", "ndb_models", *arguments], env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            deadline = time.monotonic() + 60
            while not sessions(server.uri) and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said == "ndb-models: interrupted; its sessions were ended\n"
        assert sessions(server.uri) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--store URI is missing"),
        (("--store", "memory://"), "a store in memory"),
        (("--store", "sqlite:///s.db", "--seconds", "0"), "--seconds"),
        (("--store", "sqlite:///s.db", "--seconds", "many"), "--seconds"),
        (("--store", "sqlite:///s.db", "--tasks", "0"), "--tasks"),
        (("--store", "sqlite:///s.db", "--tasks", "5000"), "--tasks"),
    ],
)
def test_bad_input_is_one_line_and_status_2(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    assert said in shell.refused("bench", *arguments, "--yes")


def test_a_server_that_is_not_there_is_one_line_and_status_1(shell: Shell) -> None:
    ran = shell.run("bench", "--store", "ws://127.0.0.1:9/", "--yes")
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
