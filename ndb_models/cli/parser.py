"""An argument parser with one-line errors: the mistake and its correction.

An error never repeats the text after an unknown flag: it may be a secret, and errors end up in logs.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NoReturn

from ndb_models.redaction import may_be_secret, quoted

_SHOWN: Final = 40

_CHOICE: Final = re.compile(r"argument (\S+): invalid choice: '?(.*?)'?,? .*?\(choose from (.*)\)", re.DOTALL)
_NO_VALUE: Final = re.compile(r"argument (?:\S+/)?(--\S+): expected (?:one|at least one) argument")
_NEEDLESS_VALUE: Final = re.compile(r"argument (?:\S+/)?(--\S+): ignored explicit argument", re.DOTALL)
_MISSING: Final = re.compile(r"the following arguments are required: (.*)")


class Parser(argparse.ArgumentParser):
    """The parser of a program or of one of its commands. It takes an abbreviated flag for an unknown one."""

    def __init__(self, **options: Any) -> None:
        self._flags: dict[str, str] = {"--help": ""}
        self._commands: Iterable[str] = ()
        super().__init__(allow_abbrev=False, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument, as the parser of the standard library does."""
        for name in names:
            if name.startswith("--"):
                self._flags[name] = options.get("metavar") or ""
        return super().add_argument(*names, **options)

    def add_subparsers(self, **options: Any) -> Any:
        """Add the commands, as the parser of the standard library does."""
        commands = super().add_subparsers(**options)
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
                self.error(self._unknown([argument]))
        options, left_over = super().parse_known_args(given, namespace)
        if left_over:
            self.error(self._unknown(left_over))
        return options, left_over

    def error(self, message: str) -> NoReturn:
        """Write one line to standard error, and end with status 2."""
        for pattern, explained in _EXPLAINED:
            found = pattern.match(message)
            if found is not None:
                message = f"{explained(found, self._flags)} (see {self.prog} --help)"
                break
        if message.startswith(("COMMAND is", "ACTION is")):
            message = f"a command is missing, one of {', '.join(self._commands)} (see {self.prog} --help)"
        self.exit(2, f"{self.prog.partition(' ')[0]}: {message}\n")

    def _unknown(self, left_over: Sequence[str]) -> str:
        name = left_over[0].partition("=")[0]
        if not name.startswith("-"):
            return f"it takes no argument beside its flags (see {self.prog} --help)"
        place = " before the command" if self._commands else ""
        if may_be_secret(name):
            return f"there is no such flag{place} (see {self.prog} --help)"
        return f"there is no flag {name[:_SHOWN]}{place}{_did_you_mean(name, self._flags)} (see {self.prog} --help)"


def _did_you_mean(given: str, known: Iterable[str]) -> str:
    by_small_letters = {name.lower(): name for name in known}
    close = difflib.get_close_matches(given.lower(), by_small_letters, n=1, cutoff=0.6)
    return f", did you mean {by_small_letters[close[0]]}?" if close else ""


def _bad_choice(found: re.Match[str], _: dict[str, str]) -> str:
    where, given, listed = found.groups()
    choices = re.findall(r"[\w-]+", listed)
    if where.startswith("-"):
        return f"{where}: {quoted(given, _SHOWN)} is not one of {', '.join(choices)}"
    if may_be_secret(given):
        return f"there is no such {where.lower()}, it is one of {', '.join(choices)}"
    meant = _did_you_mean(given, choices) or f", it is one of {', '.join(choices)}"
    return f"there is no {where.lower()} {given[:_SHOWN]!r}{meant}"


def _no_value(found: re.Match[str], flags: dict[str, str]) -> str:
    return f"{found[1]} needs a value: {found[1]} {flags.get(found[1], 'VALUE')}"


def _needless_value(found: re.Match[str], _: dict[str, str]) -> str:
    return f"{found[1]} takes no value: it is written alone"


def _missing(found: re.Match[str], flags: dict[str, str]) -> str:
    names = [name.strip() for name in found[1].split(",")]
    missing = " and ".join(f"{name} {flags[name]}" if name in flags else name for name in names)
    return f"{missing} {'is' if len(names) == 1 else 'are'} missing"


_Explanation = Callable[[re.Match[str], dict[str, str]], str]
_EXPLAINED: Final[Sequence[tuple[re.Pattern[str], _Explanation]]] = (
    (_CHOICE, _bad_choice),
    (_NO_VALUE, _no_value),
    (_NEEDLESS_VALUE, _needless_value),
    (_MISSING, _missing),
)
