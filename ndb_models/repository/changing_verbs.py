"""`update`, `edit` and `mutate`: the verbs that read a session, change it, and save it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

from ndb_models.client.requester import unsupported
from ndb_models.errors import ConflictError, InvalidArgumentError, UnsupportedError
from ndb_models.json_text import ObjectText
from ndb_models.repository.attempts import ATTEMPTS, pause
from ndb_models.repository.core_verbs import CoreVerbs
from ndb_models.repository.stored_state import known
from ndb_models.repository.telling import ToldChange
from ndb_models.schema.model import SessionModel, set_stored, stored_of
from ndb_models.sessions.editing import Editing
from ndb_models.sessions.locks import MERGES
from ndb_models.sessions.writing import SH_CHANGE
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)


class ChangingVerbs(CoreVerbs[M]):
    """The verbs of a `Repository` that change one session."""

    async def update(self, tkn: SessionToken, /, **changes: Any) -> M:
        """Change fields of a session, and return the resulting model. Values equal to the stored ones are not written.

        Each field validates its change, and the model's validators validate the whole, as in the constructor. The
        errors below are raised before any of the changes is written.

        Raises:
            InvalidArgumentError: a name is not that of a field.
            UnstorableError: a value does not fit its field, or would not come back equal.
            StoredDataError: the stored data does not fit the model.
        """
        session = await self.get(tkn)
        stored = known(session)
        changed, keys = self._codec.with_changes(session, changes)
        found = self._codec.changes_since(changed, stored, keys)
        set_stored(changed, stored)
        await self._write_changes(changed, stored, found)
        if self._is_limited:
            await self._finder.keep_newest(ObjectText(found.after))
        return changed

    def edit(self, tkn: SessionToken) -> AbstractAsyncContextManager[M]:
        """Load a session, let it be changed freely, and save it: `async with repo.edit(tkn) as session`.

        On a clean exit the whole is validated, and the fields that changed are written, nested changes included. On an
        exception, including cancellation, no field is written. Overlapping edits of different fields both survive. This
        very model is saved: change its fields. Binding its name to another model has no effect.

        Raises (on entry as `get`, on exit as `save`).
        """
        return Editing(
            partial(self.get, tkn), self.save, "edit() is entered: async with repo.edit(tkn) as session: ..."
        )

    async def mutate(
        self, tkn: SessionToken, change: Callable[[M], Awaitable[None] | None], *, attempts: int = ATTEMPTS
    ) -> M:
        """Change a session by a function, and return its model: `await repo.mutate(tkn, add_item)`.

        The function is given a model as it is stored, and changes it; it may be asynchronous. The result is written if
        no field of the session has changed since it was read. Otherwise the function is called again, with a fresh
        model, until its result fits. So it may look at some fields to change others, such as a balance before a
        payment. Apart from the model, it should have no effect, since it may run several times. Of a class with
        `extra="allow"`, a key that another request adds meanwhile is not noticed.

        If the function raises, no field is written. A lost connection may leave it unknown whether the result was
        written; the error then says so.

        Args:
            tkn: the token.
            change: the function. It returns nothing.
            attempts: how often it is called at most.

        Raises:
            ConflictError: others changed the session each time.
            InvalidArgumentError: the function returned something, or saved or read its model anew; or `attempts` is no
                whole number from 1.
            UnstorableError: a value does not fit the model, or would not come back equal.
            PayloadTooLargeError: one frame cannot hold the changes, so that they cannot be made in one step.
            UnsupportedError: the server is a NemesisDB, which cannot compare before it writes.
        """
        given: tuple[object, object] = (attempts, change)
        if type(given[0]) is not int or attempts < 1:
            raise InvalidArgumentError("attempts is a whole number, and at least 1")
        if not callable(given[1]):
            raise InvalidArgumentError(
                f"mutate() takes a function that changes a {self._name}: await repo.mutate(tkn, add_item)"
            )
        work = partial(self._mutate, tkn, change, attempts)
        return await (self._telling.carry_out(None, work) if self._telling.changed else work(None))

    async def _mutate(
        self,
        tkn: SessionToken,
        change: Callable[[M], Awaitable[None] | None],
        attempts: int,
        told: ToldChange[M] | None,
    ) -> M:
        mutated = await self._mutated(tkn, change, told)
        if mutated is not None:
            return mutated
        async with MERGES.holding(self._client, tkn):  # tasks of this program take turns
            for attempt in range(1, attempts):
                mutated = await self._mutated(tkn, change, told)
                if mutated is not None:
                    return mutated
                await pause(attempt)
        raise ConflictError(self._name, self._codec.names[0] if self._codec.names else "", attempts)

    async def _mutated(
        self, tkn: SessionToken, change: Callable[[M], Awaitable[None] | None], told: ToldChange[M] | None
    ) -> M | None:
        """Try once to change a session by a function; return None if others changed it meanwhile."""
        if not self._client.may_know(SH_CHANGE):
            raise unsupported("mutate()", SH_CHANGE)
        session = await self.get(tkn)
        if known(session).outdated is not None:
            await self.save(session)
        stored = known(session)
        returned: object = change(session)
        if inspect.isawaitable(returned):
            returned = await returned
        if returned is not None:
            raise InvalidArgumentError("the function given to mutate() changes its model, and returns nothing")
        if stored_of(session) is not stored:
            raise InvalidArgumentError(
                "the function given to mutate() only changes its model: mutate() reads and saves it"
            )
        if told is not None:
            told.session = session
        try:
            keys = await self._merged_saves.save_unless_changed(session, stored, told)
        except UnsupportedError:
            raise unsupported("mutate()", SH_CHANGE) from None
        if keys is None:
            return None
        if self._is_limited:
            await self._finder.keep_newest(keys)
        return session
