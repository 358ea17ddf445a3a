"""The synchronous verbs of `Repository`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from collections.abc import Iterable

from ndb_models.errors import NdbError
from ndb_models.repository.repository import M, V
from ndb_models.schema.expiry import Expiry
from ndb_models.sessions.bulk import Progress
from ndb_models.sync.calls import taken, told
from ndb_models.sync.verb_bases import OfRepository
from ndb_models.types import SessionToken


class SyncRepositoryVerbs(OfRepository[M]):
    """The verbs of `Repository`, synchronous."""

    def get_or_none(self, tkn: SessionToken, *, extend: bool = True) -> M | None:
        """Return the session with this token, or None if it has ended, expired or never existed. Otherwise as `get`."""
        return self._portal.call(lambda: self._asynchronous.get_or_none(tkn, extend=extend))

    def exists(self, tkn: SessionToken, *, extend: bool = True) -> bool:
        """Return True if this token has a session of this model. `extend` is as for `get`.

        A session of another model, a foreign one and an incomplete one do not count.
        """
        return self._portal.call(lambda: self._asynchronous.exists(tkn, extend=extend))

    def delete(self, tkn: SessionToken) -> bool:
        """End a session. Return False if there is none any more: ending twice does no harm.

        An incomplete session is ended too. A session of another model, or a foreign one, is left alone.
        """
        return self._portal.call(lambda: self._asynchronous.delete(tkn))

    def refresh(self, session: M, *, extend: bool = True) -> M:
        """Read a session again into its model, and return the model. Unsaved changes of the model are dropped.

        Otherwise as `get`.
        """
        return self._portal.call(lambda: self._asynchronous.refresh(session, extend=extend))

    def attach(self, session: M, tkn: SessionToken) -> M:
        """Give a model that was made elsewhere the token of an existing session, so that `save` changes that session.

            session = repo.attach(UserSession.model_validate(data), tkn)
            repo.save(session)

        A model without a token would be saved as a new session. This reads the session, as `get`, and returns the given
        model: no key is written, and no field of the model changes. The next `save` writes the fields that differ from
        the stored ones. This includes fields that are at a default because the data had none. Of an open class, it also
        removes keys that the model does not have. To change some fields only, use `update`.

        A model that has this token already is compared with the keys stored by now.

        Raises:
            InvalidArgumentError: the model is the session of another token.
            StoredDataError: the stored data does not fit the model.
        """
        return self._portal.call(lambda: self._asynchronous.attach(session, tkn))

    def touch(self, tkn: SessionToken) -> None:
        """Extend the expiry: count as a read and as a write, without reading or writing any data."""
        return self._portal.call(lambda: self._asynchronous.touch(tkn))

    def ttl(self, session: M | SessionToken) -> float | None:
        """Return the seconds that a session has left if it is not used, or None if it never ends.

        Extends no expiry, with the one exception below. A model that was saved or read knows its deadline. For a token
        only the server is asked, which knows neither the session's model nor its deadline. If the class has
        `Expiry(absolute=)`, the deadline is read too; on a NemesisDB this extends the session where reads do. A session
        past its expiry raises `SessionExpiredError`, even if the server has not swept it yet.
        """
        return self._portal.call(lambda: self._asynchronous.ttl(session))

    def rotate(self, session: M) -> M:
        """Give a session a new token, with its data as it is stored, and end the old session. Return the model.

        Call it when the user logs in or gets other rights; `is_fresh` goes by it. The model has the new token from then
        on; its unsaved changes stay unsaved. The new session has the expiry of
        the class, unless the session has its own. The idle time starts anew. The absolute end stays the same if the
        class has not changed, and is never later than one that begins now.

        If this is cut short, there is no new session, and the old one may or may not have been ended. Writes of others
        to the old session meanwhile are lost with it.

        Raises:
            SessionGoneError: the session has ended, or ended meanwhile. There is no new session either.
            DuplicateError: a unique value of this session belongs to another session.
        """
        return self._portal.call(lambda: self._asynchronous.rotate(session))

    def expire(self, session: M | SessionToken, expiry: Expiry | None) -> M:
        """Give a session an expiry of its own, which starts now. Return its model; given a token, the stored one.

        The session keeps this expiry, even if its class says otherwise, and also when it is rotated or upgraded. A
        given model is returned; its unsaved changes stay unsaved.

        A NemesisDB cannot change the expiry of a session. There a copy is made under a new token, as by `rotate`, and
        the old session is ended. Go on with the token of the returned model.

        Calling it again starts the time once more. If it is cancelled, it may or may not have been carried out.

        Args:
            session: a model that was saved or read, or a token.
            expiry: the new expiry, or None for never.

        Raises:
            SessionGoneError: the session has ended or expired.
            StoredDataError: a token was given, and the stored data does not fit the model.
        """
        return self._portal.call(lambda: self._asynchronous.expire(session, expiry))

    def project(self, tkn: SessionToken, view: type[V], *, extend: bool = True) -> V:
        """Return a part of a session, as another model with some of its fields. `extend` is as for `get`.

        Only the keys of these fields are read. The returned view has no token. A field of the view may have a looser
        type than the model's: `Any`, `Sequence[int]` for `list[int]`, or a nested model with fewer fields. A field that
        the model does not have is the view's own if it has a default.

        Raises:
            SchemaError: the view does not fit this repository's model, or would show other values than the model does.
                This is found out at the first use, before any request.
            StoredDataError: the stored data does not fit the view.
        """
        return self._portal.call(lambda: self._asynchronous.project(tkn, view, extend=extend))

    def raw(self, tkn: SessionToken, *, extend: bool = True) -> dict[str, str]:
        """Return all keys of a session as JSON text, with the reserved key, for repair. `extend` is as for `get`.

        The session may be of any model, foreign or incomplete.
        """
        return self._portal.call(lambda: self._asynchronous.raw(tkn, extend=extend))

    def get_many(
        self, tkns: Iterable[SessionToken], *, extend: bool = True, progress: Progress | None = None
    ) -> list[M | NdbError]:
        """Return the sessions with these tokens, in order. Where `get` would raise an error, that error is in the list.

        Requests are pipelined, a bounded number at a time, so memory does not grow with the number of requests.

        Args:
            tkns: the tokens.
            extend: as for `get`.
            progress: called now and then, and at the end, with the number of sessions done.
        """
        tkns = taken(tkns)
        return self._portal.call(lambda: self._asynchronous.get_many(tkns, extend=extend, progress=told(progress)))

    def save_many(
        self, sessions: Iterable[M], *, expiry: Expiry | None = None, progress: Progress | None = None
    ) -> list[M | NdbError]:
        """Save models, as `save`, and return them in order. Where it would raise an error, that error is in the list.

        Give each model once: see `save` for a model that is saved twice at the same time.
        """
        sessions = taken(sessions)
        return self._portal.call(lambda: self._asynchronous.save_many(sessions, expiry=expiry, progress=told(progress)))

    def delete_many(self, tkns: Iterable[SessionToken], *, progress: Progress | None = None) -> list[bool | NdbError]:
        """End the sessions `tkns`, as `delete`. Return in order for each whether there was one, or the error."""
        tkns = taken(tkns)
        return self._portal.call(lambda: self._asynchronous.delete_many(tkns, progress=told(progress)))
