"""Saves that are merged with the changes of others, instead of writing over them.

The stored texts of changed fields are compared in the step that writes them. If one differs, the session is read again,
the change is made to the model as it is stored by now, and that is tried. The later write wins where nothing can be
merged: such fields are not compared.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final, Generic, TypeVar

from ndb_models.client import NdbClient
from ndb_models.client.requester import unsupported
from ndb_models.errors import ConflictError, ConnectionLostError, UnsupportedError
from ndb_models.expectations import Expected
from ndb_models.index.changing import change_indexed
from ndb_models.index.index import Index
from ndb_models.json_text import NO_KEYS, ObjectText, split_members
from ndb_models.repository.telling import ToldChange
from ndb_models.schema.changes import Changes, set_values, value_of
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.schema.merging import Merger
from ndb_models.schema.model import SessionModel, Stored, set_stored, stored_of, take_over
from ndb_models.schema.value_merging import is_same
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.locks import MERGES
from ndb_models.sessions.reading import UPKEEP
from ndb_models.sessions.upgrading import Upgrading
from ndb_models.sessions.writing import SH_CHANGE, ContestedError
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)

ATTEMPTS: Final = 100
"""The attempts at a change before it is given up. One of those who collide succeeds each time."""

# Lost connections that one save bears, if it may be repeated.
_LOSSES: Final = 3

# Seconds before the next attempt: chosen at random up to a bound that doubles from the first to the second.
_SHORTEST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.25

# The text of a removed field: null is not looked up.
_NULL: Final = b"null"


async def pause(attempts: int) -> None:
    """Wait before the next attempt, longer after more of them. After the first there is no wait."""
    if attempts > 1:
        await asyncio.sleep(random.uniform(0, min(_SHORTEST_PAUSE * 2**attempts, _LONGEST_PAUSE)))


class MergedSaves(Generic[M]):
    """Writes the changes of models of one class, merged with those of others.

    Args:
        client: an open client.
        model: the class.
        codec: the codec of the class.
        access: the access to its sessions.
        upgrading: reads and writes its sessions of other versions.
        index: its index, if it has lookup fields.
        read: returns the model of a session as it is stored, without extending it.
        save: saves a model, as `Repository.save`.
        verifies_version: True to check with each write that no newer code has upgraded the session.
    """

    def __init__(
        self,
        client: NdbClient,
        model: type[M],
        codec: ModelCodec[M],
        access: SessionAccess,
        upgrading: Upgrading,
        index: Index | None,
        read: Callable[[SessionToken], Awaitable[M]],
        save: Callable[[M], Awaitable[M]],
        *,
        verifies_version: bool,
    ) -> None:
        self._client = client
        self._name = model.__name__
        self._codec = codec
        self._access = access
        self._upgrading = upgrading
        self._index = index
        self._read = read
        self._save = save
        self._verifies_version = verifies_version
        self._merger = Merger(model)
        self.uncompared: frozenset[str] = self._merger.uncompared
        """Fields whose stored value is never compared: the later write wins."""

    def compared(self, session: M, names: Collection[str]) -> list[str]:
        """Return those of the changed keys whose stored values are to be compared when they are written.

        Raises:
            UnsupportedError: a changed field is marked, and the server is a NemesisDB, which cannot compare.
        """
        needs_compare = self._merger.needs_compare
        compared = [name for name in names if needs_compare(name, None, value_of(session, name))]
        if compared and not self._client.may_know(SH_CHANGE):
            self._refuse_marked(compared)
            return []
        return compared

    def _refuse_marked(self, names: Collection[str]) -> None:
        marked = sorted(self._merger.marked.intersection(names))
        if marked:
            raise unsupported(f"the Merge mark of {self._name}.{marked[0]}", SH_CHANGE)

    async def save(
        self,
        session: M,
        stored: Stored,
        keys: ObjectText,
        changes: Changes,
        compared: list[str],
        told: ToldChange[M] | None,
    ) -> bool:
        """Write the changes of a model, and note what is stored. Return False if the server cannot compare.

        Args:
            session: the model.
            stored: the stored state of its session as it was read or saved.
            keys: the keys that the model is written as.
            changes: what changed since then.
            compared: the keys whose stored values are compared.
            told: notes what was written, if there are hooks to tell.
        """
        written: frozenset[str] = frozenset()
        try:
            if stored.outdated is None and changes.names.isdisjoint(stored.unsure):
                await self._write(stored, changes, self._texts(changes, compared), told)
                set_stored(session, Stored(stored.tkn, changes.after, stored.deadline))
                return True
        except UnsupportedError:
            self._refuse_marked(compared)
            return False
        except ContestedError as exc:
            written = exc.written
        except ConnectionLostError as exc:
            if not (exc.maybe_done and self._may_repeat(stored, keys, changes.names)):
                raise
        async with MERGES.holding(self._client, stored.tkn):
            await self._merge(session, stored, keys, changes.names - written, told)
        return True

    async def _merge(
        self, session: M, stored: Stored, keys: ObjectText, names: Collection[str], told: ToldChange[M] | None
    ) -> None:
        """Make the changes of a model to its session as it is stored by now, and bring the model up to date."""
        tkn, codec = stored.tkn, self._codec
        base, mine = codec.load(stored.keys, tkn), codec.load(keys.text, tkn)
        losses = 0
        for attempt in range(1, ATTEMPTS):
            theirs = await self._read(tkn)
            now = _known(theirs)
            if now.outdated is not None:
                await self._save(theirs)
                continue
            set_values(theirs, self._merger.merge(base, mine, theirs, names), names)
            merged = codec.dump(theirs)
            changes = codec.changes(theirs, merged, now.keys)
            try:
                if changes.names:
                    await self._write(now, changes, self._texts(changes, self.compared(theirs, changes.names)), told)
                else:  # another attempt was successful, or others made the same change
                    await self._access.change(tkn, NO_KEYS, ())
            except ContestedError as exc:
                names = frozenset(names) - exc.written
                await pause(attempt)
            except ConnectionLostError as exc:
                losses += 1
                if losses == _LOSSES or not (exc.maybe_done and self._may_repeat(stored, keys, names)):
                    raise
            else:
                self._bring_up_to_date(session, mine, keys, theirs)
                set_stored(session, Stored(tkn, merged.text, now.deadline))
                return
        raise ConflictError(self._name, min(names), ATTEMPTS)

    def _bring_up_to_date(self, session: M, mine: M, keys: ObjectText, merged: M) -> None:
        """Give a model the merged values, and make the changes to them that it has got meanwhile."""
        pending = self._codec.changes(session, self._codec.written(session), keys.text).names
        if pending:
            set_values(merged, self._merger.merge(mine, session, merged, pending), pending)
        private = session.__pydantic_private__
        take_over(session, merged)
        object.__setattr__(session, "__pydantic_private__", private)

    async def save_unless_changed(self, session: M, stored: Stored, told: ToldChange[M] | None) -> bool:
        """Write the changes of a model if no field of its session has changed since; tell whether that was so.

        Raises:
            UnsupportedError: the server is a NemesisDB, which cannot compare.
        """
        if stored.outdated is not None:
            await self._save(await self._read(stored.tkn))
            return False
        keys = self._codec.dump(session)
        changes = self._codec.changes(session, keys, stored.keys)
        expected: dict[str, bytes | None] = {**dict.fromkeys(changes.names), **split_members(stored.keys)}
        try:
            await self._write(stored, changes, expected, told)
        except ContestedError:
            return False
        set_stored(session, Stored(stored.tkn, changes.after, stored.deadline))
        return True

    async def _write(self, stored: Stored, changes: Changes, expected: Expected, told: ToldChange[M] | None) -> None:
        """Write changes if the keys are as expected.

        Raises:
            ContestedError: they are not, or other code wrote the session in another version.
        """
        changed = changes.changed
        if stored.by_another or self._verifies_version:
            read = await self._access.read(stored.tkn, (), UPKEEP)
            if self._upgrading.is_due(read):
                raise ContestedError
            changed = self._upgrading.signed(read, changed)
            expected = {**expected, RESERVED_KEY: read.reserved} if read.envelope is not None else expected
        write: Callable[[], Awaitable[None]]
        write = partial(self._access.change_if, stored.tkn, changed, changes.removed, expected)
        if told is not None:
            write = told.noting(write, changes.names)
        if self._index is None:
            await write()
        else:
            moved = {**changes.changed, **dict.fromkeys(changes.removed, _NULL)}
            await change_indexed(self._index, stored, moved, write)

    @staticmethod
    def _texts(changes: Changes, names: Collection[str]) -> Expected:
        """Return the stored texts of keys; None for those that are not stored."""
        return {name: bytes(changes.before[name]) if name in changes.before else None for name in names}

    def _may_repeat(self, stored: Stored, keys: ObjectText, names: Collection[str]) -> bool:
        """Tell whether changes may be made once more, when it is not known whether they were made.

        That is so if they make no difference where they were made: it is of a sum, and of what is appended to a list.
        """
        base, mine = (self._codec.load(text, stored.tkn) for text in (stored.keys, keys.text))
        try:
            again = self._merger.merge(base, mine, mine, names)
        except ConflictError:
            return False
        return all(is_same(again[name], value_of(mine, name)) for name in names if name in again)


def _known(session: SessionModel) -> Stored:
    stored = stored_of(session)
    assert stored is not None
    return stored
