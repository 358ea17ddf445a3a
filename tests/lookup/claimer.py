"""A process that claims one unique value a round, at a word from its parent: `python -m tests.lookup.claimer URI`."""

from __future__ import annotations

import asyncio
import sys

from ndb_models import DuplicateError, NdbClient, Repository
from tests.lookup.models import Login


async def main(uri: str) -> None:
    async with NdbClient.connect(uri) as client:
        repo = Repository(client, Login)
        session = await repo.save(Login())
        loop = asyncio.get_running_loop()
        print("ready", flush=True)  # noqa: T201 - this is how the parent is told
        while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            kind, _, value = word.partition(" ")
            try:
                if kind == "create":
                    await repo.create(Login(email=value))
                else:
                    await repo.update(session.tkn, email=value)
                print("won", flush=True)  # noqa: T201
            except DuplicateError:
                print("lost", flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
