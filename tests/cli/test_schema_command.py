"""`ndb-models schema freeze` and `check`: what they say of a model that changes, and with which status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ndb_models.cli.main import main

FIRST = """
    from ndb_models import SessionModel

    class User(SessionModel):
        name: str
"""

UPGRADED = """
    from ndb_models import SessionModel

    class User(SessionModel, version=2):
        username: str

    @User.upgrade(1)
    def renamed(keys):
        return {"username": keys["name"]}
"""


class Project:
    """A directory with a module of models, in which commands are run."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys

    def write(self, models: str) -> None:
        (self.directory / "app_models.py").write_text(textwrap.dedent(models), "utf-8")
        for name in [name for name in sys.modules if name.startswith("app_")]:
            del sys.modules[name]
        # Two versions of a file that are written within a second, of one length, are one to the cache.
        for cached in self.directory.rglob("*.pyc"):
            cached.unlink()

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command; return its status, and what it wrote."""
        try:
            status = main(["schema", *arguments])
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else 1
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out + captured.err


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    project = Project(tmp_path, capsys)
    project.write(FIRST)
    yield project
    project.write("")


def test_what_is_frozen_is_unchanged(project: Project) -> None:
    assert project.run("freeze", "app_models:User") == (0, "User: version 1 was frozen in schemas/User.json\n")
    assert project.run("freeze", "app_models:User") == (0, "User: version 1 is frozen in schemas/User.json\n")
    assert project.run("check", "--exact", "app_models") == (0, "User: unchanged\n")


def test_the_file_is_readable_and_the_same_each_time(project: Project) -> None:
    project.run("freeze", "app_models:User")
    text = (project.directory / "schemas" / "User.json").read_text("utf-8")
    assert json.loads(text) == {
        "schema": "User",
        "version": 1,
        "json_schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "removed": {},
        "expiry": {},
    }
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_what_was_never_frozen_is_status_1(project: Project) -> None:
    status, said = project.run("check", "app_models")
    assert status == 1
    assert said == "User: never frozen\n  run `ndb-models schema freeze`, and commit the file\n"


def test_a_change_that_needs_a_version_and_has_none_is_status_1(project: Project) -> None:
    project.run("freeze", "app_models")
    project.write(FIRST.replace("name", "username"))
    status, said = project.run("check", "app_models")
    assert status == 1
    assert said.splitlines() == [
        "User: breaking",
        "  breaks reading of stored sessions: username is new and has no default: it is missing from what is stored",
        "  breaks old processes during the rollout: name is required by old code, and no longer written",
        "  compatible: name is gone: what is stored under this name is not read any more",
        "  sessions that are stored would break: declare version=2 and @User.upgrade(1), or make the change compatible",
    ]


def test_freezing_does_not_hide_such_a_change_unless_it_is_told_to(project: Project) -> None:
    project.run("freeze", "app_models")
    project.write(FIRST.replace("name", "username"))
    before = (project.directory / "schemas" / "User.json").read_bytes()
    status, said = project.run("freeze", "app_models")
    assert status == 1
    assert said.startswith("User: breaking; not frozen\n")
    assert (project.directory / "schemas" / "User.json").read_bytes() == before
    assert project.run("freeze", "--force", "app_models")[0] == 0
    assert project.run("check", "app_models") == (0, "User: unchanged\n")


def test_a_compatible_change_is_status_0_and_to_be_frozen_again(project: Project) -> None:
    project.run("freeze", "app_models")
    project.write(FIRST + "        theme: str = 'dark'\n")
    status, said = project.run("check", "app_models")
    assert status == 0
    assert said.splitlines() == [
        "User: compatible",
        "  compatible: theme is new and has a default",
        "  run `ndb-models schema freeze` again, and commit the file",
    ]
    assert project.run("check", "--exact", "app_models")[0] == 1
    project.run("freeze", "app_models")
    assert project.run("check", "--exact", "app_models") == (0, "User: unchanged\n")


def test_a_breaking_change_with_a_version_and_its_upgrade_is_status_0(project: Project) -> None:
    project.run("freeze", "app_models")
    project.write(UPGRADED)
    status, said = project.run("check", "app_models")
    assert status == 0
    assert said.splitlines()[0] == "User: upgraded"
    assert "breaks reading" not in said
    assert "  old processes refuse sessions that new ones have written, with NewerVersionError" in said
    assert "old processes" not in project.run("check", "app_models", "--one-way")[1]
    assert said.splitlines()[-1] == "  run `ndb-models schema freeze` again, and commit the file"
    assert project.run("check", "--exact", "app_models")[0] == 1
    assert project.run("freeze", "app_models") == (0, "User: version 2 was frozen in schemas/User.json\n")
    assert project.run("check", "--exact", "app_models") == (0, "User: unchanged\n")


def test_programs_get_what_people_get(project: Project) -> None:
    status, said = project.run("freeze", "app_models", "--json")
    assert (status, json.loads(said)[0]["written"]) == (0, True)
    project.write(FIRST.replace("name: str", "username: str"))
    status, said = project.run("check", "app_models", "--json")
    (found,) = json.loads(said)
    assert (status, found["outcome"], found["model"], found["version"]) == (1, "breaking", "User", 1)
    assert found["breaks_old_processes"] is True
    assert {each["place"] for each in found["differences"]} == {"name", "username"}
    assert "declare version=2" in found["advice"]
    assert json.loads(project.run("freeze", "app_models", "--json")[1])[0]["written"] is False


def test_a_gap_in_the_upgrades_is_status_1_and_not_frozen(project: Project) -> None:
    project.run("freeze", "app_models")
    project.write(UPGRADED.replace("version=2", "version=3"))
    for action in ("check", "freeze"):
        status, said = project.run(action, "app_models")
        assert status == 1
        assert "nothing upgrades sessions of version 2: add @User.upgrade(2)" in said
    assert json.loads((project.directory / "schemas" / "User.json").read_bytes())["version"] == 1


def test_a_version_that_goes_back_is_status_1(project: Project) -> None:
    project.write(UPGRADED)
    project.run("freeze", "app_models")
    project.write(FIRST)
    status, said = project.run("check", "app_models")
    assert status == 1
    assert said == "User: downgraded\n  the file is of a later version than 1: a version never goes back\n"
    assert project.run("freeze", "app_models")[0] == 1


def test_all_models_of_a_module_are_looked_at_and_one_that_breaks_decides(project: Project) -> None:
    others = """
    from typing import Generic, TypeVar
    T = TypeVar("T")

    class Page(SessionModel, Generic[T]):
        items: list[T]

    Pages = Page[int]

    class Outer:
        class Inner(SessionModel, schema="inner/../x"):
            a: int = 0
    """
    project.write(FIRST + others)
    assert project.run("freeze", "app_models", "app_models:Outer.Inner", "--dir", "here/there")[0] == 0
    files = {path.name for path in (project.directory / "here" / "there").iterdir()}
    assert files == {"Page[int].json", "User.json", "inner%2F..%2Fx.json"}
    project.write((FIRST + others).replace("list[T]", "set[T]"))
    status, said = project.run("check", "app_models", "--dir", "here/there")
    assert status == 1
    assert [line for line in said.splitlines() if not line.startswith(" ")] == [
        "Page[int]: breaking",
        "User: unchanged",
        "inner/../x: frozen in here/there/inner%2F..%2Fx.json, and none of these models has this schema",
    ]


def test_a_model_that_is_called_otherwise_is_told_how_to_keep_its_sessions(project: Project) -> None:
    project.run("freeze", "app_models")
    project.write(FIRST.replace("User", "Person"))
    status, said = project.run("check", "app_models")
    assert status == 1
    assert said.splitlines() == [
        "Person: never frozen",
        "  run `ndb-models schema freeze`, and commit the file",
        "User: frozen in schemas/User.json, and none of these models has this schema",
        "  a model that was renamed keeps its sessions with schema='User'; else delete the file",
    ]
    assert project.run("freeze", "app_models")[0] == 0
    status, said = project.run("check", "app_models")
    assert status == 0
    assert said.startswith("Person: unchanged\nUser: frozen in schemas/User.json, and none of these models")
    assert project.run("check", "--exact", "app_models")[0] == 1
    project.write(FIRST.replace("User(SessionModel", "Person(SessionModel, schema='User'"))
    assert project.run("check", "app_models")[1].startswith("User: unchanged\nPerson: frozen in ")


def test_a_model_that_is_named_alone_leaves_the_others_alone(project: Project) -> None:
    project.write(FIRST + "\n    class Other(SessionModel, schema='a/b'):\n        pass\n")
    project.run("freeze", "app_models")
    assert project.run("check", "--exact", "app_models:User") == (0, "User: unchanged\n")
    project.write(FIRST)
    status, said = project.run("check", "--exact", "app_models")
    assert status == 1
    assert "a/b: frozen in schemas/a%2Fb.json, and none of these" in said
    (project.directory / "schemas" / "a%2Fb.json").unlink()
    assert project.run("check", "--exact", "app_models") == (0, "User: unchanged\n")


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("", "models are named as MODULE or MODULE:NAME"),
        (".models", "models are named as MODULE or MODULE:NAME"),
        ("app_nothing", "app_nothing cannot be imported: ModuleNotFoundError"),
        ("app_models:Nobody", "app_models has no session model 'Nobody'"),
        ("app_models:User.name", "app_models has no session model 'User.name'"),
        ("app_models:SessionModel", "SessionModel is a generic model, or the base of all"),
        ("json", "json has no session models; name one as json:NAME"),
        ("json:dumps", "json has no session model 'dumps'"),
    ],
)
def test_what_is_no_model_is_status_2_with_one_line(project: Project, target: str, complaint: str) -> None:
    for action in ("check", "freeze"):
        status, said = project.run(action, target)
        assert status == 2
        assert said.startswith("ndb-models: ")
        assert complaint in said
        assert said.count("\n") == 1


def test_a_module_that_fails_is_status_2_and_what_its_error_says_is_not_shown(project: Project) -> None:
    project.write("import os\n\nraise ZeroDivisionError('a secret')")
    status, said = project.run("check", "app_models")
    assert status == 2
    assert said.startswith("ndb-models: app_models cannot be imported: ZeroDivisionError at ")
    assert said.endswith("app_models.py, line 3\n")


def test_a_module_whose_model_cannot_be_stored_is_status_2_and_says_why(project: Project) -> None:
    project.write("from ndb_models import SessionModel\n\nclass User(SessionModel, version=0): ...")
    status, said = project.run("check", "app_models")
    assert status == 2
    assert "SchemaError: User: version= is a whole number" in said


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("import sys; sys.exit(7)", "it ends the process when it is imported"),
        ("raise SystemExit", "it ends the process when it is imported"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("raise BaseExceptionGroup('several', [KeyboardInterrupt()])", "BaseExceptionGroup at "),
        ("raise ValueError('one line,\\nand another')", "ValueError at "),
        ("class Odd(BaseException): ...\nraise Odd", "Odd"),
        ("def f(:", "SyntaxError"),
        ("import app_missing", "No module named 'app_missing'"),
    ],
)
def test_whatever_a_module_does_when_it_is_imported_is_status_2_with_one_line(
    project: Project, models: str, said: str
) -> None:
    (project.directory / "app_models.py").write_text(models, "utf-8")
    for action in ("check", "freeze"):
        for target in ("app_models", "app_models:User"):
            status, output = project.run(action, target)
            assert status == 2
            assert output.startswith("ndb-models: app_models cannot be imported: ")
            assert said in output
            assert output.count("\n") == 1


def test_an_interrupted_import_is_status_130_and_said(project: Project) -> None:
    project.write("raise KeyboardInterrupt")
    for action in ("check", "freeze"):
        assert project.run(action, "app_models") == (130, "ndb-models: interrupted\n")


def test_a_module_whose_getattr_fails_is_status_2(project: Project) -> None:
    project.write("def __getattr__(name): raise RuntimeError('boom')")
    status, said = project.run("check", "app_models:User")
    assert status == 2
    assert said.startswith("ndb-models: app_models:User cannot be looked up: RuntimeError at ")
    assert said.endswith("app_models.py, line 1\n")


def test_a_type_whose_json_schema_fails_is_status_2(project: Project) -> None:
    project.write("""
        from ndb_models import SessionModel

        class Odd(str):
            @classmethod
            def __get_pydantic_core_schema__(cls, source, handler):
                return handler(str)

            @classmethod
            def __get_pydantic_json_schema__(cls, schema, handler):
                raise RuntimeError("boom")

        class User(SessionModel):
            odd: Odd
    """)
    status, said = project.run("freeze", "app_models")
    assert (status, said) == (2, "ndb-models: User: it has no JSON Schema: RuntimeError: boom\n")


def test_lazy_objects_of_a_module_are_left_alone(project: Project) -> None:
    project.write(
        FIRST
        + """
    class Lazy:
        @property
        def __class__(self):
            raise RuntimeError("outside of an application")

    request = Lazy()
    """
    )
    assert project.run("freeze", "app_models")[0] == 0


def test_two_models_of_one_schema_are_status_2(project: Project) -> None:
    project.write(FIRST + "\n    class Other(SessionModel, schema='User'):\n        pass\n")
    status, said = project.run("freeze", "app_models")
    assert status == 2
    assert "app_models:User and app_models:Other have the same schema 'User'" in said
    assert not (project.directory / "schemas").exists()


BAD_SCHEMAS: list[dict[str, Any]] = [
    {"type": 5},
    {"properties": 5},
    {"properties": {"name": 5}},
    {"properties": {"name": {"type": "string", "enum": "a"}}},
    {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"minimum": "a"}]}}},
]


@pytest.mark.parametrize("schema", BAD_SCHEMAS)
@pytest.mark.parametrize("place", ["json_schema", "removed"])
def test_a_file_whose_schema_is_none_is_status_2(project: Project, schema: Any, place: str) -> None:
    parts = {"json_schema": schema} if place == "json_schema" else {"json_schema": {}, "removed": {"name": schema}}
    (project.directory / "schemas").mkdir()
    path = project.directory / "schemas" / "User.json"
    path.write_text(json.dumps({"schema": "User", "version": 1, **parts}), "utf-8")
    for action in ("check", "freeze"):
        status, said = project.run(action, "app_models")
        assert status == 2
        assert "schemas/User.json: it is not the file of a frozen schema" in said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "User"}'])
def test_a_file_that_cannot_be_read_is_status_2(project: Project, text: str) -> None:
    (project.directory / "schemas").mkdir()
    (project.directory / "schemas" / "User.json").write_text(text, "utf-8")
    for action in ("check", "freeze"):
        status, said = project.run(action, "app_models")
        assert status == 2
        assert "schemas/User.json: it is not the file of a frozen schema" in said


def test_a_directory_that_is_none_is_status_2(project: Project) -> None:
    (project.directory / "schemas").write_text("", "utf-8")
    assert project.run("freeze", "app_models")[0] == 2


def test_a_type_that_is_not_defined_is_status_2(project: Project) -> None:
    project.write("from __future__ import annotations\n" + textwrap.dedent(FIRST).replace("name: str", "name: Gone"))
    status, said = project.run("freeze", "app_models")
    assert status == 2
    assert "the type 'Gone' of a field is not defined" in said


@pytest.mark.parametrize("arguments", [(), ("check",), ("freeze", "--dir"), ("thaw", "app_models")])
def test_a_wrong_call_is_status_2(project: Project, arguments: tuple[str, ...]) -> None:
    assert project.run(*arguments)[0] == 2


@pytest.mark.slow
def test_it_runs_as_a_process_and_says_what_the_statuses_are(project: Project) -> None:
    command = [sys.executable, "-W", "error", "-m", "ndb_models", "schema"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for arguments, status in ((["freeze", "app_models"], 0), (["check", "app_models"], 0), (["check", "--help"], 0)):
        done = subprocess.run(
            [*command, *arguments], cwd=project.directory, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (status, "")
        if "--help" in arguments:
            assert "exit status:" in done.stdout


EXPIRING = """
    from ndb_models import Expiry, SessionModel

    class User(SessionModel, expiry={}):
        name: str
"""
_BROUGHT_UNDER = "sessions that exist are brought under it when they are read"
_KEPT = "sessions that exist keep theirs until they are rotated or upgraded, or given another by expire()"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("None", "Expiry(idle=60)", [f"idle was not set, and is 60 s now: {_BROUGHT_UNDER}"]),
        ("Expiry(idle=60)", "None", [f"idle was 60 s, and is not set now: {_KEPT}"]),
        ("Expiry(idle=60)", "Expiry(idle=59)", [f"idle was 60 s, and is 59 s now: {_BROUGHT_UNDER}"]),
        ("Expiry(idle=60)", "Expiry(idle=61)", [f"idle was 60 s, and is 61 s now: {_KEPT}"]),
        (
            "Expiry(absolute=60)",
            "Expiry(idle=60)",
            [
                f"absolute was 60 s, and is not set now: {_KEPT}",
                f"idle was not set, and is 60 s now: {_BROUGHT_UNDER}",
            ],
        ),
        (
            "Expiry(idle=60)",
            "Expiry(idle=60, on='write')",
            [f"on was both, and is write now: {_BROUGHT_UNDER}"],
        ),
        ("Expiry(idle=60, on='read')", "Expiry(idle=60)", [f"on was read, and is both now: {_KEPT}"]),
        (
            "Expiry(idle=60)",
            "Expiry(idle=60, touch_every=5)",
            [f"touch_every was not set, and is 5 s now: {_BROUGHT_UNDER}"],
        ),
        (
            "Expiry(idle=60, touch_every=5)",
            "Expiry(idle=60, touch_every=4)",
            [f"touch_every was 5 s, and is 4 s now: {_KEPT}"],
        ),
    ],
)
def test_a_change_of_expiry_is_told_and_breaks_nothing(
    project: Project, before: str, after: str, said: list[str]
) -> None:
    project.write(EXPIRING.format(before))
    project.run("freeze", "app_models")
    assert project.run("check", "--exact", "app_models") == (0, "User: unchanged\n")
    project.write(EXPIRING.format(after))
    status, printed = project.run("check", "app_models")
    assert status == 0
    assert printed.splitlines()[:-1] == ["User: compatible", *(f"  compatible: (expiry) {line}" for line in said)]
    assert project.run("check", "--exact", "app_models")[0] == 1
    project.run("freeze", "app_models")
    assert project.run("check", "--exact", "app_models") == (0, "User: unchanged\n")


def test_a_file_that_says_nothing_of_expiry_yet_still_does(project: Project) -> None:
    project.write(EXPIRING.format("Expiry(idle=60)"))
    project.run("freeze", "app_models")
    path = project.directory / "schemas" / "User.json"
    frozen = json.loads(path.read_text("utf-8"))
    del frozen["expiry"]
    path.write_text(json.dumps(frozen), "utf-8")
    project.write(EXPIRING.format("None"))
    status, printed = project.run("check", "app_models")
    assert status == 0
    assert printed.startswith("User: unchanged\n")


LEAVING_OUT = """
    from typing import Any

    from pydantic import BaseModel, Field, model_serializer
    from pydantic_core import MISSING

    from ndb_models import SessionModel

    class Sparse(BaseModel):
        @model_serializer(mode="wrap")
        def written(self, handler: Any) -> dict[str, Any]:
            return {name: value for name, value in handler(self).items() if value is not None}

    class Inner(Sparse):
        inner: int | None = {inner}

    class User(SessionModel):
        by_condition: int = Field(default={by_condition}, exclude_if=lambda value: value == {by_condition})
        missing: int | MISSING = {missing}
        nested: Inner = Inner()
        plain: int = {plain}
"""
_AS_FIRST = {"inner": "None", "by_condition": "0", "missing": "MISSING", "plain": "0"}


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"by_condition": "5"}, "by_condition"),
        ({"missing": "3"}, "missing"),
        ({"inner": "3"}, "nested.inner"),
        ({"plain": "3"}, None),
    ],
)
def test_a_changed_default_breaks_where_it_stands_for_what_is_left_out(
    project: Project, changed: dict[str, str], place: str | None
) -> None:
    def write(values: dict[str, str]) -> None:
        text = LEAVING_OUT
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        project.write(text)

    write(_AS_FIRST)
    assert project.run("freeze", "app_models:User")[0] == 0
    assert project.run("check", "--exact", "app_models:User")[0] == 0
    write({**_AS_FIRST, **changed})
    status, said = project.run("check", "app_models:User")
    if place is None:
        assert (status, said) == (0, "User: unchanged\n")
    else:
        assert status == 1
        assert f"breaks reading of stored sessions: {place} has another default now" in said


def test_a_field_that_is_not_left_out_any_more_keeps_its_default(project: Project) -> None:
    leaving_out = """
        from pydantic import Field

        from ndb_models import SessionModel

        class User(SessionModel):
            number: int = Field(default=1, exclude_if=lambda value: value == 1)
    """
    project.write(leaving_out)
    assert project.run("freeze", "app_models")[0] == 0
    project.write(leaving_out.replace("default=1, exclude_if=lambda value: value == 1", "default=2"))
    assert project.run("check", "app_models")[0] == 1
    project.write(leaving_out.replace(", exclude_if=lambda value: value == 1", ""))
    assert project.run("check", "app_models")[0] == 0
