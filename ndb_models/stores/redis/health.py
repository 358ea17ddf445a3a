"""Warns, when a store is opened, of settings of its servers that lose sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from ndb_models.errors import StoreError
from ndb_models.stores.redis.slot_map import info_fields

_logger: Final = logging.getLogger("ndb_models.stores.redis")

_UNKNOWN: Final = "unknown"


class Asked(Protocol):
    """A server that can be asked; see `Node`."""

    name: str

    def command(self, *parts: bytes) -> Awaitable[Any]:
        """Carry out a command that only reads."""
        ...


async def warn_of_losses(place: str, servers: Sequence[Asked], seconds: float) -> None:
    """Log a warning for each kind of loss, with the servers that it threatens.

    A server that does not answer within so many seconds, or does not tell its settings, is passed over.
    """
    found: dict[str, list[str]] = {}
    asking = (_threats(server, seconds) for server in servers)
    for server, threats in zip(servers, await asyncio.gather(*asking), strict=True):
        for threat in threats:
            found.setdefault(threat, []).append(server.name)
    for threat, names in found.items():
        _logger.warning("%s: %s (%s)", place, threat, ", ".join(names))


async def _threats(server: Asked, seconds: float) -> list[str]:
    try:
        async with asyncio.timeout(seconds):
            info = await settings_of(server)
    except (StoreError, TimeoutError):
        return []
    return [text for is_threatened, text in THREATS if is_threatened(info)]


async def settings_of(server: Asked) -> dict[str, str]:
    """Return the fields of `INFO` that tell of losses, and `save`: "unknown" if the server does not tell it.

    Raises:
        StoreError: the server does not answer, or not this.
    """
    settings: dict[str, str] = {}
    for section in (b"memory", b"persistence", b"replication"):
        settings |= info_fields(await server.command(b"INFO", section))
    try:
        _, save = await server.command(b"CONFIG", b"GET", b"save")
        settings["save"] = save.decode()
    except (StoreError, ValueError):  # services that are rented do not tell
        settings["save"] = _UNKNOWN
    return settings


def _evicts(info: Mapping[str, str]) -> bool:
    return info.get("maxmemory_policy", "noeviction") != "noeviction"


def _forgets(info: Mapping[str, str]) -> bool:
    return info.get("aof_enabled") == "0" and info["save"] == ""


def _forgets_the_latest(info: Mapping[str, str]) -> bool:
    has_only_snapshots = info.get("aof_enabled") == "0" and info["save"] not in ("", _UNKNOWN)
    return has_only_snapshots and _stands_alone(info)


def _stands_alone(info: Mapping[str, str]) -> bool:
    return info.get("role") == "master" and info.get("connected_slaves") == "0"


THREATS: Final[Sequence[tuple[Callable[[Mapping[str, str]], bool], str]]] = (
    (_evicts, "when its memory is full, it drops sessions that live; set maxmemory-policy to noeviction"),
    (_forgets, "it writes nothing to the disk: a restart loses all sessions; set appendonly to yes"),
    (_forgets_the_latest, "a crash loses what was written since its last snapshot; set appendonly to yes"),
    (_stands_alone, "it has no replica: if it fails, its sessions cannot be used, or are lost"),
)
"""Tests of the settings, each with what it threatens."""
