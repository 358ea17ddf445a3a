"""Tables and lines: colours on a terminal alone, columns aligned, and no control characters of stored data."""

from __future__ import annotations

import io
import sys

import pytest

from ndb_models import JsonValue
from ndb_models.cli.masking import MASK, secrets_masked, shown_value
from ndb_models.cli.output import Table, print_facts, print_line, printable


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def print_table() -> None:
    table = Table(("name", "value"))
    table.add("a", "1", style="yellow")
    table.add("longer", "2")
    table.flush()


def test_a_pipe_gets_aligned_columns_without_colours(capsys: pytest.CaptureFixture[str]) -> None:
    print_table()
    assert capsys.readouterr().out == "NAME    VALUE\na       1\nlonger  2\n"


def test_colours_are_for_a_terminal_and_no_color_leaves_them_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown: dict[bool, str] = {}
    for no_color in (False, True):
        monkeypatch.setattr("sys.stdout", Terminal())
        if no_color:
            monkeypatch.setenv("NO_COLOR", "1")
        print_table()
        assert isinstance(sys.stdout, Terminal)
        shown[no_color] = sys.stdout.getvalue()
    assert "\x1b[33m" in shown[False]
    assert "\x1b[33m" not in shown[True]
    assert "longer" in shown[True]


def test_rows_behind_the_first_ones_stay_in_their_columns(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("name", "value"))
    for number in range(1000):
        table.add(str(number), "x")
    table.add("wider than its column", "y")
    table.flush()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1002
    assert {line.index("x") for line in lines[1:-1]} == {len("NAME  ")}
    assert lines[-1] == "wider than its column  y"
    assert table.rows == 1001


def test_wide_characters_take_two_cells(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("name", "value"))
    table.add("日本", "1")
    table.add("abcd", "2")
    table.flush()
    assert capsys.readouterr().out.splitlines()[1:] == ["日本  1", "abcd  2"]


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\rb", "\x07", "\u202e", "\x9b"])
def test_control_characters_are_escaped(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_line(text)
    print_facts({"fact": text, "nothing": None})
    written = capsys.readouterr().out
    assert written.count("\n") == 2
    assert all(each.isprintable() or each == "\n" for each in written)
    assert "nothing" not in written
    assert printable("plain é") == "plain é"


@pytest.mark.parametrize(
    "name",
    [
        *("password", "api_key", "apiKey", "userEmail", "session_token", "homeAddress", "CSRF", "csrf_secret"),
        *("last_ip", "recoveryCodes", "totp", "auth", "keys"),
    ],
)
def test_a_name_that_says_secret_or_personal_masks_its_value(name: str) -> None:
    assert shown_value(name, "hunter2", full=False) == MASK
    assert shown_value("settings", [{name: "hunter2"}], full=False) == [{name: MASK}]
    assert shown_value(name, "hunter2", full=True) == "hunter2"


@pytest.mark.parametrize("name", ["user_id", "theme", "cart", "tokenised_text", "ship", "keyboard", "roles"])
def test_other_names_do_not(name: str) -> None:
    assert shown_value(name, "value", full=False) == "value"


def test_a_text_with_the_form_of_a_secret_is_masked_whatever_its_name() -> None:
    signed = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"
    assert shown_value("note", signed, full=False) == MASK
    assert shown_value("notes", [signed, "plain"], full=False) == [MASK, "plain"]
    assert secrets_masked({"note": signed}) == {"note": MASK}


def test_what_is_personal_stays_where_secrets_alone_are_masked() -> None:
    given: dict[str, JsonValue] = {
        "email": "a@b.example",
        "profile": {"name": "Billy", "pin": "1234"},
        "has_key": True,
        "key": None,
    }
    assert secrets_masked(given) == {**given, "profile": {"name": "Billy", "pin": MASK}}
