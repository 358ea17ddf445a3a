"""Raise an error without its context, which may hold values; or with the name of its source before its message."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Never

from ndb_models.errors import InvalidArgumentError


def raise_without_context(error: Exception, cause: BaseException | None = None) -> Never:
    """Raise an error in an `except` block, without the exception that is handled there.

    Python would keep that exception as the context, with its values. `from None` only hides it.
    """
    try:
        raise error from cause
    finally:
        error.__context__ = None


@contextlib.contextmanager
def naming(source: str) -> Generator[None]:
    """Put the name of the source before the message of an `InvalidArgumentError`."""
    try:
        yield
    except InvalidArgumentError as exc:
        raise InvalidArgumentError(f"{source}: {exc}") from exc
