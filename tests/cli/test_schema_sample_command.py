"""`ndb-models schema sample`: what would break is status 1, and no value is shown."""

from __future__ import annotations

from typing import Any

import pytest

from ndb_models import NdbClient, Repository, SessionModel
from ndb_models.testing import RunningServer
from tests.cli.shell import Shell, do
from tests.cli.shell import shell as shell
from tests.cli.shell import store as store
from tests.nemesisdb import NemesisDbEngine


class Stored(SessionModel, schema="SampledByShell"):
    name: str
    age: int = 0


FITTING = """
    from ndb_models import SessionModel

    class SampledByShell(SessionModel, version=2):
        username: str
        age: int = 0

    @SampledByShell.upgrade(1)
    def renamed(keys):
        return {"username": keys["name"], "age": keys["age"]}
"""
BREAKING = """
    from ndb_models import SessionModel
    from pydantic import Field

    class SampledByShell(SessionModel):
        name: str
        age: int = Field(default=18, ge=18)
"""


async def fill(client: NdbClient) -> None:
    repository = Repository(client, Stored)
    for age in (5, 6, 40):
        await repository.create(Stored(name="secretive", age=age))


def test_sessions_that_the_code_reads_are_status_0(shell: Shell, store: str) -> None:
    do(store, fill)
    shell.write("app_models", FITTING)
    ran = shell.run("schema", "sample", "app_models", "--store", store)
    assert ran.status == 0
    assert ran.out.splitlines() == [
        "SampledByShell: nothing breaks",
        "  3 live sessions: 3 of version 1; the code has version 2",
        "  3 read (all), 3 of them after an upgrade",
        "  old processes refuse these sessions once new ones have written them: NewerVersionError",
    ]


def test_what_would_break_is_status_1_with_its_field_and_reason(shell: Shell, store: str) -> None:
    do(store, fill)
    shell.write("app_models", BREAKING)
    ran = shell.run("schema", "sample", "app_models:SampledByShell", "--store", store, "--json")
    assert ran.status == 1
    (report,) = ran.json
    assert (report["live"], report["read"], report["invalid"], report["broken"]) == (3, 3, 2, 2)
    assert report["problems"] == [
        {"version": 1, "field": "age", "reason": "Input should be greater than or equal to 18", "sessions": 2}
    ]
    shown = shell.run("schema", "sample", "app_models:SampledByShell", "--store", store)
    assert "SampledByShell: 2 sessions break" in shown.out
    assert "secretive" not in shown.out + shown.err + ran.out


def test_a_sample_says_how_it_was_drawn(shell: Shell, store: str) -> None:
    do(store, fill)
    shell.write("app_models", FITTING)
    assert (
        "2 read (drawn at random, evenly from each version)"
        in shell.run("schema", "sample", "app_models", "--store", store, "--limit", "2").out
    )
    assert "3 read (all)" in shell.run("schema", "sample", "app_models", "--store", store, "--all").out


def test_models_that_print_do_not_spoil_the_json(shell: Shell, store: str) -> None:
    shell.write("app_models", "    print('hello')" + FITTING)
    ran = shell.run("schema", "sample", "app_models", "--store", store, "--json")
    assert (ran.status, ran.json[0]["schema"], "hello" in ran.err) == (0, "SampledByShell", True)


def test_an_empty_store_breaks_nothing(shell: Shell, store: str) -> None:
    shell.write("app_models", FITTING)
    ran = shell.run("schema", "sample", "app_models", "--store", store)
    assert (ran.status, ran.out.splitlines()[0]) == (0, "SampledByShell: there are no sessions")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("app_models",), "--store URI is missing"),
        (("app_models", "--store", "sqlite:///none.db"), "there is no file none.db"),
        (("app_models", "--store", "memory://"), "a store in memory"),
        (("app_models", "--store", "http://a/"), "no URI of a store"),
        (("app_none", "--store", "sqlite:///s.db"), "app_none"),
        (("app_models:None", "--store", "sqlite:///s.db"), "no session model"),
        (("app_models", "--store", "sqlite:///s.db", "--limit", "0"), "--limit"),
        (("app_models", "--store", "sqlite:///s.db", "--limit", "9999999"), "1 to 1000000"),
        (("app_models", "--store", "sqlite:///s.db", "--limit", "5", "--all"), "exclude each other"),
        (("app_models", "--store", "sqlite:///s.db", "--namespace", ""), "namespace"),
    ],
)
def test_bad_input_is_one_line_and_status_2(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    async def fill_none(client: NdbClient) -> Any:
        await client.kv_count()

    do("sqlite:///s.db", fill_none)
    shell.write("app_models", FITTING)
    assert said in shell.refused("schema", "sample", *arguments)


def test_a_store_that_cannot_list_is_one_line_and_status_1(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ndb_models.testing.server.Engine", NemesisDbEngine)
    shell.write("app_models", FITTING)
    with RunningServer() as server:
        ran = shell.run("schema", "sample", "app_models", "--store", server.uri)
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "schema sample" in ran.err
