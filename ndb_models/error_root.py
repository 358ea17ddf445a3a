"""The root of all errors, and of those of an absent server or store. `ndb_models.errors` draws the tree."""

from __future__ import annotations

from collections.abc import Sequence


class NdbError(Exception):
    """The root of all errors. Can be copied and pickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class UnavailableError(NdbError):
    """The server or the store is unavailable. If `maybe_done` is True, a write may have been carried out all the same.

    It is then unknown whether it was. If it is False, nothing is known to have been written.
    """

    maybe_done: bool = False


def _restore(kind: type[NdbError], args: tuple[object, ...], fields: dict[str, object]) -> NdbError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


def listed(problems: Sequence[tuple[str, str]]) -> str:
    """Return the problems of fields as one text."""
    return "; ".join(f"{field}: {reason}" for field, reason in problems)
