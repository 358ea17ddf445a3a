"""Gather the facts about a store on a Redis or Valkey. Nothing is written."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, Final

from ndb_models.doctor.facts import RedisFacts, RedisServerFacts
from ndb_models.errors import NdbError, StoreError
from ndb_models.stores.redis import require_hiredis
from ndb_models.stores.redis.health import settings_of
from ndb_models.stores.redis.options import RedisUri
from ndb_models.stores.redis.slot_map import info_fields

_TIMEOUT: Final = 5.0
_SECTIONS: Final = (b"server", b"memory")


async def redis_facts(uri: RedisUri) -> RedisFacts:
    """Return the facts about a store on a Redis or Valkey. Facts that a server does not tell are left out.

    Raises:
        InvalidArgumentError: the extra `redis` is not installed.
    """
    facts = RedisFacts(
        shown=uri.shown,
        hosts=tuple(host for host, _ in uri.addresses),
        is_secure=uri.tls,
        has_password=uri.password is not None,
        wait_replicas=uri.options.wait_replicas,
        is_cluster=uri.is_cluster,
    )
    require_hiredis()
    from ndb_models.stores.redis.driver import Driver  # it imports hiredis

    driver = Driver(uri)
    try:
        await driver.open(warns=False)
        servers = await asyncio.gather(*map(_server, await driver.masters()))
        return replace(facts, servers=tuple(servers))
    except NdbError as exc:
        return replace(facts, unreachable=str(exc))
    finally:
        await driver.aclose()


async def _server(node: Any) -> RedisServerFacts:
    settings: dict[str, str] = {}
    skew = latency = None
    try:
        async with asyncio.timeout(_TIMEOUT):
            skew, latency = await _clock(node)
            settings = await settings_of(node)
            for section in _SECTIONS:
                settings |= info_fields(await node.command(b"INFO", section))
            settings |= await _limit(node)
    except (StoreError, TimeoutError):  # this user must not ask
        pass
    return RedisServerFacts(node.name, settings, skew, latency)


async def _clock(node: Any) -> tuple[float, float]:
    """Return by how many seconds a server's clock is ahead, and the seconds that asking took."""
    before, begun = time.time(), time.perf_counter()
    seconds, microseconds = await node.command(b"TIME")
    latency = time.perf_counter() - begun
    return int(seconds) + int(microseconds) / 1e6 - (before + latency / 2), latency


async def _limit(node: Any) -> dict[str, str]:
    """Return `maxmemory`, which old servers tell in their configuration alone."""
    try:
        _, value = await node.command(b"CONFIG", b"GET", b"maxmemory")
        return {"maxmemory": value.decode()}
    except (StoreError, ValueError):
        return {}
