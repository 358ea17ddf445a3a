"""The synchronous verbs of `CoreVerbs`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from ndb_models.repository.core_verbs import M
from ndb_models.schema.expiry import Expiry
from ndb_models.sync.verb_bases import OfRepository
from ndb_models.types import SessionToken


class SyncCoreVerbs(OfRepository[M]):
    """The verbs of `CoreVerbs`, synchronous."""

    def create(self, session: M, *, expiry: Expiry | None = None) -> M:
        """Store a model as a new session, and return it with its token.

        A model that has a token already keeps it; a copy with the new token is returned. The errors below are raised
        before the session is stored.

        Args:
            session: the model.
            expiry: an expiry for this session alone. It replaces the class's expiry, even if the class changes later.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal.
            PayloadTooLargeError: a single field is larger than the server takes.
            DuplicateError: another session has the value of a unique field.
        """
        return self._portal.call(lambda: self._asynchronous.create(session, expiry=expiry))

    def save(self, session: M, *, expiry: Expiry | None = None) -> M:
        """Store a model, and return it. The errors below are raised before any field is written.

        A model without a token becomes a new session, as by `create`. Two saves of it at the same time may make two
        sessions: the model has the token of one, and a copy with the token of the other is returned.

        Of a model with a token, only the fields that changed since it was read or saved are written. If none changed,
        this only finds out whether the session lives. Either way it counts as a write. A session that has ended stays
        ended. An upgrade made by the read is written together with the changes, after a fresh look at the stored keys.
        If the same model is being saved already, and a change may have to be merged, this waits for that save first.

        Args:
            session: the model.
            expiry: an expiry for a new session alone, as for `create`. `expire` changes that of an existing session.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal.
            PayloadTooLargeError: a single field is larger than the server takes.
            DuplicateError: another session has the value of a unique field. A save of over two minutes may find this
                out after its write, and then writes the former value back.
            SessionGoneError: the session has ended or expired since it was read.
        """
        return self._portal.call(lambda: self._asynchronous.save(session, expiry=expiry))

    def get(self, tkn: SessionToken, *, extend: bool = True) -> M:
        """Return the session with this token.

        If the session may live longer than its class allows, it gets the class's limit, see docs/session_expiry.md.

        Args:
            tkn: the token.
            extend: count as a read, which extends the expiry where reads do. False leaves the expiry alone.

        Raises:
            StoredDataError: the stored data does not fit the model.
            UnsupportedError: `extend=False`, and the server is a NemesisDB, which has no such read.
        """
        return self._portal.call(lambda: self._asynchronous.get(tkn, extend=extend))
