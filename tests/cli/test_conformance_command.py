"""`ndb-models conformance`: exit statuses, what is printed, and wrong calls."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from ndb_models.engine import Engine
from ndb_models.testing import RunningServer
from tests.cli.shell import Shell, do
from tests.cli.shell import shell as shell


@pytest.mark.slow
def test_our_server_conforms(shell: Shell) -> None:
    with RunningServer() as server:
        do(server.uri, lambda client: client.kv_set({"mine": 1}))
        ran = shell.run("conformance", server.uri, "--json")
        assert do(server.uri, lambda client: client.kv_get(["mine"])) == {"mine": 1}
    assert ran.status == 0
    assert ran.json["conforming"] is True
    assert "failed" not in ran.json["sections"]["required"]
    assert "this writes" in ran.err


class Wrong(Engine):
    """Answers with another status than NemesisDB where a parameter is missing."""

    def begin(self, frame: bytes, admin: bool = True, *others: Any) -> bytes | Coroutine[Any, Any, bytes]:
        answer = super().begin(frame, admin, *others)
        return answer.replace(b'"st":26', b'"st":41') if isinstance(answer, bytes) else answer


@pytest.mark.slow
def test_a_server_that_answers_otherwise_is_status_1_and_the_difference_is_shown(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ndb_models.testing.server.Engine", Wrong)
    with RunningServer() as server:
        ran = shell.run("conformance", server.uri)
    assert ran.status == 1
    assert "expected" in ran.out
    assert ran.out.splitlines()[-1].endswith("does not conform")


def test_nothing_is_cleared_without_a_yes(shell: Shell) -> None:
    with RunningServer() as server:
        do(server.uri, lambda client: client.kv_set({"mine": 1}))
        ran = shell.run("conformance", server.uri, "--destructive", stdin="y\n")
        assert (ran.status, ran.out) == (2, "")
        assert do(server.uri, lambda client: client.kv_count()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "URI"),
        (("memory://",), "URI"),
        (("sqlite:///s.db",), "URI"),
        (("http://127.0.0.1:9/",), "URI"),
        (("ws://127.0.0.1:9/", "--token-file", "none"), "--token-file"),
        (("ws://127.0.0.1:9/", "--max-payload", "5"), "--max-payload"),
    ],
)
def test_bad_input_is_one_line_and_status_2(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    assert said in shell.refused("conformance", *arguments)


def test_a_server_that_is_not_there_is_one_line_and_status_1(shell: Shell) -> None:
    ran = shell.run("conformance", "ws://127.0.0.1:9/")
    assert (ran.status, ran.out) == (1, "")
    assert "cannot connect" in ran.err
