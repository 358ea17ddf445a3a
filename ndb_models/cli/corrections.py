"""Mistakes in a command line, with their corrections: the texts of the errors of both parsers.

An error never repeats the text after an unknown flag: it may be a secret, and errors end up in logs.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.redaction import may_be_secret, quoted

_SHOWN: Final = 40


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return `, did you mean X?` for the known name that is most like the given one; an empty text if none is."""
    by_letters = {_letters(name): name for name in known}
    close = difflib.get_close_matches(_letters(given), by_letters, n=1, cutoff=0.6)
    return f", did you mean {by_letters[close[0]]}?" if close else ""


def _letters(name: str) -> str:
    """Return what is compared: the dashes of a flag make no two names alike."""
    return name.lower().lstrip("-")


def unknown_flag(given: str, known: Iterable[str], *, before_command: bool = False) -> str:
    """Return the error for a flag that does not exist, with the one that was meant."""
    place = " before the command" if before_command else ""
    if may_be_secret(given):
        return f"there is no such flag{place}"
    return f"there is no flag {given[:_SHOWN]}{place}{did_you_mean(given, known)}"


def unknown_command(given: str, known: Sequence[str]) -> str:
    """Return the error for a command that does not exist, with the one that was meant, or all."""
    choices = ", ".join(known)
    if may_be_secret(given):
        return f"there is no such command, it is one of {choices}"
    meant = did_you_mean(given, known) or f", it is one of {choices}"
    return f"there is no command {given[:_SHOWN]!r}{meant}"


def missing_value(flag: str, metavar: str) -> str:
    """Return the error for a flag without its value."""
    return f"{flag} needs a value: {flag} {metavar or 'VALUE'}"


def needless_value(flag: str) -> str:
    """Return the error for a value of a flag that takes none."""
    return f"{flag} takes no value: it is written alone"


def not_a_choice(name: str, given: str, choices: Iterable[str]) -> str:
    """Return the error for a value outside a fixed choice."""
    return f"{name}: {quoted(given, _SHOWN)} is not one of {', '.join(choices)}"


def missing_arguments(names: Sequence[str]) -> str:
    """Return the error for arguments and flags that must be given; each name with its placeholder."""
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing"


def needless_argument(*, takes_some: bool) -> str:
    """Return the error for an argument too many. With `takes_some`, the command takes arguments beside its flags."""
    return "it takes no more arguments" if takes_some else "it takes no argument beside its flags"


def see_help(program: str) -> str:
    """Return the end of an error: where to read on."""
    return f" (see {program} --help)"


def meant_field(given: str, known: Iterable[str]) -> str:
    """Return the end of an error for a field that does not exist: the one that was meant, or all."""
    names = sorted(known)
    return did_you_mean(given, names) or (f"; there are {', '.join(names)}" if names else "")


def at_least(flag: str, least: float) -> Callable[[Any], Any]:
    """Return a function for Typer that takes the value of a flag, and returns it.

    Raises:
        InvalidArgumentError: from that function: the value is less than `least`. It names the flag.
    """

    def checked(value: Any) -> Any:
        if value is not None and not value >= least:
            raise InvalidArgumentError(f"{flag}: {value:g} is too small, write a number from {least:g}")
        return value

    return checked
