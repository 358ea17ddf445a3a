"""The Redis and Valkey servers of a run of tests, started when the first test asks for one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from tests.redis_servers import Shared, shared_servers


class _Run:
    """The servers of this run. `folder` is the same for all processes of a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: Shared | None = None
        self._stack = contextlib.ExitStack()

    def servers(self) -> Shared:
        if self._servers is None:
            self._servers = self._stack.enter_context(shared_servers(self._folder))
        return self._servers

    def close(self) -> None:
        self._stack.close()


_runs: list[_Run] = []


@contextlib.contextmanager
def servers_in(folder: Path) -> Iterator[None]:
    """Let `redis_uri` start servers until the end."""
    run = _Run(folder)
    _runs.append(run)
    try:
        yield
    finally:
        _runs.remove(run)
        run.close()


def redis_uri(kind: str = "valkey") -> str:
    """Return the URI of an empty store: "valkey", "redis 7" or "redis 6" on a single server, "cluster" on several."""
    servers = _runs[-1].servers()
    uri = servers.cluster["valkey"] if kind == "cluster" else servers.single[kind]
    return f"{uri}{'&' if '?' in uri else '?'}prefix={token_hex(8)}"
