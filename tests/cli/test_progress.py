"""Progress of long work: a bar on a terminal, else at most one line a second, and nothing for work that is quick."""

from __future__ import annotations

import io
import re

import pytest

from ndb_models.cli.progress import Progress
from tests.conftest import VirtualClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_quick_work_shows_nothing(clock: VirtualClock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("sessions ended", clock) as progress:
        for done in range(100):
            progress.show(done, 100)
    assert capsys.readouterr() == ("", "")


def test_one_line_a_second_says_what_is_done_and_what_time_is_left(
    clock: VirtualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("sessions ended", clock) as progress:
        for done in range(1, 9):
            clock.move(0.5)
            progress.show(done, 10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "ndb-models: 2 of 10 sessions ended, 20 %, 4 s left"
    assert len(lines) == 4


def test_where_the_total_is_not_known_the_number_alone_is_told(
    clock: VirtualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("sessions exported", clock) as progress:
        clock.move(1)
        progress.show(300)
        clock.move(1)
        progress.show(600, detail="as the work itself says it")
    assert capsys.readouterr().err.splitlines() == [
        "ndb-models: 300 sessions exported",
        "ndb-models: as the work itself says it",
    ]


def test_a_terminal_shows_a_bar_which_goes_away(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("pages copied", clock) as progress:
        progress.show(1, 4)
        assert terminal.getvalue() == ""
        clock.move(1)
        progress.show(3, 4)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "3 of 4 pages copied" in shown
    assert "75%" in shown
    assert terminal.getvalue().endswith("\x1b[2K")  # the line is erased


def test_a_terminal_shows_the_number_alone_where_there_is_no_total(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("sessions found", clock) as progress:
        clock.move(1)
        progress.show(300)
    assert "300 sessions found" in terminal.getvalue()
    assert "%" not in terminal.getvalue()
