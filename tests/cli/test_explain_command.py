"""`ndb-models explain`: each error in a terminal, as the documentation has it, without an extra."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ndb_models.cli.explaining import explanations
from ndb_models.cli.main import main
from ndb_models.errors import NotSavedError
from tests.documentation.test_errors_page import SECTIONS


def test_what_a_traceback_names_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    (note,) = NotSavedError("User").__notes__
    command = note.partition("ndb-models ")[2].split()
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith("NotSavedError\n\n")
    assert [line.partition(":")[0] for line in said.splitlines() if ":" in line[:10]] == ["Why", "Do", "Try again"]
    assert "](" not in said


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_of_the_page_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["error"] == name
    assert all(told[part] for part in ("what", "why", "do", "try_again"))
    words = SECTIONS[name].split()
    assert told["what"].split()[:3] == [word.replace("[", "") for word in words[:3]] or "](" in SECTIONS[name]


def test_a_name_may_have_its_module_and_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "ndb_models.session_errors.notsavederror"]) == 0
    assert capsys.readouterr().out.startswith("NotSavedError\n")


def test_without_a_name_all_are_listed_with_their_first_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[::2] == [*explanations()]
    assert all(line.startswith("    ") and line.endswith(".") for line in listed[1::2])


def test_an_unknown_name_is_answered_with_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "SessionGonError"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "did you mean SessionGoneError?" in said.err


def test_it_needs_no_extra() -> None:
    program = (
        "import sys; sys.modules.update(typer=None, rich=None)\n"
        "from ndb_models.cli.main import main\n"
        "sys.exit(main(['explain', 'SchemaError']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("SchemaError\n")
