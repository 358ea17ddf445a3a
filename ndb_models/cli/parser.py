"""The parser of the commands that need no extra: the standard library's, with one-line errors."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from ndb_models.cli.corrections import (
    missing_value,
    needless_argument,
    needless_value,
    see_help,
    unknown_command,
    unknown_flag,
)

_COMMAND: Final = re.compile(r"argument COMMAND: invalid choice: '?(.*?)'?,? .*?\(choose from (.*)\)", re.DOTALL)
_NO_VALUE: Final = re.compile(r"argument (?:\S+/)?(--\S+): expected (?:one|at least one) argument")
_NEEDLESS_VALUE: Final = re.compile(r"argument (?:\S+/)?(--\S+): ignored explicit argument", re.DOTALL)
# The most characters in a line of the help: longer lines are hard to read.
_WIDEST: Final = 100
_NO_COMMAND: Final = "the following arguments are required: COMMAND"


def filled(text: str) -> str:
    """Return a paragraph in lines that fit the terminal and are easy to read."""
    return textwrap.fill(text, min(shutil.get_terminal_size().columns - 2, _WIDEST))


class Parser(argparse.ArgumentParser):
    """The parser of a program or of one of its commands. An abbreviated flag is an unknown flag."""

    def __init__(self, **options: Any) -> None:
        self._flags: dict[str, str] = {"--help": ""}
        self._commands: dict[str, Any] = {}
        super().__init__(allow_abbrev=False, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument, as the parser of the standard library does."""
        for name in names:
            if name.startswith("--"):
                self._flags[name] = options.get("metavar") or ""
        return super().add_argument(*names, **options)

    def add_commands(self) -> Any:
        """Add the commands of the program; return the action that adds their parsers."""
        commands = super().add_subparsers(required=True, metavar="COMMAND")
        self._commands = commands.choices
        return commands

    # Like the standard library's method, but without its overloads.
    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Any = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse, and end with an error if an argument is unknown. The error names the command that got it."""
        given = sys.argv[1:] if args is None else list(args)
        # Checked first: the standard library would complain of a missing command or flag instead.
        for argument in given:
            if argument == "--" or (self._commands and not argument.startswith("-")):
                break
            if argument.startswith("--") and argument.partition("=")[0] not in self._flags:
                self._end(self._unknown([argument]))
        options, left_over = super().parse_known_args(given, namespace)
        if left_over:
            self._end(self._unknown(left_over))
        return options, left_over

    def error(self, message: str) -> NoReturn:
        """Write one line to standard error, or the help if there is no command, and end with status 2."""
        for pattern, explained in _EXPLAINED:
            found = pattern.match(message)
            if found is not None:
                self._end(explained(found, self._flags))
        if message == _NO_COMMAND:
            self.print_help(sys.stderr)
            self.exit(2)
        self._end(message)

    def _end(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog.partition(' ')[0]}: {message}{see_help(self.prog)}\n")

    def _unknown(self, left_over: Sequence[str]) -> str:
        name = left_over[0].partition("=")[0]
        if not name.startswith("-"):
            return needless_argument(takes_some=False)
        return unknown_flag(name, self._flags, before_command=bool(self._commands))


def _bad_command(found: re.Match[str]) -> str:
    given, listed = found.groups()
    return unknown_command(given, re.findall(r"[\w-]+", listed))


_Explanation = Callable[[re.Match[str], Mapping[str, str]], str]
_EXPLAINED: Final[Sequence[tuple[re.Pattern[str], _Explanation]]] = (
    (_COMMAND, lambda found, _: _bad_command(found)),
    (_NO_VALUE, lambda found, flags: missing_value(found[1], flags.get(found[1], ""))),
    (_NEEDLESS_VALUE, lambda found, _: needless_value(found[1])),
)
