"""A synchronous call on a store in memory is cheap, since no other thread takes part in it.

How much more it takes than an asynchronous call is measured by `benchmarks.synchronous`.
"""

from __future__ import annotations

import threading

from ndb_models.sync import SyncClient, SyncRepository
from tests.sync.models import User


def visit(session: User) -> None:
    session.visits += 1


def test_calls_on_a_store_in_memory_start_no_thread() -> None:
    with SyncClient.connect("memory://") as client:
        before = threading.enumerate()
        repo = SyncRepository(client, User)
        tkn = repo.save(User(username="billy")).tkn
        repo.update(tkn, roles=["a"])
        repo.mutate(tkn, visit)
        with repo.edit(tkn) as session:
            visit(session)
        assert repo.get(tkn).visits == 2
        assert threading.enumerate() == before
