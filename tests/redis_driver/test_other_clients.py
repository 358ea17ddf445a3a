"""Clients of other libraries that are handed over."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from ndb_models import InvalidArgumentError, NdbClient
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.redis.other_clients import redis_uri

if TYPE_CHECKING:
    from tests.redis_servers import Shared

SETTINGS: dict[str, Any] = {"host": "10.0.0.1", "port": 7000, "username": "app", "password": "p@ss:w/rd?#"}


def library(name: str) -> Any:
    return pytest.importorskip(name) and importlib.import_module(name)


@pytest.mark.parametrize(
    ("module", "name"),
    [("redis", "Redis"), ("redis.asyncio", "Redis"), ("valkey", "Valkey"), ("valkey.asyncio", "Valkey")],
)
@pytest.mark.parametrize("tls", [False, True])
def test_the_uri_has_the_client_s_server_user_and_database(module: str, name: str, tls: bool) -> None:
    client = getattr(library(module), name)(**SETTINGS, db=3, ssl=tls, **({"ssl_ca_certs": "/ca.pem"} if tls else {}))
    uri = parse_redis_uri(redis_uri(client, prefix="shop", timeout=5))
    assert uri.addresses == (("10.0.0.1", 7000),)
    assert (uri.user, uri.password, uri.database) == ("app", "p@ss:w/rd?#", 3)
    assert (uri.tls, uri.is_cluster) == (tls, False)
    assert (uri.options.prefix, uri.options.timeout) == ("shop", 5)
    assert uri.options.tls_ca == ("/ca.pem" if tls else None)


@pytest.mark.parametrize("tls", [False, True])
def test_a_cluster_s_client_is_known_as_such(tls: bool) -> None:
    uri = parse_redis_uri(redis_uri(library("redis.asyncio").RedisCluster(**SETTINGS, ssl=tls)))
    assert uri.addresses == (("10.0.0.1", 7000),)
    assert (uri.user, uri.password) == ("app", "p@ss:w/rd?#")
    assert (uri.tls, uri.is_cluster) == (tls, True)


def test_what_a_uri_cannot_say_is_refused() -> None:
    redis = library("redis")
    for settings in ({"ssl": True, "ssl_cert_reqs": "none"}, {"ssl": True, "ssl_certfile": "/certificate.pem"}):
        with pytest.raises(InvalidArgumentError, match="cannot be handed over"):
            redis_uri(redis.Redis(**SETTINGS, **settings))
    with pytest.raises(InvalidArgumentError, match="path"):
        redis_uri(redis.Redis.from_url("unix:///run/redis.sock"))
    with pytest.raises(InvalidArgumentError, match="redis-py"):
        redis_uri(object())


async def test_a_client_that_was_handed_over_leads_to_its_server(redis_servers: Shared) -> None:
    asyncio_redis = library("redis.asyncio")
    for uri, kind in ((redis_servers.single["valkey"], "Redis"), (redis_servers.cluster["valkey"], "RedisCluster")):
        host, _, port = uri.rpartition("//")[2].rpartition(",")[2].partition(":")
        theirs = getattr(asyncio_redis, kind)(host=host, port=int(port))
        async with theirs, NdbClient.connect(redis_uri(theirs, prefix="handed")) as client:
            await client.kv_set({"key": "value"})
            assert await client.kv_get(["key"]) == {"key": "value"}
            await client.kv_clear()
