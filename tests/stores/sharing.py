"""One of several processes on one file: counts in a session that all share, and tries to create what others create too.

    python -m tests.stores.sharing FILE ROUNDS

Prints which of the tokens 1 to ROUNDS it created.
"""

from __future__ import annotations

import asyncio
import sys

from ndb_models.stores.contract import NEVER
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore

SHARED_SESSION = 2**64 - 1
TASKS = 5
PATIENT = SqliteOptions(busy_timeout=60)


async def count(store: SqliteStore, name: str, rounds: int) -> None:
    for _ in range(rounds):
        while True:
            old = (await store.get(SHARED_SESSION, [name]))[name]
            if await store.change(SHARED_SESSION, {name: b"%d" % (int(old) + 1)}, expected={name: old}):
                break


async def main(path: str, rounds: int) -> None:
    async with SqliteStore(path, PATIENT) as store:
        counting = [asyncio.create_task(count(store, f"counter{number}", rounds)) for number in range(TASKS)]
        created = [token for token in range(1, rounds + 1) if await store.create(token, NEVER)]
        await asyncio.gather(*counting)
    sys.stdout.write(f"{' '.join(map(str, created))}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
