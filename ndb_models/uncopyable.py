"""What cannot be copied or pickled, and says so by name. A leaf, but for the errors."""

from __future__ import annotations

from typing import Any, NoReturn, SupportsIndex

from ndb_models.errors import InvalidArgumentError


class NotCopyableError(InvalidArgumentError, TypeError):
    """What was to be copied or pickled holds a connection or a store. Attribute: `kind`, the name of its class."""

    def __init__(self, kind: str, instead: str) -> None:
        self.kind = kind
        super().__init__(f"a {kind} cannot be copied or pickled: {instead}")


class Uncopyable:
    """Refuses `copy.copy`, `copy.deepcopy` and pickling, alone and as a part of something else.

    A copy would be a second owner of a connection, or a second store that nobody else sees.
    """

    __slots__ = ()

    INSTEAD = "open one where it is needed"
    """What to do instead, as the message says it."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise NotCopyableError(type(self).__name__, self.INSTEAD)

    def __copy__(self) -> NoReturn:
        raise NotCopyableError(type(self).__name__, self.INSTEAD)

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        raise NotCopyableError(type(self).__name__, self.INSTEAD)
