"""The store on a Redis or Valkey, a single server or a cluster: shared by any number of processes on any machines."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ndb_models.errors import InvalidArgumentError

if TYPE_CHECKING:
    from ndb_models.stores.redis.options import RedisUri
    from ndb_models.stores.redis.store import RedisStore


def redis_store(uri: RedisUri) -> RedisStore:
    """Return the store that a URI names, which is not open yet.

    Raises:
        InvalidArgumentError: the package hiredis is missing.
    """
    require_hiredis()
    from ndb_models.stores.redis.store import RedisStore  # it imports hiredis

    return RedisStore(uri)


def require_hiredis() -> None:
    """Check that the parser of the servers' protocol is installed.

    Raises:
        InvalidArgumentError: the package hiredis is missing.
    """
    if importlib.util.find_spec("hiredis") is None:
        raise InvalidArgumentError("a store on Redis or Valkey needs hiredis: pip install 'ndb_models[redis]'")
