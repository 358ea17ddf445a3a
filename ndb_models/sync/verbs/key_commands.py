"""The synchronous verbs of `KeyCommands`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, overload

from ndb_models.sync.verb_bases import OfClient
from ndb_models.types import JsonInput, JsonValue


class SyncKeyCommands(OfClient):
    """The verbs of `KeyCommands`, synchronous."""

    def kv_set(self, keys: Mapping[str, JsonInput]) -> bool:
        """Write keys, over existing ones. An empty mapping has no effect."""
        return self._portal.call(lambda: self._asynchronous.kv_set(keys))

    def kv_add(self, keys: Mapping[str, JsonInput]) -> bool:
        """Write only the keys that do not exist yet; the others stay as they are. The answer does not say which."""
        return self._portal.call(lambda: self._asynchronous.kv_add(keys))

    def kv_get(self, keys: Sequence[str]) -> dict[str, JsonValue]:
        """Return the values of some keys. Missing keys are left out."""
        return self._portal.call(lambda: self._asynchronous.kv_get(keys))

    def kv_rmv(self, keys: Sequence[str]) -> bool:
        """Remove keys. Missing keys do no harm. At least one key must be named (status 42)."""
        return self._portal.call(lambda: self._asynchronous.kv_rmv(keys))

    def kv_count(self) -> int:
        """Return how many keys there are."""
        return self._portal.call(lambda: self._asynchronous.kv_count())

    def kv_contains(self, keys: Sequence[str]) -> list[str]:
        """Return the given keys that exist, in the given order."""
        return self._portal.call(lambda: self._asynchronous.kv_contains(keys))

    def kv_keys(self) -> list[str]:
        """Return the names of all keys, in any order."""
        return self._portal.call(lambda: self._asynchronous.kv_keys())

    def kv_clear(self) -> int:
        """Remove all keys; return how many there were."""
        return self._portal.call(lambda: self._asynchronous.kv_clear())

    def kv_clear_set(self, keys: Mapping[str, JsonInput]) -> int:
        """Remove all keys, then write the given ones; return how many were removed."""
        return self._portal.call(lambda: self._asynchronous.kv_clear_set(keys))

    @overload
    def kv_find(self, path: str, rsp: Literal["keys", "paths"] = "keys", keys: Sequence[str] = ()) -> list[str]: ...

    @overload
    def kv_find(self, path: str, rsp: Literal["kv"], keys: Sequence[str] = ()) -> dict[str, JsonValue]: ...

    def kv_find(
        self, path: str, rsp: Literal["keys", "paths", "kv"] = "keys", keys: Sequence[str] = ()
    ) -> list[str] | dict[str, JsonValue]:
        """Search values by JSONPath (RFC 9535).

        Args:
            path: applied to the value of each key. An invalid path is status 4.
            rsp: the kind of result. `"keys"` returns the names of keys with a match, `"kv"` returns such keys with
                their values, and `"paths"` returns the paths of all matches.
            keys: search only in these keys; in all keys if empty.
        """

        async def call() -> list[str] | dict[str, JsonValue]:
            return await self._asynchronous.kv_find(path, rsp, keys)

        return self._portal.call(call)

    def kv_update(self, key: str, path: str, value: JsonInput) -> int:
        """Replace all matches of `path`, a JSONPath, in a key's value; return how many. An unknown key is status 22."""
        return self._portal.call(lambda: self._asynchronous.kv_update(key, path, value))

    def kv_arr_append(self, key: str, items: Sequence[JsonInput], name: str | None = None) -> bool:
        """Append items to an array: the key's value, or its member `name`.

        An unknown key is status 22. A value that is no array is status 1000.
        """
        return self._portal.call(lambda: self._asynchronous.kv_arr_append(key, items, name))

    def kv_save(self, name: str) -> bool:
        """Save all keys to the data set `name`. The server must have a persist path (status 14).

        Raises:
            ValueError: the name is not one path segment, see `why_not_a_data_set`. The request was not sent.
        """
        return self._portal.call(lambda: self._asynchronous.kv_save(name))

    def kv_load(self, name: str) -> int:
        """Write the keys of the data set `name` over existing ones; return how many. An unknown one is status 142.

        Raises:
            ValueError: as `kv_save`.
        """
        return self._portal.call(lambda: self._asynchronous.kv_load(name))
