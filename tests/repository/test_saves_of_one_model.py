"""Saves of one model that overlap, or follow one that was cancelled: no change is lost, and none is made twice."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Any

import pytest

from ndb_models import Merge, NdbClient, Repository, SessionModel
from tests.repository.recording import RecordingEngine


class Shop(SessionModel, schema="saved-again"):
    cart: dict[str, int] = {}
    tags: set[str] = set()
    log: list[str] = []
    count: Annotated[int, Merge.add] = 0
    page: str = ""


@pytest.fixture
def shops(timed: NdbClient) -> Repository[Shop]:
    return Repository(timed, Shop)


async def cancelled(engine: RecordingEngine, saving: Any, *, done: bool) -> None:
    """Cancel a save while its request waits at the server, before or after it is carried out."""
    engine.hold("SH_CHANGE", carried_out=done)
    task = asyncio.ensure_future(saving)
    await engine.waiting.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    engine.release()


@pytest.mark.parametrize("others", [False, True])
async def test_a_save_that_begins_while_another_runs_makes_no_change_twice(
    shops: Repository[Shop], engine: RecordingEngine, others: bool
) -> None:
    shop = await shops.save(Shop())
    if others:
        await shops.update(shop.tkn, log=["other"], count=10, tags={"other"}, cart={"other": 1})
    engine.hold("SH_CHANGE")
    saves = []
    for name in "abc":
        shop.log.append(name)
        shop.cart[name] = 1
        shop.tags.add(name)
        shop.count += 1
        saves.append(asyncio.create_task(shops.save(shop)))
        await engine.waiting.wait()
        await asyncio.sleep(0)
    engine.release()
    await asyncio.gather(*saves)

    stored = await shops.get(shop.tkn)
    before = ["other"] if others else []
    assert stored.log == [*before, "a", "b", "c"]
    assert stored.count == 3 + 10 * others
    assert stored.tags == {*before, "a", "b", "c"}
    assert stored.cart == dict.fromkeys([*before, "a", "b", "c"], 1)
    assert shop == stored


async def test_a_save_waits_for_one_that_is_cancelled_and_then_is_made(
    shops: Repository[Shop], engine: RecordingEngine
) -> None:
    shop = await shops.save(Shop())
    engine.hold("SH_CHANGE")
    shop.cart["a"] = 1
    first = asyncio.create_task(shops.save(shop))
    await engine.waiting.wait()
    shop.cart["b"] = 1
    second = asyncio.create_task(shops.save(shop))
    await asyncio.sleep(0)
    first.cancel()
    engine.release()
    await second
    assert (await shops.get(shop.tkn)).cart == shop.cart == {"a": 1, "b": 1}


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("done", [False, True])
async def test_what_a_cancelled_save_may_have_added_can_be_taken_back(
    shops: Repository[Shop], engine: RecordingEngine, done: bool, others: bool
) -> None:
    shop = await shops.save(Shop(cart={"old": 1}, tags={"old"}))
    shop.cart["a"] = 1
    shop.cart["old"] = 2
    shop.tags ^= {"a", "old"}
    await cancelled(engine, shops.save(shop), done=done)
    if others:
        other = await shops.get(shop.tkn)
        other.cart["other"] = 1
        other.tags.add("other")
        await shops.save(other)

    del shop.cart["a"]
    shop.cart["old"] = 1
    shop.cart["b"] = 1
    shop.tags = {"old", "b"}
    await shops.save(shop)

    stored = await shops.get(shop.tkn)
    assert stored.cart == {"old": 1, "b": 1} | ({"other": 1} if others else {})
    assert stored.tags == {"old", "b"} | ({"other"} if others else set())
    assert shop == stored


async def test_what_the_first_of_two_cancelled_saves_added_can_be_taken_back(
    shops: Repository[Shop], engine: RecordingEngine
) -> None:
    shop = await shops.save(Shop(count=5))
    shop.tags = {"a"}
    shop.count = 6
    await cancelled(engine, shops.save(shop), done=True)
    shop.tags = {"b"}
    engine.hold("SH_PEEK")
    second = asyncio.create_task(shops.save(shop))
    await engine.waiting.wait()
    second.cancel()  # before it writes
    with contextlib.suppress(asyncio.CancelledError):
        await second
    engine.release()
    shop.tags.add("c")
    shop.count = 5
    await shops.save(shop)
    assert await shops.get(shop.tkn) == shop == Shop(tags={"b", "c"}, count=5)


@pytest.mark.parametrize("done", [False, True])
async def test_a_cancelled_save_can_be_undone_as_a_whole(
    shops: Repository[Shop], engine: RecordingEngine, done: bool
) -> None:
    shop = await shops.save(Shop(log=["old"], count=5))
    shop.log.append("new")
    shop.count += 1
    shop.page = "new"
    await cancelled(engine, shops.save(shop), done=done)
    shop.log.remove("new")
    shop.count -= 1
    shop.page = ""
    await shops.save(shop)
    assert await shops.get(shop.tkn) == shop == Shop(log=["old"], count=5)
