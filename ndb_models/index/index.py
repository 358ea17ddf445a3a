"""The index of one schema: for every value of a lookup field, the sessions that have it.

One rule holds at every moment, even if a process dies between two commands: a session that can be read is listed under
its values. So an entry is added before the write that makes it true, and removed after the write that makes it false. A
stale entry lists a session that is gone, or has another value. The next reader of the entry finds that out (see
`finding`).

Two processes may change a field of one session at once, one away from a value and the other back to it. The last step
of the first could then remove the entry that the second has added. So each process puts its own entry again after its
write. After removing an entry, it checks once more whether the entry is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence, Set
from typing import Final

from msgspec import Raw

from ndb_models.client import NdbClient
from ndb_models.errors import (
    DuplicateError,
    InvalidArgumentError,
    NdbError,
    SessionGoneError,
)
from ndb_models.index.catalogue import Catalogue, EntrySet
from ndb_models.index.creation_entries import CreationEntries
from ndb_models.index.entries import VACANT, IndexEntry, later_claim, leads
from ndb_models.index.session_state import SeenSession, SessionExaminer
from ndb_models.index.unique_claims import UniqueClaims
from ndb_models.json_text import ObjectText
from ndb_models.schema.lifetime import Lifetime
from ndb_models.schema.lookup import Lookup, LookupValue, digest, index_prefix, lookups_of
from ndb_models.schema.model import SessionModel
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.creation import SessionCreation
from ndb_models.sessions.upgrading import Upgrading
from ndb_models.types import Clock, SessionToken

_NULL: Final = b"null"
# Attempts at a creation that others refuse without taking the value.
_CREATIONS: Final = 8


def index_of(
    client: NdbClient,
    access: SessionAccess,
    creation: SessionCreation,
    upgrading: Upgrading,
    model: type[SessionModel],
    schema: str,
    *,
    foreign: bool,
    clock: Clock,
) -> Index | None:
    """Return the index of a class's sessions, which are stored as this schema; None if it has no lookup field.

    Raises:
        SchemaError: a field cannot be looked up.
        InvalidArgumentError: the class has a unique field, and accepts sessions of other clients, which claim no
            values.
    """
    lookups = lookups_of(model)
    if foreign and any(lookup.unique for lookup in lookups.values()):
        raise InvalidArgumentError(
            f"{model.__name__} has a unique field, and other clients do not keep it so: leave foreign=True out"
        )
    if not lookups:
        return None
    return Index(client, access, creation, upgrading, model.__name__, schema, lookups, clock)


class Index:
    """Creates sessions with their entries, and keeps the entries of sessions that change.

    Args:
        client: an open client.
        access: the access to the sessions of the schema.
        creation: creates sessions of the schema.
        upgrading: upgrades sessions of the schema.
        model: the name of the class, for errors.
        schema: the name of the schema.
        lookups: the lookup fields.
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
        # Unique fields come first: a refusal of one leaves no entries of others behind.
        self.lookups: dict[str, Lookup] = dict(sorted(lookups.items(), key=lambda item: not item[1].unique))
        self.fields: tuple[str, ...] = tuple(self.lookups)
        self.contested: bool = any(lookup.unique for lookup in lookups.values())
        self._prefixes = {field: index_prefix(schema, field) for field in self.fields}
        self._clock = clock
        self.catalogue: Catalogue = Catalogue(client)
        self.examiner: SessionExaminer = SessionExaminer(access, upgrading, self.fields, contested=self.contested)
        self._claims = UniqueClaims(client, model, access, self.examiner, self.catalogue, self.now)

    def now(self) -> int:
        """Return the time in milliseconds since 1970."""
        return int(self._clock() * 1000)

    def value(self, field: str, text: bytes) -> LookupValue | None:
        """Return the value of a field that is given as JSON, or None for null, which is not looked up."""
        if text.strip() == _NULL:
            return None
        hashed = digest(text)
        return LookupValue(field, self._prefixes[field] + hashed, hashed, text)

    def hashed(self, field: str, hashed: str) -> LookupValue:
        """Return a value that is given by its hash."""
        return LookupValue(field, self._prefixes[field] + hashed, hashed)

    def values(self, keys: Mapping[str, bytes | Raw]) -> dict[str, LookupValue]:
        """Return the values that a session with these keys is listed under, by field."""
        values: dict[str, LookupValue] = {}
        for field in self.fields:
            if field in keys:
                value = self.value(field, bytes(keys[field]))
                if value is not None:
                    values[field] = value
        return values

    def values_of(self, seen: SeenSession) -> list[LookupValue]:
        """Return the values that a session is listed under: the stored ones, and those that its class reads."""
        stored, made = self.values(seen.keys), self.values(seen.made() or {})
        return [*dict.fromkeys((*stored.values(), *made.values()))]

    # Sessions

    async def create(
        self,
        keys: ObjectText,
        lifetime: Lifetime,
        version: int | None = None,
        *,
        by: str | None = None,
        heir_of: SeenSession | None = None,
    ) -> SessionToken:
        """Create a session as `SessionCreation.create` does, and list it under its values.

        A session given as `heir_of` passes its values on to the new one. If others refuse the creation, but do not take
        the value either, it is begun again.

        Raises:
            DuplicateError: a unique value is taken.
            SessionGoneError: the session was ended while it was created.
        """
        values = [*self.values(keys.raw).values()] if heir_of is None else self.values_of(heir_of)
        names = tuple([value.name for value in values])
        refused: list[LookupValue] = []
        for _ in range(_CREATIONS):
            sets = await self.catalogue.tokens(names) if names else {}
            entries = CreationEntries(self, values, None if heir_of is None else heir_of.tkn, sets)
            try:
                return await self._creation.create_in_parts(keys, lifetime, version, by, entries)
            except SessionGoneError as exc:
                gone = exc
            refused = await self._refused(entries.claims)
            if not refused:
                raise gone  # others have ended it
        raise DuplicateError(self._model, refused[0].field)

    async def _refused(self, claims: Mapping[LookupValue, str]) -> list[LookupValue]:
        """Return the values for which a creation was refused: others made later claims to them.

        If this returns, the creation can be tried again.

        Raises:
            DuplicateError: another session has one of the values, or is about to.
        """
        refused: list[LookupValue] = []
        for value, key in claims.items():
            later = later_claim(await self._entries(value), key)
            if later is not None:
                if later.tkn != VACANT:
                    raise DuplicateError(self._model, value.field)
                refused.append(value)
        return refused

    # Entries

    def is_unique(self, value: LookupValue) -> bool:
        """Return True if at most one session may have a value of this field."""
        return self.lookups[value.field].unique

    async def _entries(self, value: LookupValue) -> Sequence[IndexEntry]:
        return await self.catalogue.use(value.name, EntrySet.entries) or ()

    async def enter(
        self,
        value: LookupValue,
        tkn: SessionToken,
        heir_of: SessionToken | None = None,
        at: SessionToken | None = None,
    ) -> str | None:
        """List a session under a value that it is about to have. Return the number of its claim to a unique value.

        `at` is the entry set of the value, if it is known.
        """
        if self.is_unique(value):
            return await self._claims.claim(value, tkn, heir_of, at)
        await self._put(value, tkn, at)
        return None

    async def _put(self, value: LookupValue, tkn: SessionToken, at: SessionToken | None = None) -> None:
        entry = self._entry(tkn)
        await self.catalogue.use(value.name, lambda entries: entries.put(entry), entry, at=at)

    def _entry(self, tkn: SessionToken) -> IndexEntry:
        return IndexEntry(str(tkn), tkn, int(self._clock() * 1000))

    def first_entry(self, value: LookupValue, tkn: SessionToken) -> IndexEntry:
        """Return the entry of a session that is the first one under a value."""
        if self.contested and self.lookups[value.field].unique:
            return self._claims.first(tkn)
        return self._entry(tkn)

    async def restore(self, value: LookupValue, tkn: SessionToken) -> None:
        """List a session again, if it was given the value while its entry was removed."""
        if (await self.examiner.examine(tkn)).has(value):
            await self.keep(value, tkn)

    async def add(self, value: LookupValue, tkn: SessionToken) -> None:
        """List a session under a value that it had when it was read.

        If the session has left the value since, the entry is removed again.

        Raises:
            DuplicateError: the value is unique, and another session has it.
        """
        await self.keep(value, tkn)
        if not (await self.examiner.examine(tkn)).has(value):
            await self.leave(value, tkn)
            await self.restore(value, tkn)

    async def keep(self, value: LookupValue, tkn: SessionToken) -> None:
        """Make sure that a session is listed under a value that it has.

        Raises:
            DuplicateError: the value is unique, and another session has it.
        """
        if self.is_unique(value):
            await self._claims.keep(value, tkn)
        else:
            await self._put(value, tkn)

    async def is_listed(self, value: LookupValue, tkn: SessionToken) -> bool:
        """Return True if a session is listed under a value."""
        if self.is_unique(value):
            return leads(await self._entries(value), tkn)
        return bool(await self.catalogue.use(value.name, lambda entries: entries.has(str(tkn))))

    async def leave(self, value: LookupValue, tkn: SessionToken) -> None:
        """Remove a session from the entries of a value."""
        if self.is_unique(value):
            await self._claims.give_up(value, lambda claim: claim.tkn == tkn)
        else:
            await self.drop(value, {(str(tkn), tkn)})

    async def drop(self, value: LookupValue, entries: Set[tuple[str, SessionToken]]) -> None:
        """Remove entries of a value, given by their keys and tokens."""
        if self.is_unique(value):
            await self._claims.give_up(value, lambda claim: claim.identity in entries)
        else:
            keys = [key for key, _ in entries]
            await self.catalogue.use(value.name, lambda listed: listed.remove(keys))

    async def abandon(self, tkn: SessionToken) -> bool:
        """End a session with an unfinished creation. Return False, and leave it, if it was finished meanwhile."""
        if self.contested:
            return await self.access.refuse(tkn)
        await self.access.end(tkn)
        return True

    async def forget(self, ended: SeenSession) -> None:
        """Remove the entries of a session that has ended; it is given as it was before.

        Entries that cannot be removed now are found out by later readers.
        """
        with contextlib.suppress(NdbError):  # the session has ended, as requested
            for value in self.values_of(ended):
                await self.leave(value, ended.tkn)
