"""The `kv_*` methods: the keys that all clients share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, overload

from ndb_models.client.requester import OBJECT, Requester, checked_data_set, names_of
from ndb_models.types import JsonInput, JsonValue


class KeyCommands(Requester):
    """Commands on the shared keys.

    Values are sent as they are given. A NemesisDB returns some of them changed, see `protocol.altered`.

    All methods raise `ResponseError` if the server refuses the request, `InvalidArgumentError` for values that JSON
    cannot hold, and the connection errors of `Requester.request`.
    """

    async def kv_set(self, keys: Mapping[str, JsonInput]) -> bool:
        """Write keys, over existing ones. An empty mapping has no effect."""
        return await self._done("KV_SET", keys=keys)

    async def kv_add(self, keys: Mapping[str, JsonInput]) -> bool:
        """Write only the keys that do not exist yet; the others stay as they are. The answer does not say which."""
        return await self._done("KV_ADD", keys=keys)

    async def kv_get(self, keys: Sequence[str]) -> dict[str, JsonValue]:
        """Return the values of some keys. Missing keys are left out."""
        return await self._ask("KV_GET", "keys", OBJECT, keys=names_of(keys))

    async def kv_rmv(self, keys: Sequence[str]) -> bool:
        """Remove keys. Missing keys do no harm. At least one key must be named (status 42)."""
        return await self._done("KV_RMV", keys=names_of(keys))

    async def kv_count(self) -> int:
        """Return how many keys there are."""
        return await self._ask("KV_COUNT", "cnt", int)

    async def kv_contains(self, keys: Sequence[str]) -> list[str]:
        """Return the given keys that exist, in the given order."""
        return await self._ask_names("KV_CONTAINS", "contains", keys=names_of(keys))

    async def kv_keys(self) -> list[str]:
        """Return the names of all keys, in any order."""
        return await self._ask_names("KV_KEYS", "keys")

    async def kv_clear(self) -> int:
        """Remove all keys; return how many there were."""
        return await self._ask("KV_CLEAR", "cnt", int)

    async def kv_clear_set(self, keys: Mapping[str, JsonInput]) -> int:
        """Remove all keys, then write the given ones; return how many were removed."""
        return await self._ask("KV_CLEAR_SET", "cnt", int, keys=keys)

    @overload
    async def kv_find(
        self, path: str, rsp: Literal["keys", "paths"] = "keys", keys: Sequence[str] = ()
    ) -> list[str]: ...
    @overload
    async def kv_find(self, path: str, rsp: Literal["kv"], keys: Sequence[str] = ()) -> dict[str, JsonValue]: ...
    async def kv_find(
        self, path: str, rsp: Literal["keys", "paths", "kv"] = "keys", keys: Sequence[str] = ()
    ) -> list[str] | dict[str, JsonValue]:
        """Search values by JSONPath (RFC 9535).

        Args:
            path: applied to the value of each key. An invalid path is status 4.
            rsp: the kind of result. `"keys"` returns the names of keys with a match, `"kv"` returns such keys with
                their values, and `"paths"` returns the paths of all matches.
            keys: search only in these keys; in all keys if empty.
        """
        body: dict[str, object] = {"path": path, "rsp": rsp}
        if keys:
            body["keys"] = names_of(keys)
        match rsp:
            case "paths":
                return await self._ask_names("KV_FIND", "paths", **body)
            case "kv":
                return await self._ask("KV_FIND", "keys", OBJECT, **body)
            case _:
                return await self._ask_names("KV_FIND", "keys", **body)

    async def kv_update(self, key: str, path: str, value: JsonInput) -> int:
        """Replace all matches of `path`, a JSONPath, in a key's value; return how many. An unknown key is status 22."""
        return await self._ask("KV_UPDATE", "cnt", int, key=key, path=path, value=value)

    async def kv_arr_append(self, key: str, items: Sequence[JsonInput], name: str | None = None) -> bool:
        """Append items to an array: the key's value, or its member `name`.

        An unknown key is status 22. A value that is no array is status 1000.
        """
        body: dict[str, object] = {"key": key, "items": items}
        if name is not None:
            body["name"] = name
        return await self._done("KV_ARR_APPEND", **body)

    async def kv_save(self, name: str) -> bool:
        """Save all keys to the data set `name`. The server must have a persist path (status 14).

        Raises:
            ValueError: the name is not one path segment, see `why_not_a_data_set`. The request was not sent.
        """
        return await self._done("KV_SAVE", name=checked_data_set(name))

    async def kv_load(self, name: str) -> int:
        """Write the keys of the data set `name` over existing ones; return how many. An unknown one is status 142.

        Raises:
            ValueError: as `kv_save`.
        """
        return await self._ask("KV_LOAD", "keys", int, name=checked_data_set(name))
