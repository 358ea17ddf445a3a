"""Data sets in NemesisDB's format as a place to copy from and to: `snapshot:///DIR?sessions=NAME&keys=OTHER`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ndb_models.engine.snapshots import Kind, SnapshotError, Snapshots, keys_texts, sessions_texts
from ndb_models.errors import InvalidArgumentError, StoreError
from ndb_models.moving.endpoints import Keys, Kinds, Lacking, Source, Target
from ndb_models.protocol.data_sets import why_not_a_data_set
from ndb_models.stores.contract import SessionRecord
from ndb_models.types import SessionToken

_TOGETHER: Final = 256
_EXAMPLE: Final = "try 'snapshot:///DIR?sessions=NAME&keys=OTHER'"


class SnapshotPlace(Source, Target):
    """Data sets in one directory: one for the sessions, one for the keys.

    Copied data waits in unnamed files in the directory until it is complete. Only then does it become a data set, so
    that a copy that is cut short leaves no file behind.

    Args:
        directory: holds the data sets.
        names: the names of the data sets, by kind.
    """

    refusal: str = "the URI names no data set for them: " + _EXAMPLE

    def __init__(self, directory: Path, names: Mapping[Kind, str]) -> None:
        self._directory = directory
        self._snapshots = Snapshots(directory)
        self._names = names
        self.kinds: Kinds = _kinds(names)
        self._waiting: dict[Kind, IO[bytes]] = {}
        # The keys and sessions in the waiting files.
        self._keys: set[str] = set()
        self._tokens: set[SessionToken] = set()

    async def keys(self) -> AsyncIterator[Keys]:
        try:
            keys = await asyncio.to_thread(self._snapshots.load_keys, self._names[Kind.KEYS])
        except SnapshotError as exc:
            raise self._failure(Kind.KEYS, exc) from exc
        items = list(keys.items())
        for start in range(0, len(items), _TOGETHER):
            yield dict(items[start : start + _TOGETHER])

    async def sessions(self, lacking: Lacking) -> AsyncIterator[Sequence[SessionRecord]]:
        try:
            records = await asyncio.to_thread(self._snapshots.load_sessions, self._names[Kind.SESSIONS])
        except SnapshotError as exc:
            raise self._failure(Kind.SESSIONS, exc) from exc
        for start in range(0, len(records), _TOGETHER):
            some = {record.token: record for record in records[start : start + _TOGETHER]}
            yield [some[token] for token in await lacking([*some])]

    async def most_sessions(self) -> int | None:
        return None

    async def put_keys(self, keys: Keys) -> int:
        new = {name: text for name, text in keys.items() if name not in self._keys}
        self._keys |= new.keys()
        await asyncio.to_thread(self._wait, Kind.KEYS, list(keys_texts(new)))
        return len(new)

    async def lacking(self, tokens: Sequence[SessionToken]) -> Sequence[SessionToken]:
        return [token for token in tokens if token not in self._tokens]

    async def put_sessions(self, records: Sequence[SessionRecord]) -> int:
        new = {record.token: record for record in records if record.token not in self._tokens}
        self._tokens.update(new)
        await asyncio.to_thread(self._wait, Kind.SESSIONS, list(sessions_texts([*new.values()])))
        return len(new)

    def _wait(self, kind: Kind, texts: Sequence[bytes]) -> None:
        try:
            if kind not in self._waiting:
                self._waiting[kind] = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - closed in `aclose`
            for text in texts:
                self._waiting[kind].writelines((len(text).to_bytes(8), text))
        except OSError as exc:
            raise StoreError(str(self._directory), "the data set cannot be written") from exc

    async def finish(self, kinds: Kinds) -> None:
        for kind, name in self._names.items():
            if Kinds[kind.name] not in kinds:
                continue
            texts = _texts(self._waiting[kind]) if kind in self._waiting else iter(())
            try:
                await asyncio.to_thread(self._snapshots.save, name, kind, texts)
            except SnapshotError as exc:
                raise self._failure(kind, exc) from exc

    def _failure(self, kind: Kind, exc: SnapshotError) -> StoreError:
        return StoreError(f"{self._directory / self._names[kind]}", str(exc))

    async def aclose(self) -> None:
        for file in self._waiting.values():
            file.close()


def _texts(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while length := file.read(8):
        yield file.read(int.from_bytes(length))


def _kinds(names: Mapping[Kind, str]) -> Kinds:
    kinds = Kinds(0)
    for kind in names:
        kinds |= Kinds[kind.name]
    return kinds


def open_snapshots(uri: str) -> SnapshotPlace:
    """Return the data sets that a URI names.

    Raises:
        InvalidArgumentError: it names no valid data sets, or the directory does not exist.
    """
    parts = urlsplit(uri)
    directory = Path(unquote(parts.path[1:]))
    given = dict(parse_qsl(parts.query))
    names = {kind: given.pop(kind.name.lower()) for kind in Kind if kind.name.lower() in given}
    if parts.netloc or parts.fragment or not parts.path[1:] or given or not names:
        raise InvalidArgumentError(f"the URI names no data sets; {_EXAMPLE}")
    for kind, name in names.items():
        reason = why_not_a_data_set(name)
        if reason is not None:
            raise InvalidArgumentError(f"{kind.name.lower()}=: {reason}")
    if len({*names.values()}) < len(names):
        raise InvalidArgumentError(f"a data set holds sessions or keys, so give them two names; {_EXAMPLE}")
    if not directory.is_dir():
        raise InvalidArgumentError(f"{directory} is not a directory")
    return SnapshotPlace(directory, names)
