"""The store on a Redis or Valkey, a single server or a cluster: shared by any number of processes on any machines."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ndb_models.errors import InvalidArgumentError
from ndb_models.stores.redis.options import parse_redis_uri

if TYPE_CHECKING:
    from ndb_models.stores.redis.store import RedisStore


def redis_store(text: str) -> RedisStore:
    """Return the store that a URI names, which is not open yet. See `parse_redis_uri`.

    Raises:
        InvalidArgumentError: the URI is malformed, has unknown options or invalid values; or hiredis is missing.
    """
    uri = parse_redis_uri(text)
    if importlib.util.find_spec("hiredis") is None:
        raise InvalidArgumentError("a store on Redis or Valkey needs hiredis: pip install 'ndb_models[redis]'")
    from ndb_models.stores.redis.store import RedisStore  # it imports hiredis

    return RedisStore(uri)
