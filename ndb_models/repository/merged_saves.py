"""Saves that are merged with the changes of others, instead of writing over them.

The stored texts of changed fields are compared in the step that writes them. If one differs, the session is read again,
the change is made to the model as it is stored by now, and that is tried. The later write wins where nothing can be
merged: such fields are not compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final, Generic, TypeVar

from ndb_models.client import NdbClient
from ndb_models.client.requester import unsupported
from ndb_models.errors import ConflictError, StoredDataError, UnavailableError, UnstorableError, UnsupportedError
from ndb_models.expectations import NO_EXPECTATIONS, Expected
from ndb_models.index.changing import change_indexed
from ndb_models.index.index import Index
from ndb_models.json_text import NO_KEYS, ObjectText, split_members
from ndb_models.repository.attempts import ATTEMPTS, pause
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

# Writes of unknown outcome that one save bears, if it may be repeated.
_LOSSES: Final = 3

NULL: Final = b"null"
"""The text of a removed field for the index: null is not looked up."""


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
        # Models that are being saved, by identity, each with a future for those who wait for that.
        self._under_way: dict[int, asyncio.Future[None] | None] = {}
        self._merger = Merger(model)
        self.uncompared: frozenset[str] = self._merger.uncompared
        """Fields whose stored value is never compared: the later write wins."""

    def expected(self, session: M, changes: Changes) -> Expected:
        """Return the stored texts of the changed keys that are compared when they are written; None for missing keys.

        Raises:
            UnsupportedError: a changed field is marked, and the server is a NemesisDB, which cannot compare.
        """
        compared = self._merger.to_compare(session, changes.names)
        if not compared:
            return NO_EXPECTATIONS
        if not self._client.may_know(SH_CHANGE):
            self._refuse_marked(compared)
            return NO_EXPECTATIONS
        expected: dict[str, bytes | None] = {}
        for name in compared:
            before = changes.before.get(name)
            expected[name] = None if before is None else bytes(before)
        return expected

    def _refuse_marked(self, names: Collection[str]) -> None:
        marked = sorted(self._merger.marked.intersection(names))
        if marked:
            raise unsupported(f"the Merge mark of {self._name}.{marked[0]}", SH_CHANGE)

    async def save(
        self,
        session: M,
        stored: Stored,
        changes: Changes,
        expected: Expected,
        told: ToldChange[M] | None,
    ) -> bool:
        """Write the changes of a model, and note what is stored. Return False if the server cannot compare.

        Args:
            session: the model.
            stored: the stored state of its session as it was read or saved.
            changes: its changes since then.
            expected: the stored texts of the keys that are compared, as `expected` returned them.
            told: notes the written fields, if there are hooks to tell.
        """
        self._under_way[id(session)] = None
        unknown: list[UnavailableError] = []
        try:
            written: frozenset[str] = frozenset()
            try:
                if stored.outdated is None and changes.names.isdisjoint(stored.unsure):
                    await self._write(stored, changes, expected, told)
                    set_stored(session, Stored(stored.tkn, changes.after, stored.deadline, changes.values))
                    return True
            except ContestedError as exc:
                written = exc.written
            except UnavailableError as exc:
                if not (exc.maybe_done and self._may_repeat(stored, changes.after, changes.names)):
                    raise
                unknown.append(exc)
            async with MERGES.holding(self._client, stored.tkn):
                await self._merge(session, stored, changes.after, changes.names - written, told, unknown)
            return True
        except UnsupportedError:
            self._refuse_marked(expected)
            return False
        except UnavailableError as exc:
            if exc.maybe_done or not unknown:
                raise
            raise unknown[-1] from exc  # the store went away: what it did before is still unknown
        finally:
            waiting = self._under_way.pop(id(session), None)
            if waiting is not None:
                waiting.set_result(None)

    async def settled(self, session: M) -> Stored:
        """Wait until no save of this very model is under way, and return what is known to be stored then."""
        under_way = self._under_way
        while id(session) in under_way:
            waiting = under_way[id(session)] = under_way[id(session)] or asyncio.get_running_loop().create_future()
            await asyncio.wait([waiting])
        return _known(session)

    async def _merge(
        self,
        session: M,
        stored: Stored,
        text: bytes,
        names: frozenset[str],
        told: ToldChange[M] | None,
        unknown: list[UnavailableError],
    ) -> None:
        """Make the changes of a model to its session as it is stored by now, and bring the model up to date.

        The model is given as the text of its keys, too: it may change meanwhile. Writes whose outcome is unknown are
        added to `unknown`.
        """
        tkn, codec = stored.tkn, self._codec
        base, mine = codec.load(stored.keys, tkn), codec.load(text, tkn)
        earlier = [codec.load(sent, tkn) for sent in stored.sent]
        for attempt in range(1, ATTEMPTS):
            theirs = await self._read(tkn)
            now = _known(theirs)
            if now.outdated is not None:
                await self._save(theirs)
                continue
            set_values(theirs, self._merger.merge(base, mine, theirs, names), names)
            for sent in earlier:  # what it holds may be stored, and may be taken back by now
                unsure = [name for name in stored.unsure & names if self._is_unsure(name, base, sent, mine, theirs)]
                set_values(theirs, self._merger.merge(sent, mine, theirs, unsure), unsure)
            theirs, merged = self._whole(theirs, tkn)
            changes = codec.changes(theirs, merged, now.keys)
            try:
                if changes.names:
                    await self._write(now, changes, self.expected(theirs, changes), told)
                else:  # another attempt was successful, or others made the same change
                    await self._access.change(tkn, NO_KEYS, ())
            except ContestedError as exc:
                names -= exc.written
                await pause(attempt)
            except UnavailableError as exc:
                if len(unknown) == _LOSSES or not (exc.maybe_done and self._may_repeat(stored, text, names)):
                    raise
                unknown.append(exc)
            else:
                self._bring_up_to_date(session, mine, text, theirs)
                set_stored(session, Stored(tkn, merged.text, now.deadline))
                return
        raise ConflictError(self._name, min(names), ATTEMPTS)

    def _whole(self, merged: M, tkn: SessionToken) -> tuple[M, ObjectText]:
        """Return a model of merged values as its validators leave it, and its keys.

        The values of two models that each fit may need a validator once more: one that works out a total, or one that
        keeps the last ten items of a list.

        Raises:
            UnstorableError: the values do not fit together.
        """
        try:
            return merged, self._codec.dump(merged)
        except UnstorableError:
            read = self._read_back(merged, tkn)
            if read is None:
                raise
        return read, self._codec.dump(read)

    def _read_back(self, merged: M, tkn: SessionToken) -> M | None:
        try:
            return self._codec.load(self._codec.written(merged).text, tkn)
        except (StoredDataError, UnstorableError):
            return None

    def _is_unsure(self, name: str, base: M, sent: M, mine: M, theirs: M) -> bool:
        """Tell whether the change of a field since an earlier save, which may have been done, is made as well.

        That does no harm if the earlier change makes no difference where it was made. Other changes, such as sums, are
        only taken back, and only if the stored value is the one that was sent.

        Args:
            name: the field.
            base: the model as it was read.
            sent: the model as the earlier save sent it.
            mine: the model as it is to be saved now.
            theirs: the model as it is stored by now.
        """
        if self._makes_no_difference_twice(base, sent, name):
            return True
        is_sent = is_same(value_of(theirs, name), value_of(sent, name))
        return is_sent and is_same(value_of(base, name), value_of(mine, name))

    def _bring_up_to_date(self, session: M, mine: M, text: bytes, merged: M) -> None:
        """Give a model the merged values, and make the changes to them that it has got meanwhile."""
        pending = self._codec.changes(session, self._codec.written(session), text).names
        if pending:
            set_values(merged, self._merger.merge(mine, session, merged, pending), pending)
        private = session.__pydantic_private__
        take_over(session, merged)
        object.__setattr__(session, "__pydantic_private__", private)

    async def save_unless_changed(self, session: M, stored: Stored, told: ToldChange[M] | None) -> ObjectText | None:
        """Write the changes of a model if no field of its session has changed since. Return its keys; None if one has.

        An upgrade of the session must be written already.

        Raises:
            PayloadTooLargeError: one frame cannot hold the changes.
            UnsupportedError: the server is a NemesisDB, which cannot compare.
        """
        changes = self._codec.changes_since(session, stored)
        absent = dict.fromkeys((*self._codec.names, *changes.names))
        expected: dict[str, bytes | None] = {**absent, **split_members(stored.keys)}
        try:
            await self._write(stored, changes, expected, told, at_once=True)
        except ContestedError:
            return None
        set_stored(session, Stored(stored.tkn, changes.after, stored.deadline, changes.values))
        return ObjectText(changes.after)

    def _write(
        self,
        stored: Stored,
        changes: Changes,
        expected: Expected,
        told: ToldChange[M] | None,
        *,
        at_once: bool = False,
    ) -> Awaitable[None]:
        """Return a write of the changes, made if the keys are as expected; `at_once` refuses to use several frames.

        Raises:
            PayloadTooLargeError: one frame cannot hold them `at_once`.
            ContestedError: they are not, or other code wrote the session in another version.
        """
        if stored.by_another or self._verifies_version or told is not None or self._index is not None:
            return self._write_and_note(stored, changes, expected, told, at_once=at_once)
        return self._access.change_if(stored.tkn, changes.changed, changes.removed, expected, at_once=at_once)

    async def _write_and_note(
        self,
        stored: Stored,
        changes: Changes,
        expected: Expected,
        told: ToldChange[M] | None,
        *,
        at_once: bool,
    ) -> None:
        """Write changes as `_write`, where others wrote before, hooks are told, or values are looked up."""
        changed = changes.changed
        if stored.by_another or self._verifies_version:
            read = await self._access.read(stored.tkn, (), UPKEEP)
            if self._upgrading.is_due(read):
                raise ContestedError
            changed = self._upgrading.signed(read, changed)
            expected = {**expected, RESERVED_KEY: read.reserved} if read.envelope is not None else expected
        write: Callable[[], Awaitable[None]]
        write = partial(self._access.change_if, stored.tkn, changed, changes.removed, expected, at_once=at_once)
        if told is not None:
            write = told.noting(write, changes.names)
        if self._index is None:
            await write()
        else:
            moved = {**changes.changed, **dict.fromkeys(changes.removed, NULL)}
            await change_indexed(self._index, stored, moved, write)

    def _may_repeat(self, stored: Stored, after: bytes, names: Collection[str]) -> bool:
        """Tell whether changes may be made once more, when it is not known whether they were made.

        That is so if they make no difference where they were made: it is of a sum, and of what is appended to a list.
        """
        base, mine = (self._codec.load(text, stored.tkn) for text in (stored.keys, after))
        return all(self._makes_no_difference_twice(base, mine, name) for name in names)

    def _makes_no_difference_twice(self, base: M, mine: M, name: str) -> bool:
        try:
            again = self._merger.merge(base, mine, mine, [name])
        except ConflictError:
            return False
        return name not in again or is_same(again[name], value_of(mine, name))


def _known(session: SessionModel) -> Stored:
    stored = stored_of(session)
    assert stored is not None
    return stored
