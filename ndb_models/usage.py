"""Base classes that answer a misused object with its correct usage. Imports only the errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndb_models.errors import InvalidArgumentError


class NotSynchronous:
    """An object that is never entered with `with`. Its class shows the correct usage in `USAGE`."""

    __slots__ = ()

    USAGE = ""

    if not TYPE_CHECKING:  # a type checker finds these mistakes without the methods

        def __enter__(self):
            raise InvalidArgumentError(self.USAGE)

        def __exit__(self, *_):
            raise InvalidArgumentError(self.USAGE)


class NotAsynchronous:
    """An object that is never entered with `async with` or awaited. Its class shows the correct usage in `USAGE`."""

    __slots__ = ()

    USAGE = ""

    if not TYPE_CHECKING:

        def __await__(self):
            raise InvalidArgumentError(self.USAGE)

        async def __aenter__(self):
            raise InvalidArgumentError(self.USAGE)

        async def __aexit__(self, *_):
            raise InvalidArgumentError(self.USAGE)


class NotAwaited(NotSynchronous):
    """An object that is entered with `async with`, but never with `with`, and never awaited."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __await__(self):
            raise InvalidArgumentError(self.USAGE)


class NotEntered(NotSynchronous, NotAsynchronous):
    """An object that needs no opening and no closing: it is never entered with either statement, nor awaited."""

    __slots__ = ()
