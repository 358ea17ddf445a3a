"""Stores on the Redis and Valkey servers of a run of tests, which start when the first test asks for one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.redis_servers import Shared

KINDS = ("valkey", "cluster", "redis 7", "redis 6")
"""The kinds of servers: a single Valkey, a cluster of Valkeys, and single servers of older releases."""

IS_COMPLETE = os.environ.get("NDB_REDIS") == "all"
"""True if tests run on each kind of server, and through servers of this package in front of them too."""

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
    """Return the URI of an empty store on one of the `KINDS` of servers. Skips the test where there is none."""
    servers = _start[-1]()
    uri = servers.cluster.get("valkey") if kind == "cluster" else servers.single.get(kind)
    if uri is None:
        pytest.skip(f"there is no {kind} here")
    return f"{uri}?prefix={token_hex(8)}"
