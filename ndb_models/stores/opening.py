"""From a URI to a store. A new kind of store gets a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ndb_models.errors import InvalidArgumentError
from ndb_models.stores.contract import Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.redis import redis_store
from ndb_models.stores.redis.options import SCHEMES, RedisUri, parse_redis_uri

if TYPE_CHECKING:
    from ndb_models.stores.sqlite.options import SqliteUri

_EXAMPLES: Final = "try 'memory://', 'sqlite:///sessions.db' or 'redis://127.0.0.1:6379'"


async def open_store(uri: str) -> Store:
    """Return the open store that a URI names: `memory://`, `sqlite:///PATH`, or a Redis. The caller must close it.

    Raises:
        InvalidArgumentError: it names no store, or has options that do not exist or are not the store's.
        StoreError: it cannot be opened.
    """
    parsed = parse_store_uri(uri)
    if parsed is None:
        return MemoryStore()
    if isinstance(parsed, RedisUri):
        elsewhere = redis_store(parsed)
        await elsewhere.open()
        return elsewhere
    from ndb_models.stores.sqlite import SqliteStore  # there are Pythons without sqlite3

    store = SqliteStore(parsed.path, parsed.options)
    try:
        await store.open()
    except BaseException:
        store.leave()
        raise
    return store


def parse_store_uri(uri: str) -> SqliteUri | RedisUri | None:
    """Return the place that a store's URI names, without opening it; None for a store in memory.

    Raises:
        InvalidArgumentError: as `open_store`.
        StoreError: the path is relative, and the working directory is gone.
    """
    match _scheme(uri):
        case "memory" if uri == "memory://":
            return None
        case "sqlite":
            from ndb_models.stores.sqlite.options import parse_sqlite_uri

            parsed = parse_sqlite_uri(uri)
            _require_no_persist_path(parsed.persist_path)
            return parsed
        case scheme if scheme in SCHEMES:
            elsewhere = parse_redis_uri(uri)
            _require_no_persist_path(elsewhere.persist_path)
            return elsewhere
        case scheme:
            raise InvalidArgumentError(f"there is no store at a URI of the scheme {scheme!r} like this; {_EXAMPLES}")


def _require_no_persist_path(given: str | None) -> None:
    if given is not None:
        raise InvalidArgumentError("persist_path is no option of a store: data sets are the engine's (--persist-path)")


def _scheme(uri: str) -> str:
    try:
        return urlsplit(uri).scheme
    except ValueError:
        raise InvalidArgumentError(f"the URI is malformed; {_EXAMPLES}") from None
