"""Threads, each with an event loop and a client of its own, share a store in memory: no verb is seen half done."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import pytest

from ndb_models import Expiry, NdbClient, Repository, SessionModel, UnusableSessionError

pytestmark = pytest.mark.slow

THREADS: Final = 4
ROUNDS: Final = 1500
_names: Final = itertools.count()


class Counters(SessionModel):
    """A field for each thread, and two that are always written together."""

    c0: int = 0
    c1: int = 0
    c2: int = 0
    c3: int = 0
    left: int = 0
    right: int = 0


class Brief(SessionModel, expiry=Expiry(idle=1)):
    """What is swept while others are created."""

    name: str = ""


@pytest.fixture(autouse=True)
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def uri() -> str:
    return f"memory://threads-{next(_names)}"


T = TypeVar("T")


def in_threads(uri: str, work: Callable[[NdbClient, int], Awaitable[T]]) -> list[T]:
    """Run a piece of work in each of several threads, all at once; return what came of each."""
    ready = threading.Barrier(THREADS)

    async def run(number: int) -> T:
        ready.wait()
        async with NdbClient.connect(uri) as client:
            return await work(client, number)

    with ThreadPoolExecutor(THREADS) as pool:
        running = [pool.submit(asyncio.run, run(number)) for number in range(THREADS)]
        return [one.result() for one in running]


def created(uri: str) -> int:
    async def create() -> int:
        async with NdbClient.connect(uri) as client:
            return (await Repository(client, Counters).save(Counters())).tkn

    return asyncio.run(create())


def read(uri: str, tkn: int) -> Counters:
    async def get() -> Counters:
        async with NdbClient.connect(uri) as client:
            return await Repository(client, Counters).get(tkn)

    return asyncio.run(get())


def test_updates_of_different_fields_all_survive(uri: str) -> None:
    tkn = created(uri)

    async def count(client: NdbClient, number: int) -> None:
        repo = Repository(client, Counters)
        for _ in range(ROUNDS):
            async with repo.edit(tkn) as session:
                setattr(session, f"c{number}", getattr(session, f"c{number}") + 1)
        await repo.update(tkn, left=1)

    in_threads(uri, count)
    stored = read(uri, tkn)
    assert [stored.c0, stored.c1, stored.c2, stored.c3] == [ROUNDS] * THREADS


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_written_together_is_read_together(uri: str, whole: bool) -> None:
    tkn = created(uri)

    async def write_or_read(client: NdbClient, number: int) -> None:
        for count in range(ROUNDS * 3):
            if number % 2 == 0:
                await client.sh_set({"left": count, "right": count}, tkn)
                if not whole:
                    await client.sh_rmv(("left", "right"), tkn)
                    await client.sh_add({"left": count, "right": count}, tkn)
            else:
                keys = await client.sh_get(("left", "c0", "c1", "c2", "c3", "right"), tkn)
                assert keys.get("left") == keys.get("right")

    # One that writes; that two who write agree is not promised by `SH_ADD`.
    in_threads(uri, lambda client, number: write_or_read(client, number if number else 0) if number != 2 else _idle())


async def _idle() -> None:
    return None


def test_each_change_of_one_shared_value_counts(uri: str) -> None:
    async def append(client: NdbClient, number: int) -> None:
        await client.kv_add({"items": [], "counts": {}})
        for count in range(ROUNDS):
            await client.kv_arr_append("items", [number])
            await client.kv_set({f"{number}-{count}": True})

    in_threads(uri, append)

    async def look(client: NdbClient, number: int) -> None:
        items = (await client.kv_get(("items",)))["items"]
        assert isinstance(items, list)
        assert len(items) == THREADS * ROUNDS
        assert await client.kv_count() == THREADS * ROUNDS + 2

    in_threads(uri, look)


def test_sessions_are_created_ended_and_swept_once(uri: str) -> None:
    tkn = created(uri)

    async def create_and_end(client: NdbClient, number: int) -> tuple[int, bool]:
        repo, brief = Repository(client, Counters), Repository(client, Brief)
        kept = 0
        for count in range(ROUNDS):
            session = await repo.save(Counters(c0=count))
            other = await brief.create(Brief(name=str(number)), expiry=Expiry(idle=1))
            assert await repo.exists(session.tkn)
            if count % 2:
                assert await repo.delete(session.tkn)
                await client.sh_end(other.tkn)
            else:
                kept += 1
        await client.sh_info_all()
        ended = await repo.delete(tkn)
        return kept, ended

    outcomes = in_threads(uri, create_and_end)
    kept = sum(outcome[0] for outcome in outcomes)
    assert sum(outcome[1] for outcome in outcomes) == 1

    async def look() -> None:
        async with NdbClient.connect(uri) as client:
            total = (await client.sh_info_all())["totalSessions"]
            assert isinstance(total, int)
            assert kept <= total <= 2 * kept  # those that are brief may have ended by now

    asyncio.run(look())


def test_replacing_and_ending_all_is_one_step(uri: str) -> None:
    tkn = created(uri)

    async def replace(client: NdbClient, number: int) -> None:
        repo = Repository(client, Counters)
        for count in range(ROUNDS):
            if number == 0:
                await client.kv_clear_set({"a": count, "b": count})
                await client.sh_end_all()
            elif number == 1:
                found = await client.kv_get(("a", "b"))
                assert found.get("a") == found.get("b")
                assert len(await client.kv_keys()) in (0, 2)
            else:
                try:
                    await repo.get(tkn)
                    await repo.save(Counters())
                    await client.sh_session_exists([tkn])
                except UnusableSessionError:
                    await repo.save(Counters())

    in_threads(uri, replace)


def test_one_repository_in_several_threads_reads_what_was_asked_for(uri: str) -> None:
    """A client of a store in memory holds no connection: it may be shared."""

    class Name(SessionModel):
        c0: int

    async def opened() -> NdbClient:
        return await NdbClient.connect(uri)

    client = asyncio.run(opened())
    repo = Repository(client, Counters)
    session = asyncio.run(repo.save(Counters(c0=7)))
    failures: list[BaseException] = []

    def work() -> None:
        async def use() -> None:
            for _ in range(ROUNDS):
                assert await repo.get(session.tkn) == session
                assert await repo.exists(session.tkn)
                assert (await repo.project(session.tkn, Name)).c0 == 7

        try:
            asyncio.run(use())
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it fails the test
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(client.close())
    assert failures == []


def test_one_name_serves_event_loops_one_after_another(uri: str) -> None:
    tkn = created(uri)
    for _ in range(3):
        assert read(uri, tkn) == Counters()
