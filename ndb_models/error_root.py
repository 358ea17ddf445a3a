"""The root of all errors. `ndb_models.errors` draws the tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

DOCUMENTATION: Final = "docs/"
"""Where the documentation is: a folder of the sources, until the site has an address. Ends in a slash."""


class NdbError(Exception):
    """The root of all errors. Can be copied and pickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[NdbError], args: tuple[object, ...], fields: dict[str, object]) -> NdbError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


def listed(problems: Sequence[tuple[str, str]]) -> str:
    """Return the problems of fields as one text."""
    return "; ".join(f"{field}: {reason}" for field, reason in problems)
