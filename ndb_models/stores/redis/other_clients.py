"""The URI of the servers that a client of redis-py or valkey-py uses, so that it can be handed over.

Its connections are not used: the store has its own, to the same servers, as the same user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from ndb_models.errors import InvalidArgumentError

# Settings that a URI cannot express. Leaving them out would mean another user, or less safety.
_UNKNOWN: Final = ("credential_provider", "ssl_certfile", "ssl_keyfile", "ssl_ca_path", "ssl_ca_data", "path")
_LITERALS: Final = frozenset({"none", "optional", 0, 1, "0", "1"})


def redis_uri(client: object, **options: str | float) -> str:
    """Return the URI of a client's servers: `NdbClient.connect(redis_uri(client, prefix="shop"))`.

    Args:
        client: a `Redis` or `RedisCluster` of redis-py, or a `Valkey` or `ValkeyCluster` of valkey-py, asyncio or not.
            It is not used, and may be closed. The URI holds its password.
        options: the options of the store, as in the URI.

    Raises:
        InvalidArgumentError: it is no such client, or it connects in a way that a URI cannot say. Open the store by a
            URI of your own then.
    """
    nodes = getattr(client, "nodes_manager", None)
    given = _settings(client, nodes)
    unknown = [name for name in _UNKNOWN if given.get(name) is not None]
    if given.get("ssl_cert_reqs") in _LITERALS:
        unknown.append("ssl_cert_reqs")
    if unknown:
        raise InvalidArgumentError(f"a client with {', '.join(unknown)} cannot be handed over; open the store by a URI")
    if nodes is None:
        hosts = [(given.get("host", "localhost"), given.get("port", 6379))]
    else:
        hosts = [(node.host, node.port) for node in nodes.startup_nodes.values()]
    scheme = f"redis{'s' * _is_tls(client, given)}{'+cluster' if nodes is not None else ''}"
    addresses = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts)
    ca = given.get("ssl_ca_certs")
    query = {**({} if ca is None else {"tls_ca": ca}), **options}
    database = given.get("db") or 0
    return (
        f"{scheme}://{_credentials(given)}{addresses}"
        + (f"/{database}" if database else "")
        + (f"?{urlencode(query)}" if query else "")
    )


def _settings(client: object, nodes: Any) -> Mapping[str, Any]:
    for holder in (client, nodes, getattr(client, "connection_pool", None)):
        settings: Any = getattr(holder, "connection_kwargs", None)
        if isinstance(settings, Mapping):
            return cast("Mapping[str, Any]", settings)
    raise InvalidArgumentError(f"a client of redis-py or valkey-py is needed, not a {type(client).__name__}")


def _is_tls(client: object, given: Mapping[str, Any]) -> bool:
    pool = getattr(client, "connection_pool", None)
    kind = given.get("connection_class") or getattr(pool, "connection_class", None)
    return bool(given.get("ssl")) or "SSL" in getattr(kind, "__name__", "")


def _credentials(given: Mapping[str, Any]) -> str:
    user, password = given.get("username"), given.get("password")
    if password is None:
        return ""
    return f"{quote(user or '', safe='')}:{quote(password, safe='')}@"
