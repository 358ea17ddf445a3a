"""`Repository`: stores the models of one class as sessions, and gives them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final, TypeVar

import msgspec
from pydantic import BaseModel

from ndb_models.errors import (
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    NdbError,
    ProtocolError,
    SessionGoneError,
    WrongSchemaError,
)
from ndb_models.index.session_state import LIVING, SeenSession
from ndb_models.json_text import ObjectText
from ndb_models.repository.arguments import check_expiry
from ndb_models.repository.changing_verbs import ChangingVerbs
from ndb_models.repository.credential_verbs import CredentialVerbs
from ndb_models.repository.describing_verbs import DescribingVerbs
from ndb_models.repository.hook_verbs import HookVerbs
from ndb_models.repository.listing_verbs import ListingVerbs
from ndb_models.repository.lookup_verbs import LookupVerbs
from ndb_models.repository.projecting import Projection
from ndb_models.repository.stored_state import known
from ndb_models.repository.telling import Begun
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.lifetime import Lifetime, carried_over, created_with, is_told
from ndb_models.schema.model import SessionModel, set_stored, stored_of, take_over
from ndb_models.sessions.bulk import Progress, in_bulk
from ndb_models.sessions.reading import LOOK, USE, Read, ReadEffect
from ndb_models.sessions.touching import touch
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)
V = TypeVar("V", bound=BaseModel)

# Attempts: others change a session's reserved key only to limit it to its class, or to upgrade it.
_TRIES: Final = 8


class Repository(
    LookupVerbs[M], CredentialVerbs[M], ListingVerbs[M], ChangingVerbs[M], DescribingVerbs[M], HookVerbs[M]
):
    """Stores models of one class as sessions.

        repo = Repository(client, UserSession)
        session = await repo.save(UserSession(username="billy"))
        session = await repo.get(session.tkn)

    Many tasks may use it at once. Besides the errors that are named below, every method raises the connection errors of
    `NdbClient`, and `ResponseError` if the server refuses. A value that cannot be a token raises
    `InvalidArgumentError`. Every method that takes a token raises, unless it says otherwise:

    - `SessionGoneError`: there is no such session. If it is known to have expired: `SessionExpiredError`.
    - `WrongSchemaError`: it is a session of another model.
    - `IncompleteSessionError`: its creation was cut short, or it was emptied.
    - `ForeignSessionError`: it was not written by a repository.
    - `NewerVersionError`, `OlderVersionError`: it is of a version of the model that this code does not take. `exists`,
      `delete`, `touch`, `ttl` and `raw` do not raise these, since they look into no fields.

    Three arguments are shared by several methods. `extend=False` reads without keeping the session alive; a NemesisDB
    raises `UnsupportedError`. `expiry` is the expiry of these sessions, in the place of their class's. `progress` is
    called now and then with the number of models or tokens that are done.

    These errors leave everything as it was. A cancelled call may or may not have been carried out. A session whose
    creation is cancelled is ended again. A verb that is cancelled while it waits for hooks has done its act.

    Args:
        client: an open client, which stays yours to close.
        model: the class of the models that are stored and returned.
        namespace: keeps the sessions of an application apart from those of others on the same store, lookups included,
            also if their classes have the same names. A token of a session in another namespace, or in none, raises
            `WrongSchemaError`. Sessions from before the namespace was given are read where none is.
        foreign: accept sessions that other clients wrote, as far as their keys fit the model.
        on_invalid: the fate of a session with data that does not fit the model. `"raise"` raises `StoredDataError` and
            leaves it. `"end"` ends it and raises `SessionGoneError`; it also ends a session of a version before
            `oldest`. A session of the same version that another form of the class wrote is left, since a newer program
            may have written it.
        rewrite: write a session of an older version back as soon as it was read and upgraded. Otherwise the upgrade is
            written with its next write.
        verify_version: before each save, check that no newer code has upgraded the session since it was read.
        clock: tells the time in seconds since 1970, for `Expiry(absolute=)`.
    """

    def __repr__(self) -> str:
        return f"<Repository of {self._name}>"

    # One session

    async def get_or_none(self, tkn: SessionToken, *, extend: bool = True) -> M | None:
        """Return the session with this token, or None if it has ended, expired or never existed. Otherwise as `get`."""
        try:
            return await self.get(tkn, extend=extend)
        except SessionGoneError:
            return None

    async def exists(self, tkn: SessionToken, *, extend: bool = True) -> bool:
        """Return True if this token has a session of this model. `extend` is as for `get`.

        A session of another model, a foreign one and an incomplete one do not count.
        """
        try:
            begun = self._access.begin_read(tkn, (), USE if extend else LOOK)
            if not isinstance(begun, Read):
                await begun
        except (SessionGoneError, WrongSchemaError, IncompleteSessionError, ForeignSessionError):
            return False
        return True

    async def delete(self, tkn: SessionToken) -> bool:
        """End a session. Return False if there is none any more: ending twice does no harm.

        An incomplete session is ended too. A session of another model, or a foreign one, is left alone.
        """
        keys: Mapping[str, bytes] = {}
        try:
            read = await self._access.read(tkn, self._codec.names, ReadEffect.UPKEEP)
            keys = {} if self._index is None else read.keys
        except SessionGoneError:
            return False
        except IncompleteSessionError:
            pass  # only code that cleans up has its token
        return await self._end(SeenSession(tkn, LIVING, keys))

    async def refresh(self, session: M, *, extend: bool = True) -> M:
        """Read a session again into its model, and return the model. Unsaved changes of the model are dropped.

        Otherwise as `get`.
        """
        fresh = await self.get(self._checked(session).tkn, extend=extend)
        take_over(session, fresh)
        set_stored(session, known(fresh))
        return session

    async def attach(self, session: M, tkn: SessionToken) -> M:
        """Give a model that was made elsewhere the token of an existing session, so that `save` changes that session.

            session = await repo.attach(UserSession.model_validate(data), tkn)
            await repo.save(session)

        A model without a token would be saved as a new session. This reads the session, as `get`, and returns the given
        model: no key is written, and no field of the model changes. The next `save` writes the fields that differ from
        the stored ones. This includes fields that are at a default because the data had none. Of an open class, it also
        removes keys that the model does not have. To change some fields only, use `update`.

        A model that has this token already is compared with the keys stored by now.

        Raises:
            InvalidArgumentError: the model is the session of another token.
            StoredDataError: the stored data does not fit the model.
        """
        before = stored_of(self._checked(session))
        if before is not None and before.tkn != tkn:
            raise InvalidArgumentError(
                f"this {self._name} is the session of another token; attach a model that was made without one"
            )
        set_stored(session, known(await self.get(tkn)))
        return session

    async def touch(self, tkn: SessionToken) -> None:
        """Extend the expiry: count as a read and as a write, without reading or writing any data."""
        await touch(self._client, self._access, tkn)

    async def ttl(self, session: M | SessionToken) -> float | None:
        """Return the seconds that a session has left if it is not used, or None if it never ends.

        Extends no expiry, with the one exception below. A model that was saved or read knows its deadline. For a token
        only the server is asked, which knows neither the session's model nor its deadline. If the class has
        `Expiry(absolute=)`, the deadline is read too; on a NemesisDB this extends the session where reads do. A session
        past its expiry raises `SessionExpiredError`, even if the server has not swept it yet.
        """
        if isinstance(session, SessionModel):
            stored = await self._not_overdue(known(self._checked(session)))
            return await self._access.remaining(stored.tkn, stored.deadline)
        remaining = await self._access.remaining(session, None)
        expiry = self._options.expiry
        if remaining is None or expiry is None or expiry.absolute is None:
            return remaining
        return await self._access.remaining(session, (await self._access.read(session, (), ReadEffect.UPKEEP)).deadline)

    # Moving a session, and its expiry

    async def rotate(self, session: M) -> M:
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
        current = await self._upgrading.as_stored(self._checked(session).tkn)
        timer = None
        if not is_told(current.envelope, self._options.expiry):
            timer = await self._access.timer(session.tkn)
        lifetime = carried_over(current.envelope, timer, self._options.expiry, self._lifetimes.now())
        return await self._move(session, current, lifetime, logs_in=True)

    async def _move(self, session: M, current: Read, lifetime: Lifetime, *, logs_in: bool) -> M:
        """Give a session a new token and another lifetime; `current` is its stored state."""
        old = session.tkn
        lifetime = self._lifetimes.moved(lifetime, current.envelope, logs_in=logs_in)
        version, by = (current.envelope.version, current.envelope.by) if current.envelope is not None else (None, None)
        keys, index = ObjectText(current.text), self._index
        before = None if index is None else index.examiner.seen(old, current)
        if index is None:
            tkn = await self._creation.create(keys, lifetime, version, by=by)
        else:
            tkn = await index.create(keys, lifetime, version, by=by, heir_of=before)
        begun: Begun = None

        async def after_the_end() -> None:
            nonlocal begun
            begun = self._telling.begin_ended(old, "replaced", tkn)
            if index is not None and before is not None:
                await index.forget(before)

        await self._access.replace(old, tkn, after_the_end)
        set_stored(session, msgspec.structs.replace(known(session), tkn=tkn, deadline=lifetime.deadline))
        await self._telling.wait(begun)
        return session

    async def expire(self, session: M | SessionToken, expiry: Expiry | None) -> M:
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
        check_expiry(expiry)
        if isinstance(session, SessionModel):
            model = self._checked(session)
            await self._not_overdue(known(model))
        else:
            read = await self._access.read(session, await self._names(session), ReadEffect.UPKEEP)
            model = await self._take(session, read, rewrites=False)
        lifetime = created_with(expiry, self._lifetimes.now(), own=True)
        tkn = model.tkn
        for _ in range(_TRIES):
            read = await self._access.read(tkn, (), ReadEffect.UPKEEP)
            changing = self._lifetimes.change(tkn, read.reserved, lifetime)
            done = await self._access.of_session(tkn, changing)
            if done is None:
                return await self._move(model, await self._upgrading.as_stored(tkn), lifetime, logs_in=False)
            if done:
                set_stored(model, msgspec.structs.replace(known(model), deadline=lifetime.deadline))
                return model
        raise ProtocolError("the session was changed again and again while its expiry was")

    # Looking at a session

    async def project(self, tkn: SessionToken, view: type[V], *, extend: bool = True) -> V:
        """Return a part of a session, as another model with some of its fields. `extend` is as for `get`.

        Only the keys of these fields are read. The returned view has no token. A field of the view may have a looser
        type than the model's: `Any`, `Sequence[int]` for `list[int]`, or a nested model with fewer fields. A field that
        the model does not have is the view's own if it has a default.

        Raises:
            SchemaError: the view does not fit this repository's model, or would show other values than the model does.
                This is found out at the first use, before any request.
            StoredDataError: the stored data does not fit the view.
        """
        given: object = view
        bound: Projection[V] | None = self._views.get(given) if isinstance(given, type) else None
        if bound is None:
            bound = self._views[view] = Projection(view, self._model, self._codec)
        read = await self._access.read(tkn, bound.names, USE if extend else LOOK)
        if not read.is_common and self._upgrading.is_due(read):
            read, _ = await self._upgrading.upgraded(tkn, read)
            read = read.with_keys({name: text for name, text in read.keys.items() if name in bound.names})
        return bound.shown(read, tkn)

    async def raw(self, tkn: SessionToken, *, extend: bool = True) -> dict[str, str]:
        """Return all keys of a session as JSON text, with the reserved key, for repair. `extend` is as for `get`.

        The session may be of any model, foreign or incomplete.
        """
        return {name: text.decode() for name, text in (await self._access.raw(tkn, USE if extend else LOOK)).items()}

    # Many sessions

    async def get_many(
        self, tkns: Iterable[SessionToken], *, extend: bool = True, progress: Progress | None = None
    ) -> list[M | NdbError]:
        """Return the sessions with these tokens, in order. Where `get` would raise an error, that error is in the list.

        Requests are pipelined, a bounded number at a time, so memory does not grow with the number of requests.

        Args:
            tkns: the tokens.
            extend: as for `get`.
            progress: called now and then, and at the end, with the number of sessions done.
        """
        return await in_bulk(partial(self.get, extend=extend), tkns, progress)

    async def save_many(
        self, sessions: Iterable[M], *, expiry: Expiry | None = None, progress: Progress | None = None
    ) -> list[M | NdbError]:
        """Save models, as `save`, and return them in order. Where it would raise an error, that error is in the list.

        Give each model once: see `save` for a model that is saved twice at the same time.
        """

        async def save(session: M) -> M:
            return await self.save(session, expiry=expiry)

        return await in_bulk(save, sessions, progress)

    async def delete_many(
        self, tkns: Iterable[SessionToken], *, progress: Progress | None = None
    ) -> list[bool | NdbError]:
        """End the sessions `tkns`, as `delete`. Return in order for each whether there was one, or the error."""
        return await in_bulk(self.delete, tkns, progress)
