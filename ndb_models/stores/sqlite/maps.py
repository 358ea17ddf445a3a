"""The statements on a map of keys: the shared map in `kv`, a session's map in `session_key`. They ignore expiry."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, TypeVar

from ndb_models.errors import InvalidArgumentError
from ndb_models.json_text import ObjectText
from ndb_models.stores.contract import Scope, TooLargeError

T = TypeVar("T")

# The most keys in one statement. A statement releases the interpreter's lock and takes it again: in a busy process,
# that is the slow part.
_TOGETHER: Final = 16
# Longer lists of names are padded to one of a few lengths, so that SQLite knows the statements already.
_LONGEST_LIST: Final = 512
VALUES_TOGETHER: Final = 64
"""The most values that one statement reads, before their size is looked at."""


def signed(number: int) -> int:
    """Return the signed 64-bit integer with the same bits as an unsigned one.

    Raises:
        InvalidArgumentError: the number is not an unsigned 64-bit integer.
    """
    if 0 <= number < 2**63:
        return number
    if 0 < number < 2**64:
        return number - 2**64
    raise InvalidArgumentError("tokens and durations are unsigned 64-bit integers")


def unsigned(number: int) -> int:
    """Return the unsigned 64-bit integer with the same bits as a signed one."""
    return number + 2**64 if number < 0 else number


class Keys:
    """The keys of one map.

    Args:
        connection: in a transaction, for the methods that write.
        scope: names the map.
    """

    __slots__ = ("_connection", "_is_session", "_of")

    def __init__(self, connection: sqlite3.Connection, scope: Scope) -> None:
        self._connection = connection
        self._is_session = scope is not None
        self._of: tuple[int, ...] = () if scope is None else (signed(scope),)

    def write(self, keys: Mapping[str, bytes], *, over: bool) -> None:
        """Write keys. `over` replaces existing ones; without it, existing ones stay."""
        members = keys.split() if type(keys) is ObjectText else keys
        for part in _parts(list(members.items()), _TOGETHER):
            cells = [cell for item in part for cell in (*self._of, *item)]
            self._connection.execute(_insert(self._is_session, len(part), over), cells)

    def read(
        self, names: Sequence[str], most: int | None = None, first: Sequence[bytes | None] = ()
    ) -> dict[str, bytes]:
        """Return the keys with these names, in the order of the names. Missing keys are left out.

        `first` are the values of the first `VALUES_TOGETHER` names, if they were read already.

        Raises:
            TooLargeError: there are several keys, and names and values are larger together than `most` bytes. Few of
                the rows beyond were read.
        """
        found: dict[str, bytes] = {}
        size = 0
        for part in _parts(names, VALUES_TOGETHER):
            values = first or self._values(part)
            first = ()
            pairs = [(name, value) for name, value in zip(part, values, strict=True) if value is not None]
            found.update(pairs)
            if most is not None:
                size += sum([len(name) + len(value) for name, value in pairs])
                if size > most and len(found) > 1:
                    raise TooLargeError(most)
        return found

    def _values(self, names: Sequence[str]) -> Sequence[bytes | None]:
        values: tuple[bytes | None, ...] = self._connection.execute(
            _select_values(self._is_session, len(names)), (*names, *self._of)
        ).fetchone()
        return values

    def read_all(self) -> dict[str, bytes]:
        """Return all keys."""
        return dict(self._connection.execute(_select(self._is_session, "key, value"), self._of))

    def contained(self, names: Sequence[str]) -> list[str]:
        """Return the names that exist, in the given order."""
        found: set[str] = set()
        for part in _parts(names, _LONGEST_LIST):
            rows = self._connection.execute(_select(self._is_session, "key", _length(part)), self._list(part))
            found.update(name for (name,) in rows)
        return [name for name in names if name in found]

    def names(self, most: int | None = None) -> list[str]:
        """Return all names, or at most `most`."""
        rows = self._connection.execute(_select(self._is_session, "key"), self._of)
        return [name for (name,) in (rows if most is None else rows.fetchmany(most))]

    def count(self) -> int:
        """Return the number of keys."""
        ((number,),) = self._connection.execute(_select(self._is_session, "count(*)"), self._of)
        return int(number)

    def remove(self, names: Sequence[str]) -> None:
        """Remove the keys with these names."""
        for part in _parts(names, _LONGEST_LIST):
            self._connection.execute(_delete(self._is_session, _length(part)), self._list(part))

    def clear(self) -> int:
        """Remove all keys; return how many there were."""
        return self._connection.execute(_delete(self._is_session), self._of).rowcount

    def _list(self, names: Sequence[str]) -> list[object]:
        return [*self._of, *names, *[names[-1]] * (_length(names) - len(names))]


_TABLES: Final = {False: ("kv", "TRUE"), True: ("session_key", "tkn = ?")}


@cache
def _insert(is_session: bool, rows: int, over: bool) -> str:
    table, _ = _TABLES[is_session]
    row = "(?, ?, ?)" if is_session else "(?, ?)"
    conflict = "UPDATE SET value = excluded.value" if over else "NOTHING"
    return f"INSERT INTO {table} VALUES {', '.join([row] * rows)} ON CONFLICT DO {conflict}"


def value_columns(names: int) -> Sequence[str]:
    """Return columns with the values of so many keys of a row's session, NULL for a missing key.

    One row with all values takes less time than a row for each: after each row, the interpreter's lock is taken again.
    """
    return ["(SELECT value FROM session_key WHERE tkn = session.tkn AND key = ?)"] * names


@cache
def _select_values(is_session: bool, names: int) -> str:
    if is_session:
        return f"SELECT {', '.join(value_columns(names))} FROM (SELECT ? AS tkn) AS session"
    return f"SELECT {', '.join(['(SELECT value FROM kv WHERE key = ?)'] * names)}"


@cache
def _select(is_session: bool, columns: str, names: int | None = None) -> str:
    table, condition = _TABLES[is_session]
    return f"SELECT {columns} FROM {table} WHERE {condition}{_among(names)}"


@cache
def _delete(is_session: bool, names: int | None = None) -> str:
    table, condition = _TABLES[is_session]
    return f"DELETE FROM {table} WHERE {condition}{_among(names)}"


def _among(names: int | None) -> str:
    return "" if names is None else f" AND key IN ({', '.join('?' * names)})"


def _length(names: Sequence[str]) -> int:
    """Return the padded length of a list of these names: one of a few lengths."""
    return len(names) if len(names) <= _TOGETHER else 1 << (len(names) - 1).bit_length()


def _parts(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Cut items into parts of at most `most`."""
    return (items[start : start + most] for start in range(0, len(items), most))
