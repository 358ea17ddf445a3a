"""Data sets on disk, in NemesisDB's format: either server loads the data sets of the other.

    <directory>/<name>/<nanoseconds>/md/md.json      metadata: the kind, and whether the data set is complete
    <directory>/<name>/<nanoseconds>/data/0, 1, ...  the data; a new file starts past 10 MiB

A data set is written under a temporary name, flushed to the disk, and renamed. So a data set under its final name is
whole. Folders have mode 0700 and files 0600. These functions block; the engine runs them in a thread.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ndb_models.engine.pieces import Pieces
from ndb_models.engine.requests import RefusedError, parse_json
from ndb_models.engine.temporary_folders import remove_abandoned, temporary_folder
from ndb_models.errors import NdbError
from ndb_models.json_text import NO_MEMBERS, UNREADABLE, ObjectText, is_nested_deeper, members_of
from ndb_models.private_files import make_private_file, make_private_folder, open_to, warn_of_folders
from ndb_models.protocol.commands import MAX_TOKEN, is_token
from ndb_models.protocol.data_sets import why_not_a_data_set
from ndb_models.stores.contract import SessionRecord
from ndb_models.strict_json import MAX_NESTING
from ndb_models.types import shared_settings

_FORMAT_VERSION: Final = 2
_FILE_SIZE: Final = 10 * 1024 * 1024
_COMPLETE: Final = 1
_NONE: Final = -1
# The levels for a session's keys: a data set, like an answer, has two levels around them.
_MAX_NESTING: Final = MAX_NESTING - 2


class Kind(IntEnum):
    """The kind of a data set: `saveDataType` in its metadata."""

    KEYS = 0
    SESSIONS = 1


class SnapshotError(NdbError):
    """A data set cannot be written or read. Attributes: `reason`; `found`, False if no data set has the name."""

    def __init__(self, reason: str, *, found: bool = True) -> None:
        self.reason = reason
        self.found = found
        super().__init__(reason)


class _Expiry(msgspec.Struct, rename="camel", omit_defaults=True):
    duration: int
    delete_session: bool
    extend_on_set_add: bool
    extend_on_get: bool
    touch_every: int = 0  # this package's own


class _Header(msgspec.Struct):
    tkn: int
    expiry: _Expiry
    shared: bool = False


class _Session(msgspec.Struct):
    sh: _Header | None = None
    keys: msgspec.Raw = msgspec.Raw(NO_MEMBERS)


class _Metadata(msgspec.Struct, rename="camel"):
    status: int
    save_data_type: Kind


_S = TypeVar("_S")

_encode = msgspec.json.Encoder().encode
_decode_name = msgspec.json.Decoder(str).decode


def keys_texts(keys: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yield the text of each key for a data set of `Kind.KEYS`."""
    for name, value in keys.items():
        yield _encode(name) + b":" + value


def sessions_texts(records: Iterable[SessionRecord]) -> Iterator[bytes]:
    """Yield the text of each session for a data set of `Kind.SESSIONS`."""
    for record in records:
        settings = record.expiry
        expiry = _Expiry(**settings._asdict())
        keys = ObjectText.joined(record.keys)
        yield _encode(_Session(_Header(record.token, expiry), msgspec.Raw(keys.text)))


_AROUND: Final = {Kind.KEYS: (b'{"keys":{', b"}}"), Kind.SESSIONS: (b"[", b"]")}


class Snapshots:
    """The data sets below one directory, which must exist. Leftovers of interrupted saves are removed at the start."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        remove_abandoned(directory)
        with contextlib.suppress(OSError):  # the commands on data sets will meet and report it
            warn_of_folders(directory, list(_within_reach(directory)))

    def _named(self, name: str) -> Path:
        reason = why_not_a_data_set(name)
        if reason is not None:
            raise SnapshotError(reason, found=False)
        return self._directory / name

    def save(self, name: str, kind: Kind, texts: Iterable[bytes]) -> None:
        """Write a data set, whole or not at all.

        Raises:
            SnapshotError: the name is invalid, or the directory cannot be written to.
        """
        home = self._named(name)
        try:
            with temporary_folder(self._directory) as temporary:
                _fill(temporary, name, kind, texts)
                make_private_folder(home, exist_ok=True)
                # Even if the clock was set back, the new data set must be the newest.
                temporary.rename(home / str(max(time.time_ns(), _newest(home) + 1)))
                _sync(home)
                _sync(self._directory)
        except OSError as exc:
            raise SnapshotError("the data set cannot be written") from exc

    def kind_of(self, name: str) -> Kind:
        """Return the kind of the newest data set of this name. Raises the same errors as loading it."""
        return self._metadata(self._newest_of(name)).save_data_type

    def load_keys(self, name: str) -> dict[str, bytes]:
        """Return the keys of the newest data set of this name.

        Raises:
            SnapshotError: the data set is missing, unreadable, incomplete or damaged, or holds sessions.
        """
        keys: dict[str, bytes] = {}
        with _damage():
            for part in self._read(name, Kind.KEYS):
                keys.update(_keys(part))
        return keys

    def load_sessions(self, name: str) -> list[SessionRecord]:
        """Return the sessions of the newest data set of this name.

        Raises:
            SnapshotError: the data set is missing, unreadable, incomplete or damaged, or holds keys.
        """
        records: list[SessionRecord] = []
        with _damage():
            for part in self._read(name, Kind.SESSIONS):
                pieces = Pieces(part)
                for text in pieces.items():
                    session = _shaped(text, _Session)
                    if session.sh is not None:  # NemesisDB writes an empty object for no session
                        records.append(_record(session.sh, session.keys))
                pieces.require_end()
        return records

    def _read(self, name: str, kind: Kind) -> Iterator[bytes]:
        root = self._newest_of(name)
        held = self._metadata(root).save_data_type
        if held is not kind:
            raise SnapshotError(f"the data set holds {held.name.lower()}")
        try:
            for path in sorted((root / "data").iterdir(), key=lambda path: (len(path.name), path.name)):
                yield path.read_bytes()
        except OSError as exc:
            raise SnapshotError("the data set cannot be read") from exc

    def _newest_of(self, name: str) -> Path:
        home = self._named(name)
        try:
            made = _newest(home)
        except OSError:  # no folder of this name: no data set
            made = _NONE
        if made == _NONE:
            raise SnapshotError("there is no data set of this name", found=False)
        return home / str(made)

    def _metadata(self, root: Path) -> _Metadata:
        try:
            metadata = _convert((root / "md" / "md.json").read_bytes(), _Metadata)
        except OSError as exc:
            raise SnapshotError("the data set cannot be read") from exc
        if metadata.status != _COMPLETE:
            raise SnapshotError("the data set is incomplete")
        return metadata


def _fill(folder: Path, name: str, kind: Kind, texts: Iterable[bytes]) -> None:
    """Write the files of a data set into an empty folder, and flush them to the disk."""
    make_private_folder(folder / "md")
    make_private_folder(folder / "data")
    started = time.time_ns() // 1_000_000
    for number, part in enumerate(_parts(texts)):
        opening, closing = _AROUND[kind]
        _write(folder / "data" / str(number), opening + part + closing)
    metadata = {
        "name": name,
        "version": _FORMAT_VERSION,
        "status": _COMPLETE,
        "start": started,
        "complete": time.time_ns() // 1_000_000,
        "saveDataType": kind,
    }
    _write(folder / "md" / "md.json", _encode(metadata))
    for written in (folder / "md", folder / "data", folder):
        _sync(written)


def _within_reach(directory: Path) -> Iterator[Path]:
    """Yield the data sets in the subfolders that other users can open."""
    for home in directory.iterdir():
        if home.is_dir() and open_to(home) is not None:
            yield from (made for made in home.iterdir() if made.name.isdecimal())


def _newest(home: Path) -> int:
    """Return the time of the newest data set in a folder, in nanoseconds; `_NONE` if there are no data sets."""
    return max((int(entry.name) for entry in home.iterdir() if entry.name.isdecimal()), default=_NONE)


def _convert(text: bytes, shape: type[_S]) -> _S:
    try:
        parse_json(text)
    except RefusedError as exc:
        raise SnapshotError("the data set is damaged") from exc
    return _shaped(text, shape)


def _shaped(text: bytes, shape: type[_S]) -> _S:
    """Decode a JSON text as a type. Parts that stay raw are not validated yet."""
    try:
        return msgspec.json.decode(text, type=shape)
    except UNREADABLE as exc:
        raise SnapshotError("the data set is damaged") from exc


def _keys(part: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the keys in one file of a data set of keys. The file is an object with a member `keys`."""
    pieces = Pieces(part)
    found = False
    for member in pieces.members():
        if _decode_name(member) != "keys":
            pieces.value()
            continue
        found = True
        for key in pieces.members():
            text = pieces.value()
            parse_json(text, _MAX_NESTING)
            yield _decode_name(key), text
    pieces.require_end()
    if not found:
        raise ValueError


@contextlib.contextmanager
def _damage() -> Generator[None]:
    """Report a data set that cannot be decoded as damaged."""
    try:
        yield
    except (*UNREADABLE, RefusedError, ValueError) as exc:
        raise SnapshotError("the data set is damaged") from exc


def _record(header: _Header, keys: msgspec.Raw) -> SessionRecord:
    expiry = header.expiry
    if not (is_token(header.tkn) and 0 <= expiry.duration <= MAX_TOKEN and 0 <= expiry.touch_every <= MAX_TOKEN):
        raise SnapshotError("the data set is damaged")
    settings = shared_settings(*msgspec.structs.astuple(expiry))
    text = bytes(keys)
    if is_nested_deeper(text, _MAX_NESTING):
        raise SnapshotError("the data set is damaged")
    try:
        parse_json(text)
        return SessionRecord(header.tkn, settings, members_of(text))
    except (RefusedError, msgspec.MsgspecError) as exc:  # the latter if the keys are no object
        raise SnapshotError("the data set is damaged") from exc


def _parts(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Join texts into the contents of files. A new file starts past `_FILE_SIZE`."""
    part: list[bytes] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text) + 1
        if size >= _FILE_SIZE:
            yield b",".join(part)
            part, size = [], 0
    if part:
        yield b",".join(part)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(make_private_file(path), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make a folder's entries durable, if the system can open folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows makes renames durable without it
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
