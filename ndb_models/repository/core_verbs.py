"""`create`, `save` and `get`: the verbs that the other verbs of a `Repository` are built on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

import msgspec

from ndb_models.client import NdbClient
from ndb_models.clocks import wall_clock
from ndb_models.errors import (
    InvalidArgumentError,
    OlderVersionError,
    SessionExpiredError,
    SessionGoneError,
    StoredDataError,
    UpgradeError,
)
from ndb_models.index.changing import change_indexed
from ndb_models.index.finding import Finder
from ndb_models.index.index import index_of
from ndb_models.index.session_state import LIVING, SeenSession
from ndb_models.json_text import ObjectText, split_members
from ndb_models.repository.arguments import check_arguments, check_expiry, check_namespace, described
from ndb_models.repository.merged_saves import NULL, MergedSaves
from ndb_models.repository.projecting import Projection
from ndb_models.repository.stored_state import created
from ndb_models.repository.telling import Telling, ToldChange
from ndb_models.schema.changes import NO_NAMES, Changes
from ndb_models.schema.codec import UNFIT, ModelCodec
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.form import form_of
from ndb_models.schema.lookup import lookups_of
from ndb_models.schema.model import SessionModel, Stored, check_definition, set_stored, stored_of
from ndb_models.schema.registry import claim_schema, stored_schema_name
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.altered import AlterationCheck
from ndb_models.sessions.common_reads import CommonReads
from ndb_models.sessions.creation import SessionCreation
from ndb_models.sessions.credentials import SessionCredentials
from ndb_models.sessions.lifetimes import Lifetimes
from ndb_models.sessions.reading import LOOK, USE, Read, ReadEffect
from ndb_models.sessions.upgrading import Upgrading
from ndb_models.types import Clock, SessionToken
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotEntered

M = TypeVar("M", bound=SessionModel)

_LEFT: Final = (
    "on_invalid='end' left the session: another form of the class wrote it, without another version=, and may be newer"
)


class CoreVerbs(Uncopyable, NotEntered, Generic[M]):
    """Makes sessions of models, and models of sessions. Arguments are those of `Repository`."""

    USAGE = "a Repository needs no opening: repo = Repository(client, UserSession); session = await repo.get(tkn)"
    INSTEAD = "it holds a client; make one where it is needed, Repository(client, Model)"

    if not TYPE_CHECKING:  # a type checker reports a missing argument itself

        def __new__(cls, *given, **options):
            """Check the arguments first, for a clearer error than Python's own."""
            if cls.__init__ is CoreVerbs.__init__:
                given = dict(zip(("client", "model"), given, strict=False)) | options
                check_arguments(given.get("client"), given.get("model"), "raise")
            return super().__new__(cls)

    def __init__(
        self,
        client: NdbClient,
        model: type[M],
        *,
        namespace: str | None = None,
        foreign: bool = False,
        on_invalid: Literal["raise", "end"] = "raise",
        rewrite: bool = False,
        verify_version: bool = False,
        clock: Clock = wall_clock,
    ) -> None:
        check_arguments(client, model, on_invalid)
        check_namespace(namespace)
        self._client = client
        self._model = model
        self._name = model.__name__
        self._ends_invalid = on_invalid == "end"
        self._options = model.session_options
        self._options.upgrades.check_chain()
        self._codec: ModelCodec[M] = ModelCodec(model, lookups_of(model))
        self._alteration: AlterationCheck[M] = AlterationCheck(client, model, self._codec)
        check_definition(model)
        claim_schema(model, namespace)
        schema, version = stored_schema_name(model, namespace), self._options.version
        self._by = form_of(model)
        versions = range(self._options.upgrades.oldest, version + 1)
        track = self._options.track
        self._lifetimes = Lifetimes(client, self._options.expiry, versions, clock, tracks=track is not None)
        self._access = SessionAccess(
            client, self._name, schema, version, self._by, self._lifetimes, foreign=foreign, track=track
        )
        self._telling: Telling[M] = Telling(client)
        self._access.tell_overdue = self._telling.tell_overdue
        self._credentials = SessionCredentials(client, self._access)
        self._creation = SessionCreation(client, self._access, self._name, schema, version)
        self._upgrading = Upgrading(client, self._access, self._codec, self._name, self._options.upgrades)
        # True if a read takes more than loading the model, even in the class's version.
        self._examines_reads = self._ends_invalid or self._upgrading.reads_whole
        self._common = CommonReads(self._codec, self._lifetimes, are_examined=self._examines_reads)
        self._rewrites = rewrite
        self._verifies_version = verify_version
        self._views: dict[type, Projection[Any]] = {}
        # None if the class has no lookup field; such a class bears no cost of an index.
        self._index = index_of(
            client, self._access, self._creation, self._upgrading, model, schema, foreign=foreign, clock=clock
        )
        self._creating = self._index or self._creation
        # True if a session that takes a value may end others.
        self._is_limited = any(lookup.limit is not None for lookup in lookups_of(model).values())
        self._merged_saves = MergedSaves(
            client,
            model,
            self._codec,
            self._access,
            self._upgrading,
            self._index,
            self._as_it_is,
            self.save,
            verifies_version=verify_version,
        )
        self._finder = Finder(self._name, self._common, self._access, self._index, self.get, self._take, self._end)

    async def create(self, session: M, *, expiry: Expiry | None = None) -> M:
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
        self._checked(session)
        return await self._create(session, expiry)

    async def _create(self, session: M, expiry: Expiry | None) -> M:
        if expiry is not None:
            check_expiry(expiry)
        keys = self._codec.dump(session)
        if self._client.is_remote and self._alteration.is_due(keys.text):
            await self._alteration.refuse_altered(keys, keys.names)
        lifetime = self._lifetimes.begun(expiry)
        session = created(session, keys, await self._creating.create(keys, lifetime), lifetime)
        if self._telling.created:
            await self._telling.tell_created(session)
        if self._is_limited:
            await self._finder.keep_newest(keys)
        return session

    async def save(self, session: M, *, expiry: Expiry | None = None) -> M:
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
        if type(session) is not self._model:
            raise self._misplaced(session)
        stored = stored_of(session)
        if stored is None:
            return await self._create(session, expiry)
        if expiry is not None:
            raise InvalidArgumentError("expire() changes the expiry of a session that exists; create() makes a new one")
        if stored.unsure:
            stored = await self._merged_saves.settled(session)
        changes = self._codec.changes_since(session, stored)
        await self._write_changes(session, stored, changes)
        if self._is_limited:
            await self._finder.keep_newest(ObjectText(changes.after))
        return session

    async def _write_changes(
        self,
        session: M,
        stored: Stored,
        changes: Changes,
        change: ToldChange[M] | None = None,
    ) -> None:
        """Write the changes of a model since its session was read or written as `stored`.

        Tells the hooks, if there are any: what was written is noted in `change`, which is None at the first call.
        """
        if self._telling.changed and change is None:
            await self._telling.carry_out(session, partial(self._write_changes, session, stored, changes))
            return
        if stored.deadline is not None:
            stored = await self._not_overdue(stored)
        changed, removed = changes.changed, changes.removed
        if self._client.is_remote:
            written = changed if stored.outdated is None else ObjectText(changes.after)
            if self._alteration.is_due(written.text):
                await self._alteration.refuse_altered(ObjectText(changes.after), written.names)
        if changes.names:
            # Until the reply comes, the stored values of these keys are unknown: the next save writes them in any case.
            text, deadline, outdated, sent = stored.keys, stored.deadline, stored.outdated, stored.sent
            sent = (changes.after,) if not sent else sent if changes.after in sent else (*sent, changes.after)
            by_another, names = stored.by_another, changes.names
            set_stored(session, Stored(stored.tkn, text, deadline, None, names, by_another, outdated, sent))
            if not names <= self._merged_saves.uncompared:
                expected = self._merged_saves.expected(session, changes)
                if expected and await self._merged_saves.save(session, stored, changes, expected, change):
                    return
        is_current = stored.outdated is None and not self._verifies_version and not (stored.by_another and changed)
        if self._index is not None:
            moved = changed if stored.outdated is None else split_members(changes.after)
            write: Callable[[], Awaitable[None]] = partial(self._upgrading.save, stored, changed, removed)
            if is_current:
                write = partial(self._access.change, stored.tkn, changed, removed)
            if change is not None:
                write = change.noting(write, changes.names)
            await change_indexed(self._index, stored, {**moved, **dict.fromkeys(removed, NULL)}, write)
        elif is_current:
            await self._access.change(stored.tkn, changed, removed)
        else:
            await self._upgrading.save(stored, changed, removed)
        by_another = stored.by_another and not changed
        set_stored(session, Stored(stored.tkn, changes.after, stored.deadline, changes.values, NO_NAMES, by_another))
        if change is not None:
            change.acknowledge(changes.names)

    async def _not_overdue(self, stored: Stored) -> Stored:
        """Return the stored state of a session. If its deadline seems past, the deadline is read again.

        Raises as `SessionAccess.read`.
        """
        if stored.deadline is None or stored.deadline > self._lifetimes.now():
            return stored
        try:
            read = await self._access.read(stored.tkn, (), ReadEffect.UPKEEP)  # its expiry may have been changed
        except SessionGoneError as exc:
            raise SessionExpiredError(self._name, stored.tkn) from exc
        return msgspec.structs.replace(stored, deadline=read.deadline)

    async def get(self, tkn: SessionToken, *, extend: bool = True) -> M:
        """Return the session with this token.

        If the session may live longer than its class allows, it gets the class's limit, see docs/session_expiry.md.

        Args:
            tkn: the token.
            extend: count as a read, which extends the expiry where reads do. False leaves the expiry alone.

        Raises:
            StoredDataError: the stored data does not fit the model.
            UnsupportedError: `extend=False`, and the server is a NemesisDB, which has no such read.
        """
        codec = self._codec
        names = await self._names(tkn) if codec.open else codec.names
        begun = self._access.begin_read(tkn, names, USE if extend else LOOK)
        read = begun if isinstance(begun, Read) else await begun
        if self._examines_reads or (not read.is_common and self._upgrading.is_due(read)):
            return await self._take(tkn, read, rewrites=extend)
        session: M | None
        try:
            session = codec.read(read.text)  # as `load`, without a call
        except UNFIT:
            session = None
        if session is None:
            session = codec.load(read.text, tkn)  # raises the error that says why
        values, by_field = None, codec.by_field
        if by_field is not None and len(session.__pydantic_fields_set__) == by_field.count:  # all fields are stored
            values = by_field.values_of(session.__dict__)
        envelope = read.envelope
        if envelope is not None and read.is_common:
            stored = Stored(tkn, read.text, envelope.deadline, values)
        else:
            stored = Stored(tkn, read.text, read.deadline, values, by_another=read.is_by_another_form(self._by))
        set_stored(session, stored)
        return session

    async def _as_it_is(self, tkn: SessionToken) -> M:
        """Return the session with this token, without extending it or writing an upgrade back."""
        read = await self._access.read(tkn, await self._names(tkn), ReadEffect.UPKEEP)
        return await self._take(tkn, read, rewrites=False)

    async def _names(self, tkn: SessionToken) -> tuple[str, ...]:
        """Return the names of the keys to read: the fields, or all keys of the session if the class is open."""
        if not self._codec.open:
            return self._codec.names
        return () if self._upgrading.reads_whole else await self._access.names(tkn)

    async def _take(self, tkn: SessionToken, read: Read, *, rewrites: bool = True) -> M:
        """Make a model of a read. With `rewrites`, an upgrade may be written back at once."""
        upgrading = self._upgrading
        seen, outdated = read, None
        try:
            if upgrading.reads_whole or upgrading.is_due(read):
                read, outdated = await upgrading.upgraded(tkn, read)
            session = self._codec.load(read.text, tkn)
        except (StoredDataError, OlderVersionError) as exc:
            if not self._ends_invalid or isinstance(exc, UpgradeError):
                raise
            if seen.may_be_newer(self._options.version, self._by):
                exc.add_note(_LEFT)
                raise
            await self._end(SeenSession(tkn, LIVING, read.keys))
            raise SessionGoneError(self._name, tkn) from exc
        by_another = seen.is_by_another_form(self._by)
        set_stored(session, Stored(tkn, read.text, read.deadline, by_another=by_another, outdated=outdated))
        if outdated is not None and self._rewrites and rewrites:
            await self.save(session)
        return session

    async def _end(self, seen: SeenSession) -> bool:
        ended = await self._access.end(seen.tkn)
        if ended and (begun := self._telling.begin_ended(seen.tkn, "deleted")) is not None:
            await self._telling.wait(begun)
        if self._index is not None:
            await self._index.forget(seen)
        return ended

    def _checked(self, session: M) -> M:
        if type(session) is not self._model:
            raise self._misplaced(session)
        return session

    def _misplaced(self, session: object) -> InvalidArgumentError:
        return InvalidArgumentError(f"this repository stores {self._name}, not {described(session)}")
