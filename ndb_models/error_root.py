"""The root of all errors, and that of errors for an unavailable store or server. `ndb_models.errors` has the tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

_PACKAGE: Final = f"{__name__.partition('.')[0]}."

EXPLAIN: Final = "ndb-models explain"
"""The command that explains an error. It works wherever the package is installed, and without a network."""


class _ExplainingNote:
    """The notes of an error, of which the first is the command that explains it.

    Tracebacks show notes, and `str(error)` does not. The list is made when notes are first read or added, so raising an
    error takes no time for it. It is kept in the error: since this is no data descriptor, later reads find it there.
    """

    def __get__(self, error: NdbError | None, kind: type[NdbError]) -> list[str]:
        notes = [f"Explained by: {EXPLAIN} {documented_class(kind).__name__}"]
        if error is not None:
            error.__dict__["__notes__"] = notes
        return notes


class NdbError(Exception):
    """The root of all errors. Can be copied and pickled.

    A traceback ends with the command that explains the error, which is a note of the error.
    """

    __notes__: list[str] = cast("Any", _ExplainingNote())  # it gives a list[str]

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class UnavailableError(NdbError):
    """The server or the store is unavailable.

    If `maybe_done` is True, a write may have been carried out all the same. If it is False, no
    write is known to have been carried out.
    """

    maybe_done: bool = False


def _restore(kind: type[NdbError], args: tuple[object, ...], fields: dict[str, object]) -> NdbError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    if "__notes__" in fields:  # A copy has a list of its own.
        error.__dict__["__notes__"] = list(error.__notes__)
    return error


def documented_class(kind: type[NdbError]) -> type[NdbError]:
    """Return the class with the section on an error: its own, or the nearest public one of this package."""
    return next(
        base
        for base in kind.__mro__
        if issubclass(base, NdbError) and base.__module__.startswith(_PACKAGE) and not base.__name__.startswith("_")
    )


def listed(problems: Sequence[tuple[str, str]]) -> str:
    """Return the problems of fields as one text."""
    return "; ".join(f"{field}: {reason}" for field, reason in problems)
