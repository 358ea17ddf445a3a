"""Stores on the Redis and Valkey servers of a run of tests, which start when the first test asks for one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.redis_servers import Shared

_start: list[Callable[[], Shared]] = []


@contextlib.contextmanager
def started_by(start: Callable[[], Shared]) -> Iterator[None]:
    """Have `redis_uri` call this for the servers, until the end."""
    _start.append(start)
    try:
        yield
    finally:
        _start.remove(start)


def redis_uri(kind: str = "valkey") -> str:
    """Return the URI of an empty store: "valkey", "redis 7" or "redis 6" on a single server, "cluster" on several."""
    servers = _start[-1]()
    uri = servers.cluster["valkey"] if kind == "cluster" else servers.single[kind]
    return f"{uri}?prefix={token_hex(8)}"
