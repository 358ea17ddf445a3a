"""Save the store to data sets on the disk, and load them again, off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from ndb_models.engine.snapshots import Kind, SnapshotError, Snapshots, keys_texts, sessions_texts
from ndb_models.errors import DataSetError
from ndb_models.protocol.statuses import Status
from ndb_models.stores.contract import SHARED, LimitError, SessionRecord, Store
from ndb_models.turns import LoopLock
from ndb_models.types import SessionToken


class DataSets:
    """The data sets of one engine. Without a directory, the answer to every command is `COMMAND_DISABLED`."""

    def __init__(self, store: Store, directory: Path | None) -> None:
        self._store = store
        self._snapshots = None if directory is None else Snapshots(directory)
        # One data set at a time is read or written: the threads that do it slow the event loop down.
        self._turn = LoopLock()
        # Tasks are held here, because the event loop does not hold them.
        self._creating: set[asyncio.Future[list[SessionRecord]]] = set()

    @property
    def enabled(self) -> bool:
        """True if there is a directory for data sets."""
        return self._snapshots is not None

    async def save_keys(self, name: str) -> dict[str, Any]:
        """Save the shared map, as of one moment."""
        if self._snapshots is None:
            return _DISABLED
        snapshots = self._snapshots
        async with self._turn.here():
            texts = keys_texts(await self._store.get_all(SHARED))
            return await _saved(name, asyncio.to_thread(snapshots.save, name, Kind.KEYS, texts))

    async def save_sessions(self, name: str, tokens: Sequence[SessionToken] | None) -> dict[str, Any]:
        """Save all sessions, or the existing ones among `tokens`, as of one moment."""
        if self._snapshots is None:
            return _DISABLED
        snapshots = self._snapshots

        def save(records: Iterable[SessionRecord]) -> None:
            snapshots.save(name, Kind.SESSIONS, sessions_texts(records))

        async with self._turn.here():
            return await _saved(name, self._store.read_all(save, tokens))

    async def load_keys(self, name: str) -> dict[str, Any]:
        """Write the keys of a data set into the shared map, over existing ones; other keys stay.

        If the data set cannot be read, the map stays unchanged.
        """
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

    async def load_sessions(self, name: str) -> dict[str, Any]:
        """Restore the sessions of a data set under their old tokens, and start their timers afresh.

        Sessions that exist are left alone. If the data set cannot be read, the store stays unchanged.
        """
        if self._snapshots is None:
            return _DISABLED
        try:
            async with self._turn.here():
                records = await asyncio.to_thread(self._snapshots.load_sessions, name)
                restored = await self._created_all(records)
        except SnapshotError as exc:
            answer = {"m": str(exc), "name": name, "st": Status.LOAD_ERROR}
            return {**answer, "keys": 0, "sessions": 0} if exc.found else answer
        return {
            "keys": sum(len(record.keys) for record in restored),
            "name": name,
            "sessions": len(restored),
            "st": Status.LOAD_COMPLETE,
        }

    async def _created_all(self, records: Sequence[SessionRecord]) -> list[SessionRecord]:
        """Do what `_create` does, to the end also if the caller is cancelled: no data set is restored in part."""
        creating = asyncio.ensure_future(self._create(records))
        self._creating.add(creating)
        creating.add_done_callback(self._creating.discard)
        return await asyncio.shield(creating)

    async def _create(self, records: Sequence[SessionRecord]) -> list[SessionRecord]:
        """Create the sessions that do not exist yet, and return them. If one fails, end all created ones and raise.

        Many are created together, because a store on a disk can write them at once.
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
        """Load the newest data set of this name, of either kind; return the numbers of its sessions and keys.

        Raises:
            DataSetError: it cannot be loaded; the store is unchanged.
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

_DISABLED: dict[str, Any] = {"m": "there is no persist path", "st": Status.COMMAND_DISABLED}


async def _saved(name: str, saving: Awaitable[None]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        await saving
    except SnapshotError as exc:
        return {"m": str(exc), "name": name, "st": Status.SAVE_ERROR}
    return {"duration": _milliseconds_since(started), "name": name, "st": Status.SAVE_COMPLETE}


def _milliseconds_since(started: float) -> int:
    return int((time.perf_counter() - started) * 1000)
