"""`ndb-models config`: a stored configuration is checked, compared, shown and changed from a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import Shell, do
from tests.cli.shell import shell as shell
from tests.cli.shell import store as store

CONFIG = """
    from datetime import date
    from pydantic import BaseModel, Field, SecretStr

    class AppConfig(BaseModel):
        title: str = "untitled"
        workers: int = Field(default=4, ge=1)
        hosts: set[str] = set()
        start: date | None = None
        signing: SecretStr = SecretStr("")

    class Strict(BaseModel):
        workers: int
        title: str = "untitled"
"""
MODEL = "app_config:AppConfig"
SECRET = "not-to-be-shown"


@pytest.fixture
def config(shell: Shell, store: str) -> Shell:
    """A shell whose commands get the store from the environment."""
    shell.write("app_config", CONFIG)
    shell.environ("NDB_STORE", store)
    return shell


def test_a_configuration_that_fits_is_status_0(config: Shell, store: str) -> None:
    do(store, lambda client: client.kv_set({"app:workers": 8}))
    ran = config.run("config", "check", MODEL, "--namespace", "app")
    assert (ran.status, ran.out) == (0, f"{MODEL}: it fits\n")


def test_a_model_that_prints_does_not_spoil_the_json(config: Shell, store: str) -> None:
    config.write("app_config", "    print('hello')" + CONFIG)
    ran = config.run("config", "check", MODEL, "--json")
    assert (ran.json["fits"], "hello" in ran.err) == (True, True)


def test_what_does_not_fit_is_listed_without_its_value(config: Shell, store: str) -> None:
    do(store, lambda client: client.kv_set({"app:workers": SECRET, "app:wrokers": 1}))
    ran = config.run("config", "check", MODEL, "--namespace", "app", "--json")
    assert ran.status == 1
    assert [(each["key"], each["kind"]) for each in ran.json["problems"]] == [
        ("app:workers", "invalid"),
        ("app:wrokers", "unknown"),
    ]
    assert SECRET not in ran.out + config.run("config", "check", MODEL, "--namespace", "app").out


def test_an_unknown_key_is_an_error_with_strict_alone(config: Shell, store: str) -> None:
    do(store, lambda client: client.kv_set({"app:wrokers": 1}))
    statuses = [
        config.run("config", "check", MODEL, "--namespace", "app", *more).status for more in ((), ("--strict",))
    ]
    assert statuses == [0, 1]


def test_differences_from_the_defaults_are_status_1(config: Shell, store: str) -> None:
    assert config.run("config", "diff", MODEL).status == 0
    do(store, lambda client: client.kv_set({"workers": 8, "signing": SECRET}))
    ran = config.run("config", "diff", MODEL, "--json")
    assert ran.status == 1
    differences = {each["field"]: (each["stored"], each["default"]) for each in ran.json["differences"]}
    assert differences["workers"] == (8, 4)
    assert SECRET not in ran.out
    assert SECRET in config.run("config", "diff", MODEL, "--show-values").out


@pytest.mark.parametrize(("name", "text"), [("a.json", '{"workers": 8}'), ("a.toml", "workers = 8\n")])
def test_a_file_is_compared_with(config: Shell, store: str, name: str, text: str) -> None:
    do(store, lambda client: client.kv_set({"workers": 8}))
    (config.directory / name).write_text(text, "utf-8")
    assert config.run("config", "diff", MODEL, "--file", name).status == 0
    (config.directory / name).write_text(text.replace("8", "9"), "utf-8")
    ran = config.run("config", "diff", MODEL, "--file", name)
    assert (ran.status, ran.out.split()) == (1, ["FIELD", "STORED", "FILE", "workers", "8", "9"])


def test_what_is_shown_is_masked_and_says_where_it_is_from(config: Shell, store: str) -> None:
    do(store, lambda client: client.kv_set({"workers": 8, "signing": SECRET}))
    ran = config.run("config", "show", MODEL, "--json")
    assert ran.json["values"]["workers"] == 8
    assert ran.json["stored"] == ["workers", "signing"]
    assert SECRET not in ran.out + config.run("config", "show", MODEL).out
    assert config.run("config", "show", MODEL, "--show-values", "--json").json["values"]["signing"] == SECRET


def test_values_are_set_as_json_or_as_strings(config: Shell, store: str) -> None:
    ran = config.run(
        "config", "set", MODEL, "workers=8", "title=42", 'hosts=["a", "b"]', "start=2026-01-31", "--yes", "--json"
    )
    assert (ran.status, ran.json["done"]) == (0, True)
    stored = do(store, lambda client: client.kv_get(["workers", "title", "hosts", "start", "signing"]))
    assert stored.pop("hosts") in (["a", "b"], ["b", "a"])
    assert stored == {"workers": 8, "title": "42", "start": "2026-01-31"}


def test_a_secret_is_set_from_standard_input_and_not_shown(config: Shell, store: str) -> None:
    ran = config.run("config", "set", MODEL, "signing=-", "--yes", stdin=f"{SECRET}\n")
    assert ran.status == 0
    assert SECRET not in ran.out + ran.err
    assert do(store, lambda client: client.kv_get(["signing"])) == {"signing": SECRET}


def test_nothing_is_set_without_a_yes(config: Shell, store: str) -> None:
    assert "--yes" in config.run("config", "set", MODEL, "workers=8", stdin="").err
    ran = config.run("config", "set", MODEL, "workers=8", "--dry-run")
    assert (ran.status, ran.out) == (0, "workers: 4 -> 8\n")
    assert do(store, lambda client: client.kv_count()) == 0


def test_a_missing_required_field_can_be_set(config: Shell, store: str) -> None:
    assert config.run("config", "show", "app_config:Strict").status == 1
    assert config.run("config", "set", "app_config:Strict", "workers=8", "--yes").status == 0
    assert config.run("config", "show", "app_config:Strict", "--json").json["values"] == {
        "workers": 8,
        "title": "untitled",
    }


def test_a_value_that_does_not_fit_changes_nothing(config: Shell, store: str) -> None:
    said = config.refused("config", "set", MODEL, "workers=0", "title=Shop", "--yes")
    assert "workers: Input should be greater than or equal to 1" in said
    assert SECRET not in config.refused("config", "set", MODEL, f"workers={SECRET}", "--yes")
    assert do(store, lambda client: client.kv_count()) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "app_config"), "MODULE:NAME"),
        (("check", "app_config:None"), "no model"),
        (("check", "app_none:AppConfig"), "app_none"),
        (("check", MODEL, "--namespace", "a::b"), "namespace"),
        (("set", MODEL, "workers"), "FIELD=VALUE"),
        (("set", MODEL, "wrokers=1"), "has no field"),
        (("set", MODEL), "FIELD=VALUE"),
        (("diff", MODEL, "--file", "none.json"), "none.json"),
        (("diff", MODEL, "--file", "bad.json"), "bad.json"),
        (("diff", MODEL, "--file", "bad.toml"), "TOML"),
        (("diff", MODEL, "--file", "list.json"), "no object"),
        (("diff", MODEL, "--file", "unknown.json"), "has no field"),
        (("diff", MODEL, "--file", "wrong.json"), "workers"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    shell: Shell, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    shell.write("app_config", CONFIG)
    do("sqlite:///s.db", lambda client: client.kv_count())
    shell.environ("NDB_STORE", "sqlite:///s.db")
    for name, text in (
        ("bad.json", "{"), ("bad.toml", "="), ("list.json", "[]"), ("unknown.json", '{"wrokers": 1}'),
        ("wrong.json", '{"workers": "many"}'),
    ):  # fmt: skip
        (tmp_path / name).write_text(text, "utf-8")
    assert said in shell.refused("config", *arguments)


def test_a_stored_value_that_does_not_fit_is_one_line_and_status_1(config: Shell, store: str) -> None:
    do(store, lambda client: client.kv_set({"workers": SECRET}))
    for verb in ("show", "diff"):
        ran = config.run("config", verb, MODEL)
        assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert SECRET not in ran.err
