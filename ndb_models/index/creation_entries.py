"""The index entries of a session that is being created."""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ndb_models.index.catalogue import Catalogue, NewSet
from ndb_models.index.stored_entries import IndexEntry
from ndb_models.protocol.prepared import Prepared
from ndb_models.schema.lookup import LookupValue
from ndb_models.tokens import draw_token
from ndb_models.types import SessionToken


class EntryWriter(Protocol):
    """Writes entries of one schema: the index.

    Attributes:
        catalogue: finds the entry sets of values.
        contested: True if creations of the schema are contested.
    """

    catalogue: Catalogue
    contested: bool

    def is_unique(self, value: LookupValue) -> bool:
        """Return True if at most one session may have a value of this field."""

    def first_entry(self, value: LookupValue, tkn: SessionToken) -> IndexEntry:
        """Return the entry of a session that is the first one under a value."""

    async def enter(
        self, value: LookupValue, tkn: SessionToken, heir_of: SessionToken | None, at: SessionToken | None
    ) -> str | None:
        """List a session under a value. Return the number of its claim to a unique value."""


class CreationEntries:
    """The entries of a session that is being created. They are its `sessions.creation.Entries`.

    Args:
        index: the index.
        values: the values that the session will have.
        heir_of: the session that it replaces, if any.
        sets: the entry sets of the values, by their names, where there are any.

    Attributes:
        contested: see `sessions.creation.Entries`.
        claims: the numbers of its claims to unique values.
    """

    def __init__(
        self,
        index: EntryWriter,
        values: Sequence[LookupValue],
        heir_of: SessionToken | None,
        sets: Mapping[str, SessionToken],
    ) -> None:
        self._index = index
        self._values = values
        self._heir_of = heir_of
        self._sets = sets
        self._new: dict[str, NewSet] = {}
        self.contested: bool = index.contested
        self.claims: dict[LookupValue, str] = {}

    def along(self, tkn: SessionToken) -> Sequence[Prepared]:
        """Return the requests that make the missing sets.

        None is made if a unique value may be taken: the set would stay, and stand for nothing.
        """
        requests: list[Prepared] = []
        if self.contested and any(value.name in self._sets and self._index.is_unique(value) for value in self._values):
            return requests
        for value in self._values:
            if value.name not in self._sets:
                new = self._new[value.name] = NewSet(draw_token(), self._index.first_entry(value, tkn))
                requests.append(new.request)
        return requests

    async def enter(self, tkn: SessionToken, *, along: bool) -> None:
        """List the session under its values."""
        new = self._new
        named = await self._index.catalogue.name(new) if along and new else {}
        for value in self._values:
            at = named.get(value.name)
            if at is not None and at == new[value.name].tkn:
                key: str | None = new[value.name].first.key
            else:
                key = await self._index.enter(value, tkn, self._heir_of, at or self._sets.get(value.name))
            if self.contested and key is not None and self._index.is_unique(value):
                self.claims[value] = key
