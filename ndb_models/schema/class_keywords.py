"""The class keywords that other bases of a class take, beside the keywords of a session model."""

from __future__ import annotations

import inspect
from typing import Any, Final

from pydantic import BaseModel

_OF_THEIR_OWN: Final = (BaseModel, object)


def keywords_of(cls: type[Any], hook: str, own: type[Any]) -> frozenset[str]:
    """Return the keywords that the hooks of a class's bases name in their signatures.

    Args:
        cls: the class.
        hook: `__init_subclass__` or `__pydantic_init_subclass__`. Bases before `own` in the order of resolution do not
            pass on the `__init_subclass__` keywords that they take.
        own: the base to leave out.
    """
    bases = [base for base in cls.__mro__[1:] if base is not own and base not in _OF_THEIR_OWN]
    # A hook written in C, such as Generic's on some versions, takes no keywords.
    declared: list[Any] = [vars(base)[hook] for base in bases if isinstance(vars(base).get(hook), classmethod)]
    return frozenset(
        name
        for each in declared
        for name, parameter in list(inspect.signature(each.__func__).parameters.items())[1:]
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    )
