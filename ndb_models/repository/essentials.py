"""`create`, `save` and `get`: what the other verbs of a `Repository` stand on."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

import msgspec
from pydantic import BaseModel

from ndb_models.client import NdbClient
from ndb_models.errors import (
    InvalidArgumentError,
    NotSavedError,
    OlderVersionError,
    SessionExpiredError,
    SessionGoneError,
    StoredDataError,
    UpgradeError,
)
from ndb_models.repository.access import SessionAccess
from ndb_models.repository.altered import AlterationCheck
from ndb_models.repository.creation import SessionCreation
from ndb_models.repository.finding import Finder
from ndb_models.repository.index import index_of
from ndb_models.repository.index_change import change_indexed
from ndb_models.repository.lifetimes import Lifetimes
from ndb_models.repository.reading import LOOK, USE, Read, Reading
from ndb_models.repository.standing import Sighting, Standing
from ndb_models.repository.upgrading import Upgrading
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.form import form_of
from ndb_models.schema.lifetime import Lifetime
from ndb_models.schema.model import SessionModel, Stored, check_definition, set_stored, stored_of
from ndb_models.schema.registry import claim_schema
from ndb_models.texts import ObjectText, names_in, split_members
from ndb_models.types import Clock, SessionToken
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotEntered

M = TypeVar("M", bound=SessionModel)

# What a field that is removed is looked up by: nothing.
_NULL: Final = b"null"

_LEFT: Final = (
    "on_invalid='end' left the session: another form of the class wrote it, without another version=, and may be newer"
)


class EssentialVerbs(Uncopyable, NotEntered, Generic[M]):
    """Makes sessions of models, and models of sessions. Arguments are those of `Repository`."""

    USAGE = "a Repository needs no opening: repo = Repository(client, UserSession); session = await repo.get(tkn)"
    INSTEAD = "it holds a client; make one where it is needed, Repository(client, Model)"

    if not TYPE_CHECKING:  # a checker sees by itself that an argument is missing

        def __new__(cls, *given, **options):
            """Say what is missing or wrong before Python says it in words of its own."""
            if cls.__init__ is EssentialVerbs.__init__:
                given = dict(zip(("client", "model"), given, strict=False)) | options
                _check_arguments(given.get("client"), given.get("model"), "raise")
            return super().__new__(cls)

    def __init__(
        self,
        client: NdbClient,
        model: type[M],
        *,
        foreign: bool = False,
        on_invalid: Literal["raise", "end"] = "raise",
        rewrite: bool = False,
        verify_version: bool = False,
        clock: Clock = time.time,
    ) -> None:
        _check_arguments(client, model, on_invalid)
        self._client = client
        self._model = model
        self._name = model.__name__
        self._ends_invalid = on_invalid == "end"
        self._options = model.session_options
        self._options.upgrades.check_chain()
        self._codec: ModelCodec[M] = ModelCodec(model)
        self._alteration: AlterationCheck[M] = AlterationCheck(client, model, self._codec)
        check_definition(model)
        claim_schema(model)
        schema, version = self._options.schema, self._options.version
        self._by = form_of(model)
        versions = range(self._options.upgrades.oldest, version + 1)
        self._lifetimes = Lifetimes(client, self._options.expiry, versions, clock)
        self._access = SessionAccess(client, self._name, schema, version, self._by, self._lifetimes, foreign=foreign)
        self._creation = SessionCreation(client, self._access, self._name, schema, version)
        self._upgrading = Upgrading(client, self._access, self._codec, self._name, self._options.upgrades)
        # Whether there is more to reading a session than making a model of it, also where it is of the class's version.
        self._takes_care = self._ends_invalid or self._upgrading.reads_whole
        self._rewrites = rewrite
        self._verifies_version = verify_version
        # What reads each view, and the keys that it reads.
        self._views: dict[type[BaseModel], tuple[ModelCodec[Any], tuple[str, ...]]] = {}
        # None where no field is looked up; such a class pays for nothing here.
        self._index = index_of(
            client, self._access, self._creation, self._upgrading, model, foreign=foreign, clock=clock
        )
        self._creating = self._index or self._creation
        self._finder = Finder(self._name, self._codec, self._access, self._index, self._names, self._take)

    async def create(self, session: M, *, expiry: Expiry | None = None) -> M:
        """Store a model as a new session, and return it with its token.

        A model that has a token already is left with it: a copy is returned.

        Args:
            session: the model.
            expiry: of this session's own, in place of that of the class, and whatever that says later on.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal. Nothing was stored.
            PayloadTooLargeError: a field alone is larger than the server takes. Nothing was stored.
            DuplicateError: another session has the value of a unique field. Nothing was stored.
        """
        self._checked(session)
        return await self._create(session, expiry)

    async def _create(self, session: M, expiry: Expiry | None) -> M:
        if expiry is not None:
            check_expiry(expiry)
        keys = self._codec.dump(session)
        if self._client.is_remote and self._alteration.is_due(keys.text):
            await self._alteration.refuse_altered(keys, keys.names)
        lifetime = self._lifetimes.begun(expiry)
        return _created(session, keys, await self._creating.create(keys, lifetime), lifetime)

    async def save(self, session: M, *, expiry: Expiry | None = None) -> M:
        """Store a model, and return it.

        A model without a token becomes a new session, as by `create`. Of one with a token, the fields that changed
        since it was read or saved are written, and no others; where none did, it is only found out whether the session
        lives. Either way it counts as a write. A session that has ended stays ended. Of one that was upgraded when it
        was read, the upgrade is written too, at once with the changes, after a look at what is stored by now. A model
        without a token that is saved again before that is done may become two sessions: it has the token of the one,
        and a copy with that of the other is returned.

        Args:
            session: the model.
            expiry: of a new session's own, as for `create`; that of one that exists is changed by `expire`.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal. Nothing was stored.
            PayloadTooLargeError: a field alone is larger than the server takes. Nothing was stored.
            DuplicateError: another session has the value of a unique field. Nothing was stored.
            SessionGoneError: the session has ended or expired since it was read.
        """
        stored = stored_of(self._checked(session))
        if stored is None:
            return await self._create(session, expiry)
        if expiry is not None:
            raise InvalidArgumentError(
                "the expiry of a session that exists is changed by expire(); create() makes a new one"
            )
        keys = self._codec.dump(session)
        if stored.deadline is not None:
            stored = await self._not_overdue(stored)
        anyway = stored.unsure if self._index is None else self._written_anyway(stored, keys, self._index.fields)
        changed, removed, after = self._codec.changes(session, keys, stored.keys, anyway)
        if self._client.is_remote and self._alteration.is_due(keys.text):
            await self._alteration.refuse_altered(keys, changed if stored.outdated is None else keys.names)
        # Until it is acknowledged nobody knows what is stored under these names: the next save writes them in any case.
        set_stored(session, msgspec.structs.replace(stored, unsure=stored.unsure.union(changed, removed)))
        if stored.outdated is None and not self._verifies_version and not (stored.by_another and changed):
            write = partial(self._access.change, stored.tkn, changed, removed)
        else:
            write = partial(self._upgrading.save, stored, changed, removed)
        if self._index is None:
            await write()
        else:
            moved = changed if stored.outdated is None else split_members(after)
            await change_indexed(self._index, stored, {**moved, **dict.fromkeys(removed, _NULL)}, write)
        written = Stored(stored.tkn, after, stored.deadline)
        if stored.by_another and not changed:
            written = msgspec.structs.replace(written, by_another=True)
        set_stored(session, written)
        return session

    async def _not_overdue(self, stored: Stored) -> Stored:
        """Return what is known of a session, with its absolute end as it is now if it should be over.

        Raises as `SessionAccess.read`.
        """
        if stored.deadline is None or stored.deadline > self._lifetimes.now():
            return stored
        try:
            read = await self._access.read(stored.tkn, (), Reading.UPKEEP)  # it may have been given another expiry
        except SessionGoneError as exc:
            raise SessionExpiredError(self._name, stored.tkn) from exc
        return msgspec.structs.replace(stored, deadline=read.deadline)

    def _written_anyway(self, stored: Stored, keys: ObjectText, looked_up: Iterable[str]) -> Collection[str]:
        """Return the keys that a save writes whether or not they changed.

        A default that is not stored is equal, but others look for what is stored.
        """
        before = names_in(stored.keys)
        return stored.unsure.union(name for name in looked_up if name in keys.names and name not in before)

    async def get(self, tkn: SessionToken, *, extend: bool = True) -> M:
        """Return the session of this token.

        A session that may live longer than its class allows is brought under it, see docs/repository.md.

        Args:
            tkn: the token.
            extend: count as a read, which extends the expiry where reading does; False extends nothing.

        Raises:
            StoredDataError: what is stored does not fit the model.
            UnsupportedError: `extend=False`, and the server is a NemesisDB, which cannot read so.
        """
        codec = self._codec
        names = await self._names(tkn) if codec.open else codec.names
        read = await self._access.read(tkn, names, USE if extend else LOOK)
        if self._takes_care or (not read.usual and self._upgrading.is_due(read)):
            return await self._take(tkn, read, rewrites=extend)
        session = codec.load(read.text, tkn)
        envelope = read.envelope
        if envelope is not None and read.usual:
            stored = Stored(tkn, read.text, envelope.deadline)
        else:
            stored = Stored(tkn, read.text, read.deadline, by_another=read.is_by_another_form(self._by))
        set_stored(session, stored)
        return session

    async def _names(self, tkn: SessionToken) -> tuple[str, ...]:
        """Return which keys to read: those of the fields, and whatever there is where the class is open."""
        if not self._codec.open:
            return self._codec.names
        return () if self._upgrading.reads_whole else await self._access.names(tkn)

    async def _take(self, tkn: SessionToken, read: Read, *, rewrites: bool = True) -> M:
        """Make a model of what was read of a session. If it `rewrites`, an upgrade may be written back at once."""
        upgrading = self._upgrading
        seen, outdated = read, None
        try:
            if upgrading.reads_whole or upgrading.is_due(read):
                read, outdated = await upgrading.upgraded(tkn, read)
            session = self._codec.load(read.text, tkn)
        except (StoredDataError, OlderVersionError) as exc:
            if not self._ends_invalid or isinstance(exc, UpgradeError):
                raise
            if self._may_be_newer(seen):
                exc.add_note(_LEFT)
                raise
            await self._end(tkn, read.keys)
            raise SessionGoneError(self._name, tkn) from exc
        by_another = seen.is_by_another_form(self._by)
        set_stored(session, Stored(tkn, read.text, read.deadline, by_another=by_another, outdated=outdated))
        if outdated is not None and self._rewrites and rewrites:
            await self.save(session)
        return session

    def _may_be_newer(self, read: Read) -> bool:
        """Tell whether newer code may have written this: of the same version, and of another form of the class."""
        envelope = read.envelope
        return (
            envelope is not None
            and envelope.version == self._options.version
            and envelope.by is not None
            and envelope.by != self._by
        )

    async def _end(self, tkn: SessionToken, keys: Mapping[str, bytes]) -> bool:
        ended = await self._access.end(tkn)
        if self._index is not None:
            await self._index.forget(Sighting(tkn, Standing.LIVING, keys))
        return ended

    def _checked(self, session: M) -> M:
        if type(session) is not self._model:
            raise InvalidArgumentError(f"this repository stores {self._name}, not {_described(session)}")
        return session


def _created(session: M, keys: ObjectText, tkn: SessionToken, lifetime: Lifetime) -> M:
    """Return a model with the token that it was stored under; one that has another by now is left with that."""
    if stored_of(session) is not None:  # before, or meanwhile
        session = session.model_copy(deep=True)
    set_stored(session, Stored(tkn, keys.text, lifetime.deadline))
    return session


def check_expiry(given: object) -> None:
    """Refuse what is no expiry.

    Raises:
        InvalidArgumentError: it is neither an `Expiry` nor None.
    """
    if not (given is None or isinstance(given, Expiry)):
        raise InvalidArgumentError(f"expiry= is an Expiry, not a {type(given).__name__}")


def _described(given: object) -> str:
    """Return what was given for a model, and what to do where that is a common mistake."""
    if isinstance(given, type):
        return f"the class {given.__name__}; make an instance of it"
    return "a token; get(tkn) reads its session" if type(given) is int else type(given).__name__


def known(session: SessionModel) -> Stored:
    """Return what is known of the session of a model that has one."""
    stored = stored_of(session)
    if stored is None:
        raise NotSavedError(type(session).__name__)
    return stored


def _check_arguments(client: object, model: object, on_invalid: object) -> None:
    if not isinstance(client, NdbClient):
        raise InvalidArgumentError(
            "a Repository needs an open NdbClient: async with NdbClient.connect(uri) as client:"
            " repo = Repository(client, UserSession)"
        )
    if not (isinstance(model, type) and issubclass(model, SessionModel)):
        raise InvalidArgumentError("a Repository stores a subclass of SessionModel: Repository(client, UserSession)")
    if model is SessionModel:
        raise InvalidArgumentError("SessionModel has no fields: declare a subclass of it")
    if on_invalid not in ("raise", "end"):
        raise InvalidArgumentError("on_invalid is 'raise' or 'end'")
