"""What all commands share: what is imported for them, the extra they need, completion, and whether they ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from ndb_models import __version__
from ndb_models.cli.main import main
from ndb_models.cli.tree import make_tree

ROOT = Path(__file__).parents[2]
GUARD = 60
INHERITED = {k: v for k, v in os.environ.items() if not k.startswith(("NDB_", "_NDB_"))}
# What `main` would do in an environment without the extra.
WITHOUT_EXTRA = "import sys; sys.modules['typer'] = sys.modules['rich'] = None; "
RUN = "from ndb_models.cli.main import main; sys.exit(main(sys.argv[1:]))"


def python(
    program: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env={**INHERITED, "PYTHONPATH": str(ROOT), **(variables or {})},
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )


@pytest.mark.parametrize("command", ["serve", "health"])
def test_the_server_s_commands_import_neither_typer_nor_rich(command: str) -> None:
    program = (
        "import sys, json, contextlib\n"
        "from ndb_models.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        "print(json.dumps([name for name in ('typer', 'rich', 'click') if name in sys.modules]))"
    )
    done = python(program, command, "--port", "many")
    assert "--port: 'many' is not a number" in done.stderr
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("health", "--help")])
def test_without_the_extra_the_server_s_commands_are_there(arguments: tuple[str, ...]) -> None:
    done = python(WITHOUT_EXTRA + RUN, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ndb-models")


# They say it by their status, or write lines of JSON in any case.
WITHOUT_JSON = {"serve", "health", "sessions export"}


def leaves(group: Any, *names: str) -> Iterator[tuple[str, Any]]:
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from leaves(each, *names, name)
        else:
            yield " ".join((*names, name)), each


def test_every_command_prints_json_for_programs() -> None:
    commands = dict(leaves(get_command(make_tree())))
    assert len(commands) > 20
    without = {name for name, each in commands.items() if not any("--json" in one.opts for one in each.params)}
    assert without == WITHOUT_JSON


def test_without_the_extra_the_version_is_there() -> None:
    done = python(WITHOUT_EXTRA + RUN, "--version")
    assert (done.returncode, done.stdout) == (0, f"ndb-models {__version__}\n")


@pytest.mark.parametrize("arguments", [("copy",), ("backup", "--help"), ("sessions", "ls"), ("--verison",)])
def test_without_the_extra_any_other_command_is_one_line_that_says_what_to_install(arguments: tuple[str, ...]) -> None:
    done = python(WITHOUT_EXTRA + RUN, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "pip install 'ndb_models[cli]'" in done.stderr


def completed(line: str) -> list[str]:
    """Return what bash is offered behind a command line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_NDB_MODELS_COMPLETE": "complete_bash"}
    done = python("import sys; " + RUN, variables=words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_commands_and_flags_are_completed_those_of_the_server_too() -> None:
    assert completed("ndb-models he") == ["health"]
    assert completed("ndb-models schema ") == ["freeze", "check", "sample"]
    assert completed("ndb-models copy --fr") == ["--from"]
    assert completed("ndb-models serve --max-pay") == ["--max-payload"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_for_each_shell(shell: str) -> None:
    done = python(RUN.replace("from", "import sys; from", 1), variables={"_NDB_MODELS_COMPLETE": f"source_{shell}"})
    assert done.returncode == 0
    assert "_NDB_MODELS_COMPLETE" in done.stdout


@pytest.mark.parametrize("where", [("copy",), ("schema",), ("schema", "check")])
def test_an_unknown_flag_beside_a_command_is_corrected(
    where: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*where, "--hlep"]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert "did you mean --help?" in written.err
    assert f"(see ndb-models {' '.join(where)} --help)" in written.err
