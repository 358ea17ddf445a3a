"""`ndb-models doctor`: exit statuses, what is printed, and wrong calls. The rules have tests of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.cli.shell import shell as shell
from tests.cli.shell import store as store

TOKEN = "data-token-of-the-tests-0123456789"


def test_a_store_without_problems_is_status_0(shell: Shell, store: str) -> None:
    ran = shell.run("doctor", "--store", store)
    assert ran.status == 0
    assert ran.out.splitlines()[-1].endswith("ok")


def test_findings_are_json_with_their_advice(shell: Shell, store: str) -> None:
    findings = shell.run("doctor", "--store", store, "--json").json["findings"]
    assert {"severity", "rule", "what", "advice"} == findings[0].keys()


@pytest.mark.skipif(sys.platform == "win32", reason="modes do not show access")
def test_a_problem_is_status_1_and_says_what_to_do(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"")
    (tmp_path / "s.db").chmod(0o644)
    ran = shell.run("doctor", "--store", "sqlite:///s.db")
    assert ran.status == 1
    assert "do: make it private with: chmod go-rwx s.db" in ran.out
    assert "problem" in ran.out.splitlines()[-1]


def test_a_warning_is_status_1_with_strict_alone(shell: Shell) -> None:
    assert [shell.run("doctor", *more).status for more in ((), ("--strict",))] == [0, 1]


def test_a_configuration_is_read_as_serve_reads_it(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text('{"version": 5, "ip": "0.0.0.0"}', "utf-8")
    ran = shell.run("doctor", "--config", "server.json", "--json")
    assert ran.status == 1
    assert "0.0.0.0 can be reached from other machines" in ran.out
    shell.environ("NDB_HOST", "127.0.0.1")
    assert shell.run("doctor", "--config", "server.json").status == 0


def test_no_token_is_shown(shell: Shell) -> None:
    shell.environ("NDB_TOKEN", TOKEN)
    ran = shell.run("doctor", "--json")
    assert TOKEN not in ran.out + ran.err
    assert "tokens" in json.dumps(ran.json)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--store", "http://a/"), "--store"),
        (("--store", "redis://"), "--store"),
        (("--store", "sqlite:///s.db", "--config", "a.json"), "give one of them"),
        (("--store", "sqlite:///s.db", "--token-file", "a"), "--token-file"),
        (("--store", "ws://127.0.0.1:9/", "--token-file", "none"), "--token-file"),
        (("--stroe", "a"), "--store"),
    ],
)
def test_bad_input_is_one_line_and_status_2(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    assert said in shell.refused("doctor", *arguments)
