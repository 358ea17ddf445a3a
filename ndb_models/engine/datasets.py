"""Saving to and loading from data sets: from the store to the disk and back, off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ndb_models.engine.snapshots import Kind, SnapshotError, Snapshots, keys_texts, sessions_texts
from ndb_models.errors import DataSetError
from ndb_models.stores.contract import SHARED, LimitError, SessionRecord, Store
from ndb_models.turns import LoopLock
from ndb_models.types import SessionToken
from ndb_models.wire.statuses import Status


class DataSets:
    """The data sets of one engine. Without a directory, every command on them is answered `COMMAND_DISABLED`."""

    def __init__(self, store: Store, directory: Path | None) -> None:
        self._store = store
        self._snapshots = None if directory is None else Snapshots(directory)
        # Data sets are read and written one at a time: threads that are busy with them slow the event loop down.
        self._turn = LoopLock()

    @property
    def enabled(self) -> bool:
        """Whether there is a directory to save to."""
        return self._snapshots is not None

    async def save_keys(self, name: str) -> Mapping[str, Any]:
        """Save the shared map as it is at this moment."""
        if self._snapshots is None:
            return _DISABLED
        snapshots = self._snapshots
        async with self._turn.here():
            texts = keys_texts(await self._store.get_all(SHARED))
            return await _saved(name, asyncio.to_thread(snapshots.save, name, Kind.KEYS, texts))

    async def save_sessions(self, name: str, tokens: Sequence[SessionToken] | None) -> Mapping[str, Any]:
        """Save all sessions, or those of these tokens that exist, as they are at this moment."""
        if self._snapshots is None:
            return _DISABLED
        snapshots = self._snapshots

        def save(records: Iterable[SessionRecord]) -> None:
            snapshots.save(name, Kind.SESSIONS, sessions_texts(records))

        async with self._turn.here():
            return await _saved(name, self._store.read_all(save, tokens))

    async def load_keys(self, name: str) -> Mapping[str, Any]:
        """Write the keys of a data set over those of the shared map. A data set that cannot be read changes nothing."""
        if self._snapshots is None:
            return _DISABLED
        started = time.perf_counter()
        try:
            async with self._turn.here():
                keys = await asyncio.to_thread(self._snapshots.load_keys, name)
        except SnapshotError as exc:
            answer = {"m": str(exc), "st": Status.LOAD_ERROR}
            return answer if exc.found else {**answer, "name": name}
        await self._store.set(SHARED, keys)
        return {
            "duration": _milliseconds_since(started),
            "keys": len(keys),
            "name": name,
            "sessions": 0,
            "st": Status.LOAD_COMPLETE,
        }

    async def load_sessions(self, name: str) -> Mapping[str, Any]:
        """Restore the sessions of a data set under their old tokens, their timers started afresh.

        Those that exist are left alone. A data set that cannot be read changes nothing.
        """
        if self._snapshots is None:
            return _DISABLED
        try:
            async with self._turn.here():
                records = await asyncio.to_thread(self._snapshots.load_sessions, name)
                restored = await self._create(records)
        except SnapshotError as exc:
            answer = {"m": str(exc), "name": name, "st": Status.LOAD_ERROR}
            return {**answer, "keys": 0, "sessions": 0} if exc.found else answer
        return {
            "keys": sum(len(record.keys) for record in restored),
            "name": name,
            "sessions": len(restored),
            "st": Status.LOAD_COMPLETE,
        }

    async def _create(self, records: Sequence[SessionRecord]) -> list[SessionRecord]:
        """Create those sessions that are not there yet, all or none; return them.

        Many at a time: a store on a disk writes them at once.
        """
        created: list[SessionRecord] = []
        for start in range(0, len(records), _CREATED_TOGETHER):
            part = records[start : start + _CREATED_TOGETHER]
            creating = (self._store.create(record.token, record.expiry, record.keys) for record in part)
            done = await asyncio.gather(*creating, return_exceptions=True)
            created += [record for record, outcome in zip(part, done, strict=True) if outcome is True]
            for outcome in done:
                if isinstance(outcome, BaseException):
                    await asyncio.gather(*(self._store.end(record.token) for record in created))
                    raise outcome
        return created

    async def restore(self, name: str) -> tuple[int, int]:
        """Load a data set, of whichever kind the newest of this name is; return how many sessions and keys.

        Raises:
            DataSetError: it cannot be loaded; nothing was.
        """
        assert self._snapshots is not None, "there is no directory"
        try:
            kind = await asyncio.to_thread(self._snapshots.kind_of, name)
            answer = await (self.load_keys(name) if kind is Kind.KEYS else self.load_sessions(name))
        except (SnapshotError, LimitError) as exc:
            raise DataSetError(name, str(exc)) from exc
        if answer["st"] is not Status.LOAD_COMPLETE:
            raise DataSetError(name, answer["m"])
        return answer["sessions"], answer["keys"]


_CREATED_TOGETHER: Final = 256

_DISABLED: Mapping[str, Any] = {"m": "there is no persist path", "st": Status.COMMAND_DISABLED}


async def _saved(name: str, saving: Awaitable[None]) -> Mapping[str, Any]:
    started = time.perf_counter()
    try:
        await saving
    except SnapshotError as exc:
        return {"m": str(exc), "name": name, "st": Status.SAVE_ERROR}
    return {"duration": _milliseconds_since(started), "name": name, "st": Status.SAVE_COMPLETE}


def _milliseconds_since(started: float) -> int:
    return int((time.perf_counter() - started) * 1000)
