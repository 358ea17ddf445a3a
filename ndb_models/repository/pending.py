"""Finds the changes that a save would write, for programs that decide by them whether to save."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, TypeVar

from ndb_models.json_text import ObjectText
from ndb_models.repository.repository import Repository
from ndb_models.schema.changes import Changes
from ndb_models.schema.model import SessionModel, Stored, stored_of

M = TypeVar("M", bound=SessionModel)


class PendingSave(NamedTuple):
    """The changes of one model that a save would write: see `DecidingRepository.pending`.

    Attributes:
        names: the names of the changed fields.
        save: writes these changes, as `Repository.save` does. Later changes of the model stay unsaved. If the model was
            saved meanwhile, all its changes are written.
    """

    names: frozenset[str]
    save: Callable[[], Awaitable[None]]


class DecidingRepository(Repository[M]):
    """A repository that also tells the changes of a model before they are saved."""

    def pending(self, session: M, stored: Stored) -> PendingSave | None:
        """Return the changes that a save of a model with a token would write now; None if there are none.

        Its `save()` writes them and does not look for changes again. Sends no request.

        Args:
            session: the model, of the class of this repository.
            stored: its stored state; see `known`.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal.
        """
        if stored.unsure or stored.outdated is not None:
            return PendingSave(self.unsaved(session), partial(self._save_all, session))
        changes = self._codec.changes_since(session, stored)
        if not changes.names:
            return None
        return PendingSave(changes.names, partial(self._save_pending, session, stored, changes))

    async def _save_all(self, session: M) -> None:
        await self.save(session)

    async def _save_pending(self, session: M, stored: Stored, changes: Changes) -> None:
        if stored_of(session) is not stored:
            await self.save(session)
            return
        await self._write_changes(session, stored, changes)
        if self._is_limited:
            await self._finder.keep_newest(ObjectText(changes.after))
