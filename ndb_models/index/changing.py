"""Changes sessions with lookup fields: claim, write, and correct the entries.

A useless claim is given up again, also if the caller is cancelled, or the connection is lost. It stays until it is old
only if the write may still arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from ndb_models.errors import (
    DuplicateError,
    NdbError,
    NewerVersionError,
    OlderVersionError,
    PayloadTooLargeError,
    StoredDataError,
)
from ndb_models.index.index import Index
from ndb_models.json_text import ObjectText, split_members
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.schema.lookup import LookupValue
from ndb_models.schema.model import Stored
from ndb_models.sessions.writing import ContestedError

# A key that no session has.
_NO_KEY: Final = f"{RESERVED_KEY}:"

_NOTHING_WRITTEN: Final = (
    ContestedError,
    DuplicateError,
    NewerVersionError,
    OlderVersionError,
    PayloadTooLargeError,
    StoredDataError,
)


async def change_indexed(
    index: Index, stored: Stored, changed: Mapping[str, bytes], write: Callable[[], Awaitable[None]]
) -> None:
    """Change a session by `write`, and keep its entries.

    If this is cancelled, the change may or may not be carried out; the entries are corrected in the background.

    Args:
        index: the index of the session's class.
        stored: the stored state of the session when it was read, or saved.
        changed: all keys that may have another value afterwards.
        write: carries out the change.

    Raises:
        DuplicateError: a unique value is taken.
    """
    moved = {name: changed[name] for name in index.fields if name in changed}
    if not moved:
        await write()
        return
    await _Change(index, stored, moved).carry_out(write)


class _Claim(NamedTuple):
    value: LookupValue
    key: str


class _Change:
    """A change of lookup fields.

    Args:
        index: the index of the session's class.
        stored: the stored state of the session when it was read, or saved.
        moved: the fields, with their new texts.
    """

    def __init__(self, index: Index, stored: Stored, moved: Mapping[str, bytes]) -> None:
        self._index = index
        self._client = index.client
        self._tkn = stored.tkn
        self._moved = moved
        self._new_values = index.values(moved)
        self._before = split_members(stored.keys)
        self._values_read = index.values(self._before if stored.outdated is None else stored.outdated.stored)
        self._claimed: list[_Claim] = []

    async def carry_out(self, write: Callable[[], Awaitable[None]]) -> None:
        """Claim, write, and correct the entries."""
        try:
            old_values = await self._claim()
        except _NOTHING_WRITTEN:
            await self._withdraw()
            raise
        except BaseException:
            self._client.in_background(self._give_up())
            raise
        connection = self._client.connection_number
        try:
            await write()
            await self._correct_entries(old_values)
        except _NOTHING_WRITTEN:
            await self._withdraw()
            raise
        except asyncio.CancelledError:
            self._client.in_background(self._correct_after_cancelling(old_values, connection))
            raise

    async def _claim(self) -> Sequence[LookupValue]:
        """Enter the session under its new values. Return the values that it leaves."""
        for value in self._new_values.values():
            key = await self._index.enter(value, self._tkn)
            self._claimed += [] if key is None else [_Claim(value, key)]
        # Others may have saved since the model was read. The values before its upgrade are listed too.
        now = self._index.values_of(await self._index.examiner.examine(self._tkn))
        left = dict.fromkeys((*now, *self._values_read.values()))
        return [value for value in left if value.field in self._moved and value != self._new_values.get(value.field)]

    async def _withdraw(self) -> None:
        """Give up useless claims while the caller waits."""
        if self._claimed:
            with contextlib.suppress(NdbError):  # the caller needs the first error
                await self._client.to_the_end(self._give_up())

    async def _give_up(self) -> None:
        """Give up claims, except to values that the session has. A write may have succeeded unseen."""
        if self._claimed:
            now = await self._index.examiner.examine(self._tkn)
            for value, key in self._claimed:
                if not now.has(value):
                    await self._index.drop(value, {(key, self._tkn)})

    async def _correct_entries(self, old_values: Sequence[LookupValue]) -> None:
        """Make the entries of a session match its present values."""
        for value in self._new_values.values():
            try:
                await self._index.keep(value, self._tkn)
            except DuplicateError:  # this took so long that another session claimed the value
                if value.field in self._before:
                    former = ObjectText.joined({value.field: self._before[value.field]})
                    await self._index.access.change(self._tkn, former, ())
                raise
        await self._leave(old_values)

    async def _correct_after_cancelling(self, old_values: Sequence[LookupValue], connection: int) -> None:
        """Correct the entries after a cancelled change. Its write may or may not have been carried out.

        On another connection than the write's, this cannot be told, since the write may still arrive.
        """
        await self._index.access.remove(self._tkn, (_NO_KEY,))  # the server does this after the write, if that was sent
        now = await self._index.examiner.examine(self._tkn)
        if self._client.connection_number != connection:
            return
        for value, key in self._claimed:
            if now.has(value):
                await self._index.keep(value, self._tkn)
            else:
                await self._index.drop(value, {(key, self._tkn)})
        await self._leave([value for value in old_values if not now.has(value)])

    async def _leave(self, values: Sequence[LookupValue]) -> None:
        for value in values:
            await self._index.leave(value, self._tkn)
        for value in values:
            await self._index.restore(value, self._tkn)
