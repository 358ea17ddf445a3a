"""Raising an error without what was handled when it was raised, which may hold values."""

from __future__ import annotations

from typing import Never


def raise_without_context(error: Exception, cause: BaseException | None = None) -> Never:
    """Raise an error in an `except` block, without the exception that is handled there.

    Python would keep that one as the context, with the values that it holds; `from None` only hides it.
    """
    try:
        raise error from cause
    finally:
        error.__context__ = None
