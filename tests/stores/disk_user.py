"""Uses a store on a disk that fills up and breaks (see `tests/disk`), and says how it goes.

python -m tests.stores.disk_user FILE
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from ndb_models import NdbClient, ResponseError, StoreError
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.contract import SHARED
from ndb_models.stores.sqlite import SqliteStore


async def use(store: SqliteStore, client: NdbClient, failing: Path) -> None:
    """Write before, while and after something is wrong; while it is, over the protocol too."""
    await store.set(SHARED, {"before": b"1"})
    failing.touch()
    writes = [store.set(SHARED, {f"{number}": b'"%s"' % (b"x" * 10_000)}) for number in range(3)]
    for failure in await asyncio.gather(*writes, return_exceptions=True):
        assert isinstance(failure, StoreError)
        sys.stdout.write(f"{type(failure).__name__}: {failure.reason}\n")
    assert await store.names(SHARED) == ["before"]
    try:
        await client.kv_set({"secret": "hunter2"})
    except ResponseError as exc:
        sys.stdout.write(f"{exc}\n")
    assert await client.kv_get(("before",)) == {"before": 1}
    failing.unlink()
    await store.set(SHARED, {"after": b"1"})
    await store.remove(SHARED, ["after"])


async def main(path: Path) -> None:
    async with SqliteStore(path) as store, SqliteStore(path) as other:
        async with NdbServer(Engine(other), ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
            for name in ("DISK_FULL", "DISK_BROKEN"):
                await use(store, client, Path(os.environ[name]))
        await store.set(SHARED, {"last": b"1"})
    async with SqliteStore(path) as store:
        sys.stdout.write(f"{sorted(await store.names(SHARED))}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
