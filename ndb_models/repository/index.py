"""The index of one schema: for every value of a field that is looked up, the sessions that have it.

What holds at every moment, whoever dies between two commands: a session that can be read is listed under its values.
So entries come before the write that makes them true, and go after the one that makes them false; what is left behind
lists a session that is not there, or has another value, and is found out by whoever reads it (see `finding`).

Two who change a field of one session at once, one away from a value and the other back to it, could meet so that the
first one's last step removes what the second one has added. So each puts its own entry again after its write, and who
has removed one looks once more whether it is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Set
from functools import partial
from typing import Final

from ndb_models.client import NdbClient
from ndb_models.errors import (
    DuplicateError,
    InvalidArgumentError,
    NdbError,
    SessionGoneError,
)
from ndb_models.repository.access import SessionAccess
from ndb_models.repository.claims import Claims, leads
from ndb_models.repository.creation import Entry, SessionCreation
from ndb_models.repository.directory import NOBODY, Directory, IndexSet, Member
from ndb_models.repository.standing import Examiner, Sighting, Value
from ndb_models.repository.upgrading import Upgrading
from ndb_models.schema.lifetime import Lifetime
from ndb_models.schema.lookup import Lookup, digest, index_prefix, lookups_of
from ndb_models.schema.model import SessionModel
from ndb_models.texts import ObjectText
from ndb_models.types import Clock, SessionToken

_NULL: Final = b"null"
# How often a creation is begun that others refuse, who then do not take the value either.
_CREATIONS: Final = 8


def index_of(
    client: NdbClient,
    access: SessionAccess,
    creation: SessionCreation,
    upgrading: Upgrading,
    model: type[SessionModel],
    *,
    foreign: bool,
    clock: Clock,
) -> Index | None:
    """Return the index of a class's sessions, or None where no field is looked up.

    Raises:
        SchemaError: a field cannot be looked up.
        InvalidArgumentError: the class has a unique field, and sessions of other clients, who claim nothing, are taken.
    """
    lookups = lookups_of(model)
    if foreign and any(lookup.unique for lookup in lookups.values()):
        raise InvalidArgumentError(
            f"{model.__name__} has a unique field, and other clients do not keep it so: leave foreign=True out"
        )
    if not lookups:
        return None
    return Index(client, access, creation, upgrading, model.__name__, model.session_options.schema, lookups, clock)


class Index:
    """Writes sessions, and keeps their entries. Where it has nothing to do, it does what `SessionAccess` does.

    Args:
        client: an open client.
        access: to the sessions of the schema.
        creation: of the same.
        upgrading: of the same.
        model: the name of the class, for errors.
        schema: the name of the schema.
        lookups: the fields that are looked up.
        clock: tells the time in seconds since 1970.
    """

    def __init__(
        self,
        client: NdbClient,
        access: SessionAccess,
        creation: SessionCreation,
        upgrading: Upgrading,
        model: str,
        schema: str,
        lookups: Mapping[str, Lookup],
        clock: Clock,
    ) -> None:
        self.client: NdbClient = client
        self.access: SessionAccess = access
        self._creation = creation
        self._model = model
        self.schema: str = schema
        # Those that can be refused come first: what is entered for nothing has to be found out later.
        self.lookups: dict[str, Lookup] = dict(sorted(lookups.items(), key=lambda item: not item[1].unique))
        self.fields: tuple[str, ...] = tuple(self.lookups)
        self.contested: bool = any(lookup.unique for lookup in lookups.values())
        self.directory: Directory = Directory(client)
        self.examiner: Examiner = Examiner(access, upgrading, self.fields, contested=self.contested, clock=clock)
        self._claims = Claims(client, model, access, self.examiner)

    def value(self, field: str, text: bytes) -> Value | None:
        """Return a value that is looked up, given as JSON, or None if it is null, which is none."""
        return None if text.strip() == _NULL else self.hashed(field, digest(text))

    def hashed(self, field: str, hashed: str) -> Value:
        """Return a value that is given by its hash."""
        return Value(field, hashed, index_prefix(self.schema, field) + hashed)

    def values(self, keys: Mapping[str, bytes]) -> dict[str, Value]:
        """Return the values that a session of these keys is listed under, by their fields."""
        values = {field: self.value(field, keys[field]) for field in self.fields if field in keys}
        return {field: value for field, value in values.items() if value is not None}

    def values_of(self, session: Sighting) -> list[Value]:
        """Return the values that a session is listed under: those that are stored, and those that its class reads."""
        stored, made = self.values(session.keys), self.values(session.made() or {})
        return [*dict.fromkeys((*stored.values(), *made.values()))]

    # Sessions

    async def create(
        self,
        keys: ObjectText,
        lifetime: Lifetime,
        version: int | None = None,
        *,
        by: str | None = None,
        heir_of: Sighting | None = None,
    ) -> SessionToken:
        """Create a session as `SessionCreation.create` does, `heir_of` another one whose values it takes over.

        A creation that others refused is begun again if they do not take the value either.

        Raises:
            DuplicateError: a unique value is taken.
            SessionGoneError: somebody ended the session while it was created.
        """
        values = [*self.values(keys).values()] if heir_of is None else self.values_of(heir_of)
        heir = None if heir_of is None else heir_of.tkn
        claims: dict[Value, str] = {}

        async def enter(tkn: SessionToken) -> None:
            claims.clear()
            for value in values:
                key = await self.enter(value, tkn, heir)
                if key is not None:
                    claims[value] = key

        refused: list[Value] = []
        for _ in range(_CREATIONS):
            try:
                return await self._creation.create(keys, lifetime, version, Entry(enter, self.contested), by)
            except SessionGoneError as exc:
                gone = exc
            refused = await self._refused(claims)
            if not refused:
                raise gone  # others have ended it
        raise DuplicateError(self._model, refused[0].field)

    async def _refused(self, claims: Mapping[Value, str]) -> list[Value]:
        """Return the values for which a creation was refused: there are, or were, later claims to them.

        Raises:
            DuplicateError: another session has one of them, or is about to. Otherwise it can be tried again.
        """
        refused: list[Value] = []
        for value, key in claims.items():
            members = await self.directory.consult(value.name, IndexSet.members) or []
            if members and int(members[-1].key) > int(key):
                if members[-1].tkn != NOBODY:
                    raise DuplicateError(self._model, value.field)
                refused.append(value)
        return refused

    # Entries

    def is_unique(self, value: Value) -> bool:
        """Tell whether at most one session may have a value of this field."""
        return self.lookups[value.field].unique

    async def enter(self, value: Value, tkn: SessionToken, heir_of: SessionToken | None = None) -> str | None:
        """List a session under a value that it is about to have; return the number of its claim if it has one."""
        if self.is_unique(value):
            return await self.directory.use(
                value.name, lambda claims: self._claims.claim(claims, value, tkn, heir_of=heir_of)
            )
        await self.directory.use(value.name, partial(_put, self._member(tkn)))
        return None

    def _member(self, tkn: SessionToken) -> Member:
        return Member(str(tkn), tkn, self.examiner.now())

    async def restore(self, value: Value, tkn: SessionToken) -> None:
        """List a session again that was given a value while its entry was removed."""
        if (await self.examiner.examine(tkn)).has(value):
            await self.keep(value, tkn)

    async def add(self, value: Value, tkn: SessionToken) -> None:
        """List a session under a value that it had when it was read; not so if it has left it since.

        Raises:
            DuplicateError: the value is unique, and another session has it.
        """
        await self.keep(value, tkn)
        if not (await self.examiner.examine(tkn)).has(value):
            await self.leave(value, tkn)
            await self.restore(value, tkn)

    async def keep(self, value: Value, tkn: SessionToken) -> None:
        """Make sure that a session is listed under a value that it has.

        Raises:
            DuplicateError: the value is unique, and another session has it.
        """
        if self.is_unique(value):
            await self.directory.use(value.name, lambda claims: self._claims.keep(claims, value, tkn))
        else:
            await self.directory.use(value.name, partial(_put, self._member(tkn)))

    async def is_listed(self, value: Value, tkn: SessionToken) -> bool:
        """Tell whether a session is listed under a value."""
        if self.is_unique(value):
            return leads(await self.directory.consult(value.name, IndexSet.members) or (), tkn)
        return bool(await self.directory.consult(value.name, lambda entries: entries.has(str(tkn))))

    async def leave(self, value: Value, tkn: SessionToken) -> None:
        """List a session under a value no longer."""
        if self.is_unique(value):
            await self.directory.consult(
                value.name, lambda claims: self._claims.give_up(claims, lambda member: member.tkn == tkn)
            )
        else:
            await self.drop(value, {(str(tkn), tkn)})

    async def drop(self, value: Value, entries: Set[tuple[str, SessionToken]]) -> None:
        """Remove entries from under a value, given by their keys and tokens."""
        if self.is_unique(value):
            await self.directory.consult(
                value.name, lambda claims: self._claims.give_up(claims, lambda member: member[:2] in entries)
            )
        else:
            keys = [key for key, _ in entries]
            await self.directory.consult(value.name, lambda listed: listed.remove(keys))

    async def abandon(self, tkn: SessionToken) -> bool:
        """End a session whose creation has come to no end; return False, and leave it, if it did meanwhile."""
        if self.contested:
            return await self.access.refuse(tkn)
        await self.access.end(tkn)
        return True

    async def forget(self, ended: Sighting) -> None:
        """Remove the entries of a session that has ended, as it was before. What cannot be, is found out later."""
        with contextlib.suppress(NdbError):  # it has ended, which is what was asked for
            for value in self.values_of(ended):
                await self.leave(value, ended.tkn)


async def _put(member: Member, entries: IndexSet) -> None:
    await entries.put(member)
