"""The synchronous verbs of `ChangingVerbs`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ndb_models.repository.attempts import ATTEMPTS
from ndb_models.repository.changing_verbs import M
from ndb_models.sync.calls import lent
from ndb_models.sync.editing import SyncEditing
from ndb_models.sync.verb_bases import OfRepository
from ndb_models.types import SessionToken


class SyncChangingVerbs(OfRepository[M]):
    """The verbs of `ChangingVerbs`, synchronous."""

    def update(self, tkn: SessionToken, /, **changes: Any) -> M:
        """Change fields of a session, and return the resulting model. Values equal to the stored ones are not written.

        Each field validates its change, and the model's validators validate the whole, as in the constructor. The
        errors below are raised before any of the changes is written.

        Raises:
            InvalidArgumentError: a name is not that of a field.
            UnstorableError: a value does not fit its field, or would not come back equal.
            StoredDataError: the stored data does not fit the model.
        """
        return self._portal.call(lambda: self._asynchronous.update(tkn, **changes))

    def edit(self, tkn: SessionToken) -> AbstractContextManager[M]:
        """Load a session, let it be changed freely, and save it: `with repo.edit(tkn) as session`.

        On a clean exit the whole is validated, and the fields that changed are written, nested changes included. On an
        exception, including cancellation, no field is written. Overlapping edits of different fields both survive. This
        very model is saved: change its fields. Binding its name to another model has no effect.

        Raises (on entry as `get`, on exit as `save`).
        """
        return SyncEditing(self._portal, self._asynchronous.edit(tkn))

    def mutate(self, tkn: SessionToken, change: Callable[[M], None], *, attempts: int = ATTEMPTS) -> M:
        """Change a session by a function, and return its model: `repo.mutate(tkn, add_item)`.

        The function is given a model as it is stored, and changes it. The result is written if
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
        return self._portal.call(lambda: self._asynchronous.mutate(tkn, lent(change), attempts=attempts))
