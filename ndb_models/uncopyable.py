"""A base class that refuses copying and pickling, with an error that names the class. Imports only the errors."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

from ndb_models.errors import InvalidArgumentError


class NotCopyableError(InvalidArgumentError, TypeError):
    """The object to copy or pickle holds a connection or a store. Attribute: `kind`, the name of its class."""

    def __init__(self, kind: str, instead: str) -> None:
        self.kind = kind
        super().__init__(f"a {kind} cannot be copied or pickled: {instead}")


class Uncopyable:
    """Refuses `copy.copy`, `copy.deepcopy` and pickling, alone and as a part of another object.

    A copy would be a second owner of a connection, or a second store that others never see.
    """

    __slots__ = ()

    INSTEAD = "open one where it is needed"
    """The advice at the end of the message."""

    # copy.copy and copy.deepcopy ask for this too.
    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise NotCopyableError(type(self).__name__, self.INSTEAD)
