"""Progress of long work on standard error: a bar with the time left on a terminal, else one line a second."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from ndb_models.types import Clock

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

QUIET_SECONDS: Final = 1.0
"""Seconds before the first sign of progress, and between two lines of it."""


class Progress:
    """Shows how far some work is, in a `with` block. Work that takes less than a second shows nothing.

        with Progress("sessions exported") as progress:
            progress.show(done, total)

    Args:
        counted: the words behind a number: `sessions exported`.
        clock: tells the time in seconds.
    """

    def __init__(self, counted: str, clock: Clock = time.monotonic) -> None:
        self._counted = counted
        self._clock = clock
        self._begun = self._written = clock()
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, total: int | None = None, *, detail: str | None = None) -> None:
        """Show a state. Call it as often as there is one.

        Args:
            done: how much is done.
            total: how much there is to do; None where that is not known.
            detail: the words for a line, in place of the numbers.
        """
        if sys.stderr.isatty():
            self._show_bar(done, total)
        else:
            self._write_line(detail or self._described(done, total))

    def _write_line(self, text: str) -> None:
        now = self._clock()
        if now - self._written >= QUIET_SECONDS:
            self._written = now
            sys.stderr.write(f"ndb-models: {text}\n")

    def _described(self, done: int, total: int | None) -> str:
        if not total:
            return f"{done} {self._counted}"
        seconds = (self._clock() - self._begun) * (total - done) / done if done else None
        left = "" if seconds is None else f", {seconds:.0f} s left"
        return f"{done} of {total} {self._counted}, {100 * done // total} %{left}"

    def _show_bar(self, done: int, total: int | None) -> None:
        if self._bar is None:
            if self._clock() - self._begun < QUIET_SECONDS:
                return
            self._bar = self._started(total is not None)
        said = f"{done} {self._counted}" if total is None else f"{done} of {total} {self._counted}"
        for task in self._bar.task_ids:
            self._bar.update(task, completed=done, total=total, description=said)

    def _started(self, has_end: bool) -> Bar:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        from ndb_models.cli.output import console_for

        words = TextColumn("{task.description}")
        columns = (
            (words, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            if has_end
            else (words, TimeElapsedColumn())
        )
        console = console_for(sys.stderr)
        bar = Bar(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        bar.start()
        bar.add_task(self._counted, total=None)
        return bar
