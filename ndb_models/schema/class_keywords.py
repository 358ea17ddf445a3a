"""The class keywords of a session model, and those that other bases of a class take."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, Unpack

from pydantic import BaseModel, ConfigDict

from ndb_models.schema.expiry import Expiry
from ndb_models.schema.merge_marks import Merge

Private: TypeAlias = Literal["refuse", "drop"]
"""How a model is stored if a private attribute would not come back: not at all, or without its private attributes."""


class SessionKeywords(ConfigDict, total=False):
    """The class keywords of a `SessionModel`, with those of Pydantic. `SessionModel` documents them.

    For the signature of a base with keywords of its own, `**kwargs: Unpack[SessionKeywords]`: see docs/typing.md.
    """

    expiry: Expiry | None
    schema: str | None
    version: int
    oldest: int
    track: timedelta | float | None
    private: Private
    merge: Literal[Merge.structure, Merge.later, Merge.conflict]


if TYPE_CHECKING:
    # The base of every metaclass of models. Pydantic has no public name for it.
    from pydantic._internal._model_construction import ModelMetaclass

    class SessionMeta(ModelMetaclass):
        """The metaclass of session models: Pydantic's own, which checkers are told the class keywords of.

        basedpyright checks class keywords against it, and not against `__init_subclass__`. For a metaclass with further
        keywords see docs/typing.md.
        """

        def __new__(
            mcs, name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any], **kwargs: Unpack[SessionKeywords]
        ) -> SessionMeta:
            """Take the keywords of a session model."""
            ...

        # Else basedpyright takes this class for a model, and puts a __new__ of its own in place of that above.
        def __init__(cls, *args: Any, **kwargs: Any) -> None: ...
else:
    SessionMeta = type(BaseModel)

KEYWORDS: Final = SessionKeywords.__optional_keys__ - ConfigDict.__optional_keys__
"""The keywords of a session model alone."""

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
