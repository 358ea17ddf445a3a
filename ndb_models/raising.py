"""Raise an error without its context, which may hold values."""

from __future__ import annotations

from typing import Never


def raise_without_context(error: Exception, cause: BaseException | None = None) -> Never:
    """Raise an error in an `except` block, without the exception that is handled there.

    Python would keep that exception as the context, with its values. `from None` only hides it.
    """
    try:
        raise error from cause
    finally:
        error.__context__ = None
