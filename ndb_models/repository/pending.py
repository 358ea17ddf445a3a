"""What a save would write, found out before, for those who decide by it whether to save and what else to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final


class PendingSave:
    """The changes of one model that a save would write: see `Repository.pending`.

    Args:
        names: the names of the changed fields.
        save: writes the changes.
    """

    __slots__ = ("_save", "names")

    def __init__(self, names: frozenset[str], save: Callable[[], Awaitable[object]]) -> None:
        self.names: Final[frozenset[str]] = names
        """The names of the changed fields."""
        self._save = save

    async def save(self) -> None:
        """Write these changes, as `Repository.save` does. Later changes of the model stay unsaved.

        If the model was saved meanwhile, all its changes are written.
        """
        await self._save()
