"""What a session occupies in memory, however it came about."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from ndb_models import Expiry, NdbClient, Repository, SessionModel
from ndb_models.types import JsonInput

MOST = 480
"""Bytes for a session of five short fields that expires, its entry in the store included."""

MORE = 32
"""Bytes that changing a session may add: its deadline is no longer that of its creation."""

SESSIONS = 2000


async def occupied() -> int:
    await asyncio.sleep(0.01)  # callbacks of what has ended run
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def create(client: NdbClient, number: int) -> int:
    session = await client.sh_create_session(1800, True, True, True)
    address = f"user{number}@example.org"
    fields: dict[str, JsonInput] = {
        "username": f"user{number}",
        "email": address,
        "visits": number,
        "theme": "dark",
        "since": "2026-01-01",
    }
    await client.sh_set(fields, session.tkn)
    return session.tkn


@pytest.mark.slow
async def test_a_session_takes_no_more_memory_after_it_was_edited_counted_or_loaded(tmp_path: Path) -> None:
    uri = f"memory://?persist_path={tmp_path}"
    tracemalloc.start()
    try:
        async with NdbClient.connect(uri) as client:
            await client.sh_set({"visits": 1}, await create(client, 0))  # what is made once
            before = await occupied()
            tokens = [await create(client, number) for number in range(SESSIONS)]
            assert await occupied() - before < MOST * SESSIONS
            for tkn in tokens:
                await client.sh_set({"visits": 3}, tkn)
                await client.sh_count(tkn)
            assert await occupied() - before < MOST * SESSIONS
            await client.sh_save("all")
        del tokens
        before = await occupied()
        async with NdbClient.connect(uri) as client:
            await client.sh_load("all")
            assert await occupied() - before < MOST * SESSIONS
    finally:
        tracemalloc.stop()


class Visit(SessionModel, schema="remembered-visit", expiry=Expiry(idle=timedelta(minutes=30))):
    username: str = "billy"
    email: str = "billy@example.org"
    visits: int = 1
    theme: str = "dark"
    since: str = "2026-01-01"


@pytest.mark.slow
async def test_a_changed_model_takes_no_more_memory_than_a_new_one() -> None:
    tracemalloc.start()
    try:
        async with NdbClient.connect("memory://") as client:
            repo = Repository(client, Visit)
            await repo.update((await repo.save(Visit())).tkn, visits=2)  # what is made once
            tokens = [(await repo.save(Visit())).tkn for _ in range(SESSIONS)]
            created = await occupied()
            for tkn in tokens:
                await repo.update(tkn, visits=3)
            assert await occupied() - created < MORE * SESSIONS
    finally:
        tracemalloc.stop()
