"""Mistakes in how an object is used, answered with how it is used. A leaf, but for the errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndb_models.errors import InvalidArgumentError


class NotSynchronous:
    """What is never entered with `with`. A class says in `USAGE` what to write instead."""

    __slots__ = ()

    USAGE = ""

    if not TYPE_CHECKING:  # a checker finds these mistakes by itself

        def __enter__(self):
            raise InvalidArgumentError(self.USAGE)

        def __exit__(self, *_):
            raise InvalidArgumentError(self.USAGE)


class NotAwaited(NotSynchronous):
    """What is never awaited either."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __await__(self):
            raise InvalidArgumentError(self.USAGE)


class NotEntered(NotAwaited):
    """What is never entered with `async with` either: it needs no opening and no closing."""

    __slots__ = ()

    if not TYPE_CHECKING:

        async def __aenter__(self):
            raise InvalidArgumentError(self.USAGE)

        async def __aexit__(self, *_):
            raise InvalidArgumentError(self.USAGE)
