"""`Repository`: stores the models of one class as sessions, and gives them back."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from ndb_models.client import NdbClient
from ndb_models.errors import (
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    NdbError,
    NotSavedError,
    SessionGoneError,
    StoredDataError,
    WrongSchemaError,
)
from ndb_models.repository.access import Read, SessionAccess
from ndb_models.repository.bulk import Progress, in_bulk
from ndb_models.repository.finding import Finder
from ndb_models.repository.index import index_of
from ndb_models.repository.lookups import LookupVerbs
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.model import SessionModel, Stored, set_stored, stored_of
from ndb_models.schema.projection import check_view
from ndb_models.types import Clock, SessionToken

M = TypeVar("M", bound=SessionModel)
V = TypeVar("V", bound=BaseModel)


class Repository(LookupVerbs[M], Generic[M]):
    """Stores models of one class as sessions.

        repo = Repository(client, UserSession)
        session = await repo.save(UserSession(username="billy"))
        session = await repo.get(session.tkn)

    It may be used by many tasks at once. Besides the errors that are named below, every method raises the connection
    errors of `NdbClient`, `ResponseError` where the server refuses, and `InvalidArgumentError` for what cannot be a
    token. Every method that takes a token raises, unless it says otherwise:

    - `SessionGoneError`: there is no such session; as `SessionExpiredError` where it is known that it expired.
    - `WrongSchemaError`: it is a session of another model.
    - `IncompleteSessionError`: its creation was cut short, or it was emptied.
    - `ForeignSessionError`: it was not written by a repository.

    Nothing is changed then. A call that is cancelled may or may not have been carried out, but for creations: what
    nobody waits for any longer is ended again.

    Args:
        client: an open client, which stays yours to close.
        model: the class; what is read is of this class.
        foreign: take sessions that other clients wrote too, as far as their keys fit the model.
        on_invalid: what becomes of a session whose data does not fit the model: `"raise"` raises `StoredDataError` and
            leaves it, `"end"` ends it and raises `SessionGoneError`.
        clock: tells the time in seconds since 1970, for `Expiry(absolute=)`.
    """

    def __repr__(self) -> str:
        return f"<Repository of {self._name}>"

    def __init__(
        self,
        client: NdbClient,
        model: type[M],
        *,
        foreign: bool = False,
        on_invalid: Literal["raise", "end"] = "raise",
        clock: Clock = time.time,
    ) -> None:
        _check_arguments(client, model, on_invalid)
        self._model = model
        self._name = model.__name__
        self._ends_invalid = on_invalid == "end"
        self._options = model.session_options
        self._codec: ModelCodec[M] = ModelCodec(model)
        self._access = SessionAccess(client, self._name, self._options.schema, foreign=foreign, clock=clock)
        self._views: dict[type[BaseModel], ModelCodec[Any]] = {}
        # None where no field is looked up; such a class pays for nothing here.
        self._index = index_of(client, self._access, model, foreign=foreign, clock=clock)
        self._finder = Finder(self._name, self._codec, self._access, self._index, self._names, self._take)

    # One session

    async def create(self, session: M, *, expiry: Expiry | None = None) -> M:
        """Store a model as a new session, and return it with its token.

        A model that has a token already is left with it: a copy is returned.

        Args:
            session: the model.
            expiry: for this session, in place of that of the class.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal. Nothing was stored.
            PayloadTooLargeError: a field alone is larger than the server takes. Nothing was stored.
            DuplicateError: another session has the value of a unique field. Nothing was stored.
        """
        if expiry is not None and not isinstance(expiry, Expiry):
            raise InvalidArgumentError(f"expiry= is an Expiry, not a {type(expiry).__name__}")
        keys, text = self._codec.dump(self._checked(session))
        tkn, deadline = await (self._index or self._access).create(keys, expiry or self._options.expiry)
        if stored_of(session) is not None:
            session = session.model_copy(deep=True)
        set_stored(session, Stored(tkn, text, deadline))
        return session

    async def save(self, session: M, *, expiry: Expiry | None = None) -> M:
        """Store a model, and return it.

        A model without a token becomes a new session, as by `create`. Of one with a token, the fields that changed
        since it was read or saved are written, and no others; where none did, it is only found out whether the session
        lives. Either way it counts as a write. A session that has ended stays ended.

        Args:
            session: the model.
            expiry: for a new session, in place of that of the class.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal. Nothing was stored.
            PayloadTooLargeError: a field alone is larger than the server takes. Nothing was stored.
            DuplicateError: another session has the value of a unique field. Nothing was stored.
            SessionGoneError: the session has ended or expired since it was read.
        """
        stored = stored_of(self._checked(session))
        if stored is None:
            return await self.create(session, expiry=expiry)
        if expiry is not None:
            raise InvalidArgumentError("the expiry of a session cannot be changed; create() makes a new one")
        keys, text = self._codec.dump(session)
        await self._access.refuse_overdue(stored.tkn, stored.deadline)
        changed, removed = self._codec.changes(keys, stored.keys)
        changed.update((name, keys[name]) for name in stored.unsure if name in keys)
        # Until it is acknowledged nobody knows what is stored under these names: the next save writes them in any case.
        set_stored(session, stored._replace(unsure=stored.unsure.union(changed, removed)))
        if self._index is None:
            await self._access.change(stored.tkn, changed, removed)
        else:
            await self._index.change(stored.tkn, changed, removed, stored.keys)
        set_stored(session, Stored(stored.tkn, text, stored.deadline))
        return session

    async def get(self, tkn: SessionToken) -> M:
        """Return the session of this token. Counts as a read.

        Raises:
            StoredDataError: what is stored does not fit the model.
        """
        session, _ = await self._load(tkn)
        return session

    async def get_or_none(self, tkn: SessionToken) -> M | None:
        """Return the session of this token, or None if it has ended or expired, or never was. Else as `get`."""
        try:
            return await self.get(tkn)
        except SessionGoneError:
            return None

    async def exists(self, tkn: SessionToken) -> bool:
        """Tell whether there is a session of this model under this token. Counts as a read.

        A session of another model, a foreign one and an incomplete one do not count.
        """
        try:
            await self._access.read(tkn, ())
        except (SessionGoneError, WrongSchemaError, IncompleteSessionError, ForeignSessionError):
            return False
        return True

    async def delete(self, tkn: SessionToken) -> bool:
        """End a session. Return False if there is none any more: ending twice does no harm.

        One whose creation was cut short is ended too. One of another model, and a foreign one, is left alone.
        """
        keys: Mapping[str, bytes] = {}
        try:
            keys = (await self._access.read(tkn, self._codec.names)).keys
        except SessionGoneError:
            return False
        except IncompleteSessionError:
            pass  # nobody has its token but who is cleaning up
        return await self._end(tkn, keys)

    async def _end(self, tkn: SessionToken, keys: Mapping[str, bytes]) -> bool:
        ended = await self._access.end(tkn)
        if self._index is not None:
            await self._index.forget(tkn, keys)
        return ended

    async def refresh(self, session: M) -> M:
        """Read a session again into the model that it was read into, whose own changes are dropped; return it."""
        fresh, stored = await self._load(self._checked(session).tkn)
        for name in ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__"):
            object.__setattr__(session, name, getattr(fresh, name))
        set_stored(session, stored)
        return session

    async def touch(self, tkn: SessionToken) -> None:
        """Count as a read and as a write, and neither read nor write any data: extends the expiry."""
        await self._access.read(tkn, ())
        await self._access.change(tkn, {}, ())

    async def ttl(self, session: M | SessionToken) -> float | None:
        """Return how many seconds a session has left if it is not used, or None if it never ends.

        A model that was saved or read knows its absolute end, so that this is not a read and extends nothing. Of a
        token only the server is asked, which does not know whose session it is, nor its absolute end; where the class
        has `Expiry(absolute=)`, that is read, and counts as a read.
        """
        if isinstance(session, SessionModel):
            stored = stored_of(self._checked(session))
            if stored is None:
                raise NotSavedError(self._name)
            await self._access.refuse_overdue(stored.tkn, stored.deadline)
            return await self._access.remaining(stored.tkn, stored.deadline)
        remaining = await self._access.remaining(session, None)
        expiry = self._options.expiry
        if remaining is None or expiry is None or expiry.absolute is None:
            return remaining
        return await self._access.remaining(session, (await self._access.read(session, ())).deadline)

    # Changing a session

    async def update(self, tkn: SessionToken, /, **changes: Any) -> M:
        """Change fields of a session, and return it as it is then. What is equal to what is there is not written.

        Every change is validated by its field, and the whole by the model's validators, as in the constructor.

        Raises:
            InvalidArgumentError: a name is not that of a field.
            UnstorableError: a value does not fit its field, or would not come back equal. Nothing was written.
            StoredDataError: what is stored does not fit the model.
        """
        session, stored = await self._load(tkn)
        changed = self._codec.with_changes(session, changes)
        set_stored(changed, stored)
        return await self.save(changed)

    def edit(self, tkn: SessionToken) -> AbstractAsyncContextManager[M]:
        """Load a session, let it be changed freely, and save it: `async with repo.edit(tkn) as session`.

        On a clean exit the whole is validated, and the fields that changed are written, nested changes included. On an
        exception, cancellation too, nothing is. Two edits of different fields that overlap both survive.

        Raises (on entry as `get`, on exit as `save`).
        """
        return self._edit(tkn)

    @asynccontextmanager
    async def _edit(self, tkn: SessionToken) -> AsyncGenerator[M]:
        session = await self.get(tkn)
        yield session
        await self.save(session)

    async def rotate(self, session: M) -> M:
        """Give a session a new token, with its data as it is stored, and end the old one; return it.

        The model has the new token from then on; changes of its own that were not saved stay unsaved. The absolute end
        stays what it was, the idle time starts anew. If it is cut short, there is no new session, and the old one may
        or may not have been ended. What others write to the old session meanwhile is lost with it.

        Raises:
            SessionGoneError: the session has ended, or ended meanwhile; then there is no new one either.
            DuplicateError: another session has the value of a unique field, which this one should not have.
        """
        old = self._checked(session).tkn
        current = await self._access.read(old, await self._access.names(old))
        expiry = await self._access.expiry(old)
        if self._index is None:
            tkn, deadline = await self._access.create(current.keys, expiry, current.deadline)
        else:
            tkn, deadline = await self._index.create(current.keys, expiry, current.deadline, heir_of=old)
        await self._access.replace(old, tkn)
        if self._index is not None:
            await self._index.forget(old, current.keys)
        stored = stored_of(session)
        assert stored is not None
        set_stored(session, Stored(tkn, stored.keys, deadline))
        return session

    # Looking at a session

    async def project(self, tkn: SessionToken, view: type[V]) -> V:
        """Return a part of a session, as another model whose fields are some of this one's. Counts as a read.

        Only the keys of these fields are read. What is returned has no token, and cannot be saved.

        Raises:
            SchemaError: the view does not fit this repository's model. Found out the first time, before anything is
                sent.
            StoredDataError: what is stored does not fit the view.
        """
        _check_is_view(view)
        codec: ModelCodec[V] | None = self._views.get(view)
        if codec is None:
            codec = ModelCodec(view)  # which resolves the names of types that were not defined yet
            check_view(view, self._model)
            self._views[view] = codec
        read = await self._access.read(tkn, codec.names)
        shown, _ = codec.load(read.keys, tkn)
        return shown

    async def raw(self, tkn: SessionToken) -> dict[str, str]:
        """Return all keys of a session as their JSON text, the reserved one too, for repair. Counts as a read.

        The session may be of any model, foreign or incomplete.
        """
        return {name: text.decode() for name, text in (await self._access.raw(tkn)).items()}

    # Many sessions

    async def get_many(self, tkns: Iterable[SessionToken], *, progress: Progress | None = None) -> list[M | NdbError]:
        """Return the sessions of these tokens, in their order; where `get` would raise, the error in its place.

        Requests are pipelined, so many at a time that memory does not grow with their number.

        Args:
            tkns: the tokens.
            progress: is called now and then, and at the end, with how many are done.
        """
        return await in_bulk(self.get, tkns, progress)

    async def save_many(
        self, sessions: Iterable[M], *, expiry: Expiry | None = None, progress: Progress | None = None
    ) -> list[M | NdbError]:
        """Save models, as `save`, and return them in their order; where it would raise, the error in its place."""

        async def save(session: M) -> M:
            return await self.save(session, expiry=expiry)

        return await in_bulk(save, sessions, progress)

    async def delete_many(
        self, tkns: Iterable[SessionToken], *, progress: Progress | None = None
    ) -> list[bool | NdbError]:
        """End sessions, as `delete`; return for each in their order whether there was one, or the error."""
        return await in_bulk(self.delete, tkns, progress)

    # What the verbs stand on

    def _checked(self, session: M) -> M:
        if type(session) is not self._model:
            raise InvalidArgumentError(f"this repository stores {self._name}, not {type(session).__name__}")
        return session

    async def _names(self, tkn: SessionToken) -> tuple[str, ...]:
        """Return which keys a session has: those of the fields, and whatever there is where the class is open."""
        return tuple(await self._access.names(tkn)) if self._codec.open else self._codec.names

    async def _load(self, tkn: SessionToken) -> tuple[M, Stored]:
        return await self._take(tkn, await self._access.read(tkn, await self._names(tkn)))

    async def _take(self, tkn: SessionToken, read: Read) -> tuple[M, Stored]:
        """Make a model of what was read of a session."""
        try:
            session, text = self._codec.load(read.keys, tkn)
        except StoredDataError as exc:
            if not self._ends_invalid:
                raise
            await self._end(tkn, read.keys)
            raise SessionGoneError(self._name, tkn) from exc
        stored = Stored(tkn, text, read.deadline)
        set_stored(session, stored)
        return session, stored


def _check_is_view(view: object) -> None:
    if not (isinstance(view, type) and issubclass(view, BaseModel)):
        raise InvalidArgumentError("a view is a Pydantic model, whose fields are some of the session's")


def _check_arguments(client: object, model: object, on_invalid: object) -> None:
    if not isinstance(client, NdbClient):
        raise InvalidArgumentError("a Repository needs an open NdbClient: Repository(client, UserSession)")
    if not (isinstance(model, type) and issubclass(model, SessionModel)):
        raise InvalidArgumentError("a Repository stores a subclass of SessionModel: Repository(client, UserSession)")
    if model is SessionModel:
        raise InvalidArgumentError("SessionModel has no fields: declare a subclass of it")
    if on_invalid not in ("raise", "end"):
        raise InvalidArgumentError("on_invalid is 'raise' or 'end'")
