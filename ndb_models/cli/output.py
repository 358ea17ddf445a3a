"""The output of commands: tables for people, JSON for programs. Colours appear on a terminal alone.

A list with `--json` is JSON lines, one object a line, so that it can be printed as it is read. Everything else with
`--json` is one JSON document.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Annotated, Final, NoReturn, TypeAlias

import typer

if TYPE_CHECKING:
    from rich.console import Console

JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
JsonLinesOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON lines, for programs: one object a line.")
]

# Where no one looks, no text is cut to the width of a terminal.
_UNBOUNDED: Final = 100_000
# The columns are as wide as in this many first rows.
_ROWS_MEASURED: Final = 200


def console_for(stream: IO[str]) -> Console:
    """Return a console of Rich on a stream. It colours a terminal alone, unless NO_COLOR is set.

    A reader that has gone is a `BrokenPipeError`, which `main` turns into status 141.
    """
    from rich.console import Console

    class OurConsole(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError

    is_terminal = stream.isatty()
    return OurConsole(
        file=stream,
        width=None if is_terminal else _UNBOUNDED,
        force_terminal=is_terminal,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
    )


def printable(text: str) -> str:
    """Return a text with its control characters escaped: stored data never reaches a terminal as commands."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def print_line(text: str) -> None:
    """Print one line on standard output. Control characters are escaped."""
    sys.stdout.write(f"{printable(text)}\n")


def counted(count: int, noun: str) -> str:
    """Return a number of things in words: `1 session`, `2 sessions`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(f"{json.dumps(value, indent=2)}\n")


def print_json_line(value: object) -> None:
    """Print one JSON object as one line."""
    sys.stdout.write(f"{json.dumps(value)}\n")


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names with their values, one a line, the values aligned. None is left out."""
    table = Table(("name", "value"), header=False)
    for name, value in facts.items():
        if value is not None:
            table.add(name, str(value))
    table.flush()


class Table:
    """A table that is printed while its rows come, in bounded memory. Its first rows decide the widths.

    Args:
        columns: the titles of the columns.
        header: whether the titles are printed.

    Attributes:
        rows: how many rows were added.
    """

    def __init__(self, columns: Sequence[str], *, header: bool = True) -> None:
        self._titles = tuple(title.upper() for title in columns) if header else None
        self._waiting: list[tuple[Sequence[str], str | None]] = []
        self._widths: list[int] | None = None
        self._console = console_for(sys.stdout)
        self.rows: int = 0

    def add(self, *cells: str, style: str | None = None) -> None:
        """Add a row. It may be printed later, at the next `flush`. Control characters are escaped.

        Args:
            cells: one text for each column.
            style: a style of Rich for the row, such as `yellow`.
        """
        self.rows += 1
        self._waiting.append((tuple(map(printable, cells)), style))
        if len(self._waiting) >= _ROWS_MEASURED:
            self.flush()

    def flush(self) -> None:
        """Print the rows that wait. A command that ends, or that waits for what comes next, calls it."""
        if not self._waiting:
            return
        if self._widths is None:
            self._begin()
        for cells, style in self._waiting:
            self._print(cells, style)
        self._waiting.clear()
        sys.stdout.flush()

    def _begin(self) -> None:
        from rich.cells import cell_len

        rows = [*([self._titles] if self._titles else []), *(cells for cells, _ in self._waiting)]
        self._widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        if self._titles:
            self._print(self._titles, "bold")

    def _print(self, cells: Iterable[str], style: str | None) -> None:
        from rich.cells import cell_len

        widths = self._widths or ()
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))
        self._console.print("  ".join(padded).rstrip(), style=style)
