"""A synchronous call on a store in memory takes at most 60 us more than the asynchronous one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from ndb_models import NdbClient, Repository
from ndb_models.sync import SyncClient, SyncRepository
from tests.sync.models import User

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

MOST: Final = 60e-6

# Short runs, of which the quickest counts: what else the machine does interrupts the longer ones.
CALLS: Final = 20
RUNS: Final = 60


def visit(session: User) -> None:
    session.visits += 1


async def edit(repo: Repository[User], tkn: int) -> None:
    async with repo.edit(tkn) as session:
        visit(session)


def edit_synchronously(repo: SyncRepository[User], tkn: int) -> None:
    with repo.edit(tkn) as session:
        visit(session)


VERBS: Final[
    dict[
        str, tuple[Callable[[Repository[User], int], Awaitable[object]], Callable[[SyncRepository[User], int], object]]
    ]
] = {
    "get": (lambda repo, tkn: repo.get(tkn), lambda repo, tkn: repo.get(tkn)),
    "create": (lambda repo, _: repo.create(User(username="b")), lambda repo, _: repo.create(User(username="b"))),
    "update": (lambda repo, tkn: repo.update(tkn, roles=["a"]), lambda repo, tkn: repo.update(tkn, roles=["a"])),
    "edit": (edit, edit_synchronously),
    "mutate": (lambda repo, tkn: repo.mutate(tkn, visit), lambda repo, tkn: repo.mutate(tkn, visit)),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_call_takes_at_most_60_microseconds_more(verb: str) -> None:
    asynchronous, synchronous = VERBS[verb]
    with SyncClient.connect("memory://") as client, asyncio.Runner() as runner:
        repo = SyncRepository(client, User)
        tkn = repo.save(User(username="billy")).tkn
        other = Repository(NdbClient("memory://"), User)
        its_tkn = runner.run(other.save(User(username="billy"))).tkn

        async def awaited() -> float:
            started = time.perf_counter()
            for _ in range(CALLS):
                await asynchronous(other, its_tkn)
            return (time.perf_counter() - started) / CALLS

        def called() -> float:
            started = time.perf_counter()
            for _ in range(CALLS):
                synchronous(repo, tkn)
            return (time.perf_counter() - started) / CALLS

        extra = min(called() for _ in range(RUNS)) - min(runner.run(awaited()) for _ in range(RUNS))
    assert extra <= MOST
