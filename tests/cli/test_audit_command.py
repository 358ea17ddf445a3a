"""`ndb-models audit`: what it prints of an application, and with which status; and one line for each mistake."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ndb_models.cli.main import main

MODELS = """
    from datetime import timedelta
    from typing import Annotated

    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Mount

    from ndb_models import Expiry, Lookup, SessionModel
    from ndb_models.web import Principal, SessionMiddleware, WebSessions

    class Good(
        SessionModel,
        schema="audit-good",
        expiry=Expiry(idle=timedelta(minutes=15), absolute=timedelta(hours=12)),
        track=60,
    ):
        user_id: Annotated[int, Principal(), Lookup(limit=5)]

    class Bad(SessionModel, schema="audit-bad"):
        name: str

    def application(sessions, **options):
        return Starlette(middleware=[Middleware(SessionMiddleware, sessions=sessions)], **options)

    good = WebSessions(
        "sqlite:///sessions.db", Good, short=Expiry(idle=600), renew_every=timedelta(hours=1)
    )
    bad = WebSessions("memory://", Bad, development=True)
    app = application(good)
    worse = application(bad)
    both = Starlette(routes=[Mount("/shop", app), Mount("/admin", worse)])
    bare = Starlette()
    number = 5

    def make():
        return application(good)

    def broken():
        raise RuntimeError("hunter2")

    def nothing():
        return None

    class Application:
        async def __call__(self, scope, receive, send): ...
"""


class Project:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; return its status, and what it wrote to either stream."""
        try:
            status = main(["audit", *arguments])
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else 1
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    (tmp_path / "audited_app.py").write_text(textwrap.dedent(MODELS), "utf-8")
    yield Project(tmp_path, capsys)
    for name in [name for name in sys.modules if name.startswith("audited_")]:
        del sys.modules[name]


def test_a_careful_application_ends_with_status_0(project: Project) -> None:
    for level in ("1", "2", "3"):
        status, printed, errors = project.run("audited_app:app", "--aal", level)
        assert (status, errors) == (0, "")
        assert printed.startswith("app: Good in sqlite:///sessions.db\n")
        assert "ASVS 7.3.2" in printed
        assert "broken" not in printed
    assert not (project.directory / "sessions.db").exists()  # it is asked nothing


def test_a_broken_requirement_is_told_with_what_to_do_and_ends_with_status_1(project: Project) -> None:
    status, printed, errors = project.run("audited_app:worse")
    assert (status, errors) == (1, "")
    first = printed.split("\n")[1:4]
    assert first[0].split() == ["broken", "development", "development=True"]
    assert "leave out development=" in first[1]
    assert first[2].strip() == "ASVS 3.3.1, ASVS 3.3.3, NIST 5.1 (4)"
    assert "declare expiry=Expiry(absolute=timedelta(days=30))" in printed
    assert "broken, " in printed.splitlines()[-1]


def test_the_level_decides_which_lifetimes_are_asked_for(project: Project) -> None:
    _, printed, _ = project.run("audited_app:worse", "--aal", "3")
    assert "Expiry(absolute=timedelta(hours=12))" in printed
    assert "Expiry(idle=timedelta(minutes=15))" in printed


def test_what_is_accepted_breaks_nothing(project: Project) -> None:
    report = json.loads(project.run("audited_app:worse", "--json")[1])
    broken = [each["rule"] for each in report["sessions"][0]["findings"] if each["verdict"] == "broken"]
    assert report["broken"] == len(broken) > 5
    accepting = [argument for rule in broken for argument in ("--accept", rule)]
    status, printed, _ = project.run("audited_app:worse", *accepting)
    assert status == 0
    assert f"{len(broken)} accepted" in printed.splitlines()[-1]
    assert project.run("audited_app:worse", *accepting[2:])[0] == 1


def test_the_report_for_programs_says_the_same(project: Project) -> None:
    status, printed, errors = project.run("audited_app:both", "--json", "--aal", "2")
    assert (status, errors) == (1, "")
    report: dict[str, Any] = json.loads(printed)
    assert (report["application"], report["aal"]) == ("audited_app:both", 2)
    assert [(each["place"], each["model"], each["store"]) for each in report["sessions"]] == [
        ("both/shop", "Good", "sqlite:///sessions.db"),
        ("both/admin", "Bad", "memory://"),
    ]
    finding = report["sessions"][1]["findings"][0]
    assert finding.keys() == {"rule", "verdict", "requirements", "value", "advice"}
    text = project.run("audited_app:both", "--aal", "2")[1]
    for each in report["sessions"]:
        for finding in each["findings"]:
            assert finding["value"] in text
            assert finding["advice"] in text


def test_an_application_may_print_when_it_is_imported(project: Project) -> None:
    (project.directory / "audited_loud.py").write_text("print('hello')\nfrom audited_app import app\n", "utf-8")
    status, printed, errors = project.run("audited_loud:app", "--json")
    assert (status, errors) == (0, "hello\n")
    assert json.loads(printed)["broken"] == 0


def test_workers_are_told_by_a_flag_or_by_the_servers_own_variable(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "workers, each with sessions of its own" not in project.run("audited_app:worse")[1]
    assert "2 workers, each with sessions of its own" in project.run("audited_app:worse", "--workers", "2")[1]
    monkeypatch.setenv("WEB_CONCURRENCY", "8")
    assert "8 workers, each with sessions of its own" in project.run("audited_app:worse")[1]
    assert "workers, each" not in project.run("audited_app:worse", "--workers", "1")[1]


def test_an_application_may_be_made_by_a_function(project: Project) -> None:
    status, printed, _ = project.run("audited_app:make", "--factory")
    assert status == 0
    assert printed.startswith("make: Good in ")


MISTAKES: list[tuple[list[str], list[str]]] = [
    ([], ["MODULE:APP is missing"]),
    (["audited_app"], ["MODULE:APP, such as myapp.main:app"]),
    ([":app"], ["MODULE:APP, such as"]),
    (["audited_nowhere:app"], ["audited_nowhere cannot be imported: ModuleNotFoundError"]),
    (["audited_app:nothing_there"], ["audited_app has no 'nothing_there'"]),
    (["audited_app:bare"], ["audited_app:bare has no SessionMiddleware", "app.add_middleware("]),
    (["audited_app:number"], ["'number' is not an ASGI application"]),
    (["audited_app:Application"], ["'Application' is not an ASGI application"]),
    (["audited_app:make"], ["'make' is not an ASGI application", "add --factory"]),
    (["audited_app:app", "--factory"], ["'app' is no function without arguments, so leave out --factory"]),
    (["audited_app:number", "--factory"], ["'number' is no function without", "leave out --factory"]),
    (["audited_app:broken", "--factory"], ["makes no application: RuntimeError at "]),
    (["audited_app:nothing", "--factory"], ["is not an ASGI application"]),
    (["audited_app:app", "--aal", "4"], ["--aal: '4' is not one of 1, 2, 3"]),
    (["audited_app:app", "--workers", "many"], ["--workers: 'many' is not a number from 1"]),
    (["audited_app:app", "--workers", "0"], ["--workers: '0' is not a number from 1"]),
    (["audited_app:app", "--accept", "idel"], ["there is no rule 'idel'", "idle"]),
    (["audited_app:app", "--jsn"], ["did you mean --json?"]),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=lambda each: " ".join(each) if each else "none")
def test_a_mistake_is_one_line_and_status_2(project: Project, arguments: list[str], said: list[str]) -> None:
    status, printed, errors = project.run(*arguments)
    assert (status, printed) == (2, "")
    assert errors.startswith("ndb-models: ")
    assert errors.count("\n") == 1
    assert all(text in errors for text in said), errors
    assert "hunter2" not in errors


def test_a_module_that_cannot_be_imported_is_one_line(project: Project) -> None:
    for code, said in (
        ("raise RuntimeError('hunter2')", "RuntimeError at "),
        ("def", "SyntaxError at "),
        ("raise SystemExit(3)", "ends the process"),
    ):
        (project.directory / "audited_bad.py").write_text(code, "utf-8")
        status, printed, errors = project.run("audited_bad:app")
        assert (status, printed) == (2, "")
        assert said in errors
        assert "hunter2" not in errors


def without(project: Project, module: str, *arguments: str) -> tuple[int, str]:
    """Run the command in a process that lacks a module; return its status, and what it wrote."""
    program = f"import sys; sys.modules[{module!r}] = None; from ndb_models.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, "audit", *arguments],
        cwd=project.directory, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_without_starlette_the_line_names_the_extra(project: Project) -> None:
    (project.directory / "audited_plain.py").write_text("async def app(scope, receive, send): ...", "utf-8")
    line = "ndb-models: audit needs Starlette: pip install 'ndb_models[starlette]'\n"
    assert without(project, "starlette", "audited_plain:app") == (2, line)
    status, line = without(project, "starlette", "audited_app:app")
    assert (status, line.count("\n")) == (2, 1)


@pytest.mark.slow
def test_itsdangerous_is_not_needed(project: Project) -> None:
    assert without(project, "itsdangerous", "audited_app:app")[0] == 0
