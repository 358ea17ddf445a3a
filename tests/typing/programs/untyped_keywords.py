# pyright: basic
"""A hook without types takes the keywords that it names."""

from __future__ import annotations

from ndb_models import SessionModel


class Untyped(SessionModel):
    def __init_subclass__(cls, old=None, **kwargs):  # type: ignore[no-untyped-def]
        super().__init_subclass__(**kwargs)


class Right(Untyped, old="anything"):  # pyright: ignore[reportArgumentType]
    pass


class Wrong(Untyped, odl="anything"):  # E: did you mean "old"?  [ndb-keyword]  # P: ArgumentType
    pass
