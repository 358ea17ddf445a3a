"""Writes of which the store cannot say whether they were carried out: they are made once, or their error says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated

import pytest

from ndb_models import Merge, NdbClient, Repository, SessionModel
from ndb_models.engine import Engine
from ndb_models.errors import StoreError, StoreNotReplicatedError, StoreUnreachableError, UnavailableError
from ndb_models.server import NdbServer, ServerOptions
from tests.stores.uncertain_store import PLACE, UncertainClient, UncertainStore


class Shop(SessionModel, schema="unknown-outcomes"):
    cart: dict[str, int] = {}
    tags: set[str] = set()
    log: list[str] = []
    count: Annotated[int, Merge.add] = 0


def unreachable() -> StoreError:
    return StoreUnreachableError(PLACE, "change had no reply within 10 s (no answer)", maybe_done=True)


def failed() -> StoreError:
    return StoreError(PLACE, "change failed: the server answered ERR", maybe_done=True)


@pytest.fixture
def store() -> UncertainStore:
    return UncertainStore()


@pytest.fixture(params=["in this process", "through a server"])
async def client(request: pytest.FixtureRequest, store: UncertainStore) -> AsyncIterator[NdbClient]:
    if request.param == "in this process":
        async with UncertainClient(store) as client:
            yield client
    else:
        async with NdbServer(Engine(store), ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
            yield client


@pytest.fixture
def shops(client: NdbClient) -> Repository[Shop]:
    return Repository(client, Shop)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("error", [unreachable, failed])
async def test_a_merged_save_is_made_once(
    shops: Repository[Shop], store: UncertainStore, error: Callable[[], StoreError], done: bool
) -> None:
    shop = await shops.save(Shop(cart={"old": 1}))
    other = await shops.get(shop.tkn)
    shop.cart["apple"] = 1
    shop.tags.add("mine")
    store.fail("change", error(), done=done)
    await shops.save(shop)
    other.cart["pear"] = 2
    await shops.save(other)
    stored = await shops.get(shop.tkn)
    assert stored.cart == {"old": 1, "apple": 1, "pear": 2}
    assert stored.tags == {"mine"}


@pytest.mark.parametrize("done", [False, True])
async def test_a_sum_and_a_list_are_not_repeated_and_the_error_says_that_they_may_be_stored(
    shops: Repository[Shop], store: UncertainStore, done: bool
) -> None:
    shop = await shops.save(Shop())
    shop.count += 1
    shop.log.append("once")
    store.fail("change", unreachable(), done=done)
    with pytest.raises(UnavailableError) as unknown:
        await shops.save(shop)
    assert unknown.value.maybe_done
    stored = await shops.get(shop.tkn)
    assert (stored.count, stored.log) == ((1, ["once"]) if done else (0, []))


async def test_it_is_given_up_after_three_losses(shops: Repository[Shop], store: UncertainStore) -> None:
    shop = await shops.save(Shop())
    shop.tags.add("mine")
    store.fail("change", unreachable(), done=False, times=4)
    with pytest.raises(UnavailableError) as unknown:
        await shops.save(shop)
    assert unknown.value.maybe_done
    assert (await shops.get(shop.tkn)).tags == set()


async def test_a_store_that_stays_away_is_told_with_the_outcome_that_is_unknown(
    shops: Repository[Shop], store: UncertainStore
) -> None:
    shop = await shops.save(Shop())
    shop.tags.add("mine")
    store.fail("change", unreachable(), done=True, goes_away=True)
    with pytest.raises(UnavailableError, match="change had no reply") as unknown:
        await shops.save(shop)  # what is stored cannot be read either, which says nothing of the write
    assert unknown.value.maybe_done
    store.is_away = False
    assert (await shops.get(shop.tkn)).tags == {"mine"}


async def test_a_write_that_replicas_do_not_confirm_is_reported(shops: Repository[Shop], store: UncertainStore) -> None:
    shop = await shops.save(Shop())
    shop.tags.add("mine")
    store.fail("change", StoreNotReplicatedError(PLACE, "change", 0, 1), done=True)
    store.fail("add", StoreNotReplicatedError(PLACE, "add", 0, 1), done=True, times=4)
    with pytest.raises(UnavailableError, match="0 of 1 replicas confirmed") as unknown:
        await shops.save(shop)
    assert unknown.value.maybe_done


@pytest.mark.parametrize("done", [False, True])
async def test_the_hooks_are_told_of_a_change_once(shops: Repository[Shop], store: UncertainStore, done: bool) -> None:
    told: list[frozenset[str]] = []

    @shops.on_changed
    async def note(_session: Shop, changed: frozenset[str]) -> None:
        told.append(changed)

    shop = await shops.save(Shop())
    shop.tags.add("mine")
    store.fail("change", unreachable(), done=done)
    await shops.save(shop)
    assert told == [{"tags"}]


@pytest.mark.parametrize("error", [unreachable, lambda: StoreNotReplicatedError(PLACE, "create", 0, 1)])
async def test_a_creation_leaves_no_session_that_nobody_knows(
    client: NdbClient, shops: Repository[Shop], store: UncertainStore, error: Callable[[], StoreError]
) -> None:
    shop = Shop()
    store.fail("create", error(), done=True)
    with pytest.raises(UnavailableError) as unknown:
        await shops.save(shop)
    assert unknown.value.maybe_done
    assert not shop.is_saved
    await client.close()  # after what it does in the background
    assert await store.totals() == (0, 0)
