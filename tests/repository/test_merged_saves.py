"""Changes of the same field by several are merged, on every store and way to reach one; nothing of them is lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final, Self

import pytest
from pydantic import AfterValidator, BaseModel, Field, model_validator

from ndb_models import (
    ConflictError,
    InvalidArgumentError,
    Lookup,
    Merge,
    NdbClient,
    PayloadTooLargeError,
    Repository,
    SessionGoneError,
    SessionModel,
    UnstorableError,
    UnsupportedError,
)
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.reloading import in_place_of
from tests.repository.recording import RecordingEngine
from tests.transport.faulty_server import LOSE, FaultyServer


class Basket(BaseModel):
    items: dict[str, int] = {}
    note: str = ""


class Shop(SessionModel, schema="merged-shop"):
    cart: dict[str, int] = {}
    tags: set[str] = set()
    log: list[str] = []
    basket: Basket = Basket()
    count: Annotated[int, Merge.add] = 0
    highest: Annotated[int, Merge.max] = 0
    owner: Annotated[str, Merge.conflict] = ""
    page: str = ""


class Bounded(SessionModel, schema="merged-bounded"):
    cart: Annotated[dict[str, int], Field(max_length=2)] = {}
    total: int = 0

    @model_validator(mode="after")
    def _not_too_much(self) -> Self:
        if sum(self.cart.values()) > 10:
            raise ValueError("too much")
        return self


class Found(SessionModel, schema="merged-found"):
    email: Annotated[str, Lookup(unique=True)]
    cart: dict[str, int] = {}


class OpenShop(SessionModel, schema="merged-open", extra="allow"):
    pass


@pytest.fixture
def shops(client: NdbClient) -> Repository[Shop]:
    return Repository(client, Shop)


async def two_of(repo: Repository[Any], session: Any) -> tuple[Any, Any]:
    """Return two models of one new session."""
    saved = await repo.save(session)
    return saved, await repo.get(saved.tkn)


async def test_changes_of_one_field_by_two_are_both_kept(shops: Repository[Shop]) -> None:
    start = Shop(cart={"old": 1, "kept": 1}, tags={"old", "kept"}, log=["a"], basket=Basket(items={"x": 1}), count=5)
    one, other = await two_of(shops, start)
    one.cart["apple"] = 1
    del one.cart["old"]
    one.tags.add("one")
    one.log.append("one")
    one.basket.items["one"] = 1
    one.count += 2
    one.highest = 7
    other.cart["pear"] = 2
    other.tags ^= {"old", "other"}
    other.log.append("other")
    other.basket.note = "other"
    other.count -= 1
    other.highest = 9
    await shops.save(other)
    await shops.save(one)
    stored = await shops.get(one.tkn)
    assert stored.cart == {"kept": 1, "apple": 1, "pear": 2}
    assert stored.tags == {"kept", "one", "other"}
    assert stored.log == ["a", "other", "one"]
    assert stored.basket == Basket(items={"x": 1, "one": 1}, note="other")
    assert (stored.count, stored.highest) == (6, 9)
    assert one == stored  # the model is up to date
    one.cart["plum"] = 3
    await shops.save(one)
    assert (await shops.get(one.tkn)).cart == {"kept": 1, "apple": 1, "pear": 2, "plum": 3}


async def test_the_later_write_of_a_scalar_wins(shops: Repository[Shop]) -> None:
    one, other = await two_of(shops, Shop(page="a"))
    one.page, other.page = "one", "other"
    await shops.save(one)
    await shops.save(other)
    assert (await shops.get(one.tkn)).page == "other"


async def test_a_conflict_is_an_error_that_names_the_field_and_writes_nothing(shops: Repository[Shop]) -> None:
    one, other = await two_of(shops, Shop(owner="a"))
    one.owner, one.page = "one", "1"
    other.owner = "other"
    await shops.save(other)
    with pytest.raises(ConflictError, match=r"Shop\.owner") as caught:
        await shops.save(one)
    assert (caught.value.model, caught.value.field, caught.value.attempts) == ("Shop", "owner", None)
    stored = await shops.get(one.tkn)
    assert (stored.owner, stored.page) == ("other", "")
    with pytest.raises(ConflictError):  # it is the same when tried again
        await shops.save(one)
    await shops.refresh(one)
    one.owner = "one"
    await shops.save(one)
    assert (await shops.get(one.tkn)).owner == "one"


async def test_updates_and_edits_are_merged_as_saves_are(shops: Repository[Shop]) -> None:
    shop = await shops.save(Shop())
    async with shops.edit(shop.tkn) as one:
        one.cart["one"] = 1
        one.count += 1
        await shops.update(shop.tkn, cart={"other": 2}, count=5, tags={"t"})
    assert (one.cart, one.count, one.tags) == ({"one": 1, "other": 2}, 6, {"t"})
    assert await shops.get(shop.tkn) == one


async def test_the_merged_whole_is_validated_before_it_is_written(client: NdbClient) -> None:
    repo = Repository(client, Bounded)
    for theirs, mine in (({"a": 6}, {"b": 6}), ({"a": 1}, {"b": 1, "c": 1})):
        one, other = await two_of(repo, Bounded())
        one.cart, other.cart = dict(mine), dict(theirs)
        await repo.save(other)
        with pytest.raises(UnstorableError):
            await repo.save(one)
        assert await repo.get(one.tkn) == other
        assert one.cart == mine
        one.cart = {"b": 1}
        await repo.save(one)
        assert (await repo.get(one.tkn)).cart == {**theirs, "b": 1}


async def test_what_a_validator_works_out_is_worked_out_of_the_merged_values(client: NdbClient) -> None:
    class Till(SessionModel, schema="merged-till"):
        prices: dict[str, int] = {}
        pages: Annotated[list[str], AfterValidator(lambda pages: pages[-3:])] = []
        total: int = 0

        @model_validator(mode="after")
        def _sum(self) -> Self:
            vars(self)["total"] = sum(self.prices.values())
            return self

    repo = Repository(client, Till)
    one, other = await two_of(repo, Till(pages=["a", "b"]))
    one.prices["one"], one.total = 1, 1
    one.pages.append("one")
    other.prices["other"], other.total = 2, 2
    other.pages.append("other")
    await repo.save(other)
    await repo.save(one)
    assert one == Till(prices={"one": 1, "other": 2}, total=3, pages=["b", "other", "one"])
    assert await repo.get(one.tkn) == one


async def test_a_sum_that_no_number_holds_is_refused(client: NdbClient) -> None:
    class Weight(SessionModel, schema="merged-weight"):
        grams: Annotated[float | None, Merge.add] = None

    repo = Repository(client, Weight)
    one, other = await two_of(repo, Weight())
    one.grams = other.grams = 1.5e308
    await repo.save(other)
    with pytest.raises(UnstorableError, match="grams"):
        await repo.save(one)
    assert (await repo.get(one.tkn)).grams == 1.5e308


async def test_a_session_that_has_ended_is_not_revived(shops: Repository[Shop]) -> None:
    one, other = await two_of(shops, Shop())
    await shops.delete(other.tkn)
    one.cart["a"] = 1
    with pytest.raises(SessionGoneError):
        await shops.save(one)
    assert not await shops.exists(one.tkn)


async def test_extra_keys_are_merged_and_removed(client: NdbClient) -> None:
    repo = Repository(client, OpenShop)
    one, other = await two_of(repo, OpenShop(cart={"a": 1}, gone=[1], kept=1))  # type: ignore[call-arg]  # extras
    one.cart["one"] = 1
    del one.gone
    other.cart["other"] = 1
    await repo.save(other)
    await repo.save(one)
    assert (await repo.get(one.tkn)).__pydantic_extra__ == {"cart": {"a": 1, "one": 1, "other": 1}, "kept": 1}


async def test_looked_up_fields_move_with_a_merged_change(client: NdbClient) -> None:
    repo = Repository(client, Found)
    one, other = await two_of(repo, Found(email="a"))
    other.cart["other"] = 1
    await repo.save(other)
    one.cart["one"], one.email = 1, "b"
    await repo.save(one)
    found = await repo.find_one(email="b")
    assert found is not None
    assert found.cart == {"one": 1, "other": 1}
    assert await repo.find_one(email="a") is None
    await repo.create(Found(email="a"))


async def test_what_changes_in_a_model_while_it_is_saved_is_not_lost(
    watched: Repository[Any], engine: RecordingEngine, timed: NdbClient
) -> None:
    repo = Repository(timed, Shop)
    one, other = await two_of(repo, Shop())
    other.cart["other"] = 1
    await repo.save(other)
    one.cart["one"] = 1
    engine.hold("SH_CHANGE", carried_out=True)
    saving = asyncio.create_task(repo.save(one))
    await engine.waiting.wait()
    one.cart["later"] = 2
    engine.release()
    await saving
    assert one.cart == {"one": 1, "other": 1, "later": 2}
    assert (await repo.get(one.tkn)).cart == {"one": 1, "other": 1}
    await repo.save(one)
    assert (await repo.get(one.tkn)).cart == {"one": 1, "other": 1, "later": 2}


async def test_one_frame_is_sent_and_it_compares_nothing_where_the_later_write_wins(
    engine: RecordingEngine, timed: NdbClient
) -> None:
    repo = Repository(timed, Shop)
    shop = await repo.save(Shop(log=["x" * 1000]))
    engine.requests()
    shop.page = "a"
    await repo.save(shop)
    assert engine.commands() == ["SH_SET"]
    shop.log.append("y")
    shop.page = "b"
    await repo.save(shop)
    ((command, body),) = engine.requests()
    assert command == "SH_CHANGE"
    assert body["keys"].keys() == {"log", "page"}
    assert body["digests"].keys() == {"log"}  # a long text is not sent twice
    assert len(body["digests"]["log"]) == 32
    assert "texts" not in body


async def test_an_application_of_another_form_is_merged_with_too(client: NdbClient) -> None:
    class Old(SessionModel, schema="merged-forms"):
        cart: dict[str, int] = {}

    @in_place_of(Old)
    class New(SessionModel, schema="merged-forms"):
        cart: dict[str, int] = {}
        more: str = ""

    @in_place_of(Old)
    class Newest(SessionModel, schema="merged-forms", version=2):
        cart: dict[str, int] = {}

    @Newest.upgrade(1)
    def with_one_more(keys: dict[str, Any]) -> dict[str, Any]:
        return {**keys, "cart": {**keys["cart"], "upgraded": 1}}

    old, new, newest = Repository(client, Old), Repository(client, New), Repository(client, Newest)
    one = await old.save(Old())
    other = await new.get(one.tkn)
    third = await newest.get(one.tkn)
    one.cart["one"] = 1
    other.cart["other"] = 1
    third.cart["third"] = 1
    await old.save(one)
    await new.save(other)
    await newest.save(third)
    assert third.cart == {"one": 1, "other": 1, "upgraded": 1, "third": 1}
    assert (await newest.get(one.tkn)).cart == third.cart


async def test_changes_too_large_for_one_frame_are_merged_in_several(tmp_path: Any) -> None:
    class Large(SessionModel, schema="merged-large"):
        one: list[str] = []
        two: list[str] = []
        three: dict[str, str] = {}

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            NdbServer(RecordingEngine(MemoryStore()), ServerOptions(port=0, max_payload=2048))
        )
        client = await stack.enter_async_context(NdbClient.connect(server.uri, max_payload=2048))
        repo = Repository(client, Large)
        mine, other = await two_of(repo, Large())
        other.one.append("other")
        other.three["other"] = ""
        await repo.save(other)
        mine.one.append("x" * 1000)
        mine.two.append("y" * 1000)
        mine.three["mine"] = "z" * 1000
        await repo.save(mine)
        assert mine == await repo.get(mine.tkn)
        assert mine.one == ["other", "x" * 1000]
        assert mine.two == ["y" * 1000]
        assert mine.three == {"mine": "z" * 1000, "other": ""}


async def test_a_nemesisdb_cannot_compare_so_marks_are_refused_and_the_later_write_wins(
    nemesisdb_client: NdbClient,
) -> None:
    repo = Repository(nemesisdb_client, Shop)
    one, other = await two_of(repo, Shop(count=1))
    one.cart["one"], other.cart["other"] = 1, 1
    await repo.save(other)
    await repo.save(one)
    assert (await repo.get(one.tkn)).cart == {"one": 1}
    for field, value in (("count", 2), ("owner", "a"), ("highest", 2)):
        stale = await repo.get(one.tkn)
        setattr(stale, field, value)
        for _ in range(2):
            with pytest.raises(UnsupportedError, match=field):
                await repo.save(stale)
    assert (await repo.get(one.tkn)).count == 1
    with pytest.raises(UnsupportedError, match="mutate"):
        await repo.mutate(one.tkn, lambda _: None)


@pytest.mark.parametrize(("clients", "additions"), [(1, 100), (4, 10), (16, 100)])
async def test_parallel_additions_through_several_clients_all_survive(uri: str, clients: int, additions: int) -> None:
    async with AsyncExitStack() as stack:
        if uri.startswith("memory://"):
            uri = "memory://merged-additions"
        connected = [await stack.enter_async_context(NdbClient.connect(uri)) for _ in range(clients)]
        repos = [Repository(client, Shop) for client in connected]
        shop = await repos[0].save(Shop())

        async def add(number: int) -> None:
            repo = repos[number % clients]
            mine = await repo.get(shop.tkn)
            await asyncio.sleep(0)
            mine.cart[f"{number}"] = number
            mine.tags.add(f"{number}")
            mine.log.append(f"{number}")
            mine.count += number
            await repo.save(mine)

        await asyncio.gather(*map(add, range(additions)))
        stored = await repos[0].get(shop.tkn)
        assert stored.cart == {f"{number}": number for number in range(additions)}
        assert stored.tags == {f"{number}" for number in range(additions)}
        assert sorted(stored.log) == sorted(f"{number}" for number in range(additions))
        assert stored.count == sum(range(additions))


@pytest.mark.slow
@pytest.mark.parametrize("clients", [1, 4, 16])
async def test_a_thousand_parallel_additions_all_survive(clients: int) -> None:
    await test_parallel_additions_through_several_clients_all_survive("memory://", clients, 1000)


async def test_a_storm_of_saves_of_one_field_ends_after_few_tries(engine: RecordingEngine, timed: NdbClient) -> None:
    repo = Repository(timed, Shop)
    shop = await repo.save(Shop())
    models = [await repo.get(shop.tkn) for _ in range(64)]
    engine.requests()
    for number, model in enumerate(models):
        model.cart[f"{number}"] = number
    await asyncio.gather(*map(repo.save, models))
    tries = engine.commands().count("SH_CHANGE")
    assert (await repo.get(shop.tkn)).cart == {f"{number}": number for number in range(64)}
    assert tries == 64 + 63  # all but the first meet another, and then take turns


OTHER_PROCESS: Final = """
import asyncio, sys
from tests.repository.test_merged_saves import Shop
from ndb_models import NdbClient, Repository

async def main():
    async with NdbClient.connect(sys.argv[1]) as client:
        repo = Repository(client, Shop)
        for number in range(int(sys.argv[3])):
            async with repo.edit(int(sys.argv[2])) as shop:
                shop.cart[f"{sys.argv[4]}-{number}"] = 1
                shop.log.append(f"{sys.argv[4]}-{number}")
                shop.count += 1

asyncio.run(main())
"""


@pytest.mark.slow
async def test_additions_of_two_processes_all_survive(uri: str) -> None:
    if uri.startswith("memory://"):
        pytest.skip("a store in memory is of one process")
    async with NdbClient.connect(uri) as client:
        repo = Repository(client, Shop)
        shop = await repo.save(Shop())
        command = [sys.executable, "-c", OTHER_PROCESS, uri, str(shop.tkn), "50"]
        others = [await asyncio.create_subprocess_exec(*command, name, stderr=subprocess.PIPE) for name in "ab"]
        for other in others:
            _, errors = await asyncio.wait_for(other.communicate(), 60)
            assert other.returncode == 0, errors.decode()
        stored = await repo.get(shop.tkn)
    expected = {f"{name}-{number}" for name in "ab" for number in range(50)}
    assert stored.cart.keys() == expected
    assert sorted(stored.log) == sorted(expected)
    assert stored.count == 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_lost_answers_lose_no_addition_and_make_none_twice(seed: int) -> None:
    async with FaultyServer(seed=seed, faults={LOSE: 0.1}, longest_stall=0) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(NdbClient.connect(uri, request_timeout=2)) for _ in range(3)]
            repos = [Repository(client, Shop) for client in clients]
            shop = await repos[0].save(Shop())
            unsure: set[str] = set()

            async def add(number: int) -> None:
                repo = repos[number % 3]
                for field in ("cart", "log"):
                    try:
                        mine = await repo.get(shop.tkn)
                        if field == "cart":
                            mine.cart[f"{number}"] = 1
                        else:
                            mine.log.append(f"{number}")
                        await repo.save(mine)
                    except (ConnectionError, TimeoutError):
                        unsure.add(f"{field}{number}")

            await asyncio.gather(*map(add, range(30)))
            server.calm()
            stored = await repos[0].get(shop.tkn)
    assert {f"{number}" for number in range(30) if f"cart{number}" not in unsure} <= stored.cart.keys()
    assert {f"{number}" for number in range(30) if f"log{number}" not in unsure} <= {*stored.log}
    assert len({*stored.log}) == len(stored.log)


class TestMutate:
    async def test_it_runs_until_its_result_fits(self, shops: Repository[Shop]) -> None:
        shop = await shops.save(Shop())
        calls = 0

        async def pay(mine: Shop) -> None:
            nonlocal calls
            calls += 1
            if calls < 3:
                await shops.update(shop.tkn, page=f"{calls}")
            mine.cart = {"seen": int(mine.page or 0)}

        mutated = await shops.mutate(shop.tkn, pay)
        assert calls == 3
        assert mutated.cart == {"seen": 2}
        assert await shops.get(shop.tkn) == mutated

    async def test_a_function_need_not_be_asynchronous(self, shops: Repository[Shop]) -> None:
        shop = await shops.save(Shop())

        def change(mine: Shop) -> None:
            mine.page = "a"

        assert (await shops.mutate(shop.tkn, change)).page == "a"

    async def test_it_gives_up_after_its_attempts(self, shops: Repository[Shop]) -> None:
        shop = await shops.save(Shop())
        calls = 0

        async def always_late(mine: Shop) -> None:
            nonlocal calls
            calls += 1
            await shops.update(shop.tkn, page=f"{calls}")
            mine.page = "mine"

        with pytest.raises(ConflictError, match="4 times") as caught:
            await shops.mutate(shop.tkn, always_late, attempts=4)
        assert (calls, caught.value.attempts) == (4, 4)
        assert (await shops.get(shop.tkn)).page == "4"

    async def test_an_error_of_the_function_writes_nothing(self, shops: Repository[Shop]) -> None:
        shop = await shops.save(Shop())

        def fail(mine: Shop) -> None:
            mine.page = "mine"
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await shops.mutate(shop.tkn, fail)
        assert (await shops.get(shop.tkn)).page == ""

    async def test_what_it_returns_is_refused(self, shops: Repository[Shop]) -> None:
        shop = await shops.save(Shop())
        with pytest.raises(ValueError, match="returns nothing"):
            await shops.mutate(shop.tkn, lambda mine: Shop())  # type: ignore[arg-type,return-value]  # the mistake
        with pytest.raises(ValueError, match="at least 1"):
            await shops.mutate(shop.tkn, lambda mine: None, attempts=0)

    @pytest.mark.parametrize("attempts", ["3", True, 1.5, None])
    async def test_attempts_are_a_whole_number(self, shops: Repository[Shop], attempts: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="attempts"):
            await shops.mutate((await shops.save(Shop())).tkn, lambda mine: None, attempts=attempts)

    @pytest.mark.parametrize("change", [None, Shop(), "page"])
    async def test_what_is_no_function_is_refused(self, shops: Repository[Shop], change: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="function"):
            await shops.mutate((await shops.save(Shop())).tkn, change)

    @pytest.mark.parametrize("verb", ["save", "rotate", "refresh"])
    async def test_a_function_that_saves_its_model_itself_is_refused_at_its_first_call(
        self, shops: Repository[Shop], verb: str
    ) -> None:
        shop = await shops.save(Shop())
        calls = 0

        async def itself(mine: Shop) -> None:
            nonlocal calls
            calls += 1
            mine.log.append("x")
            await getattr(shops, verb)(mine)

        with pytest.raises(InvalidArgumentError, match=r"mutate\(\) reads and saves"):
            await shops.mutate(shop.tkn, itself)
        assert calls == 1

    async def test_changes_that_one_frame_cannot_hold_are_refused_since_frames_are_not_one_step(self) -> None:
        class Large(SessionModel, schema="mutated-large"):
            log: list[str] = []
            page: str = ""

        options = ServerOptions(port=0, max_payload=1024)
        async with (
            NdbServer(RecordingEngine(MemoryStore()), options) as server,
            NdbClient.connect(server.uri, max_payload=1024) as client,
        ):
            repo = Repository(client, Large)
            large = await repo.save(Large())

            def fill(mine: Large) -> None:
                mine.log.append("x" * 500)
                mine.page = "y" * 500

            with pytest.raises(PayloadTooLargeError, match="one step"):
                await repo.mutate(large.tkn, fill)
            assert await repo.get(large.tkn) == Large()
            await repo.mutate(large.tkn, lambda mine: mine.log.append("x" * 400))
            assert (await repo.get(large.tkn)).log == ["x" * 400]

    async def test_a_field_that_is_not_stored_yet_is_compared_too(self, client: NdbClient) -> None:
        repo = Repository(client, Shop)
        shop = await repo.save(Shop())
        await client.sh_rmv(["page"], shop.tkn)  # as if the class had been without it
        seen: list[str] = []

        async def look(mine: Shop) -> None:
            seen.append(mine.page)
            if len(seen) == 1:
                await repo.update(shop.tkn, page="new")
            mine.log.append(mine.page)

        await repo.mutate(shop.tkn, look)
        assert seen == ["", "new"]
        assert (await repo.get(shop.tkn)).log == ["new"]

    async def test_an_older_session_is_upgraded_first_which_is_no_attempt(self, client: NdbClient) -> None:
        class Old(SessionModel, schema="mutated-versions"):
            cart: dict[str, int] = {}

        @in_place_of(Old)
        class New(SessionModel, schema="mutated-versions", version=2):
            cart: dict[str, int] = {}

        @New.upgrade(1)
        def with_one_more(keys: dict[str, Any]) -> dict[str, Any]:
            return {**keys, "cart": {**keys["cart"], "upgraded": 1}}

        old = await Repository(client, Old).save(Old(cart={"old": 1}))
        repo = Repository(client, New)
        calls = 0

        def change(mine: New) -> None:
            nonlocal calls
            calls += 1
            mine.cart["new"] = 1

        mutated = await repo.mutate(old.tkn, change, attempts=1)
        assert calls == 1
        assert mutated.cart == {"old": 1, "upgraded": 1, "new": 1}
        assert await repo.get(old.tkn) == mutated

    async def test_a_nemesisdb_refuses_it_by_its_name(self, nemesisdb_client: NdbClient) -> None:
        repo = Repository(nemesisdb_client, Shop)
        shop = await repo.save(Shop())
        for _ in range(2):
            with pytest.raises(UnsupportedError, match=r"mutate\(\)"):
                await repo.mutate(shop.tkn, lambda mine: mine.log.append("x"))
        assert (await repo.get(shop.tkn)).log == []

    async def test_a_session_that_has_ended_is_told(self, shops: Repository[Shop]) -> None:
        with pytest.raises(SessionGoneError):
            await shops.mutate(5, lambda mine: None)

    async def test_a_hundred_at_once_each_count(self, shops: Repository[Shop]) -> None:
        shop = await shops.save(Shop())

        async def count(mine: Shop) -> None:
            pages = int(mine.page or 0)
            await asyncio.sleep(0)
            mine.page = str(pages + 1)

        await asyncio.gather(*(shops.mutate(shop.tkn, count) for _ in range(100)))
        assert (await shops.get(shop.tkn)).page == "100"

    async def test_it_may_call_other_verbs_on_the_same_session(self, shops: Repository[Shop]) -> None:
        shop = await shops.save(Shop())
        calls = 0

        async def nested(mine: Shop) -> None:
            nonlocal calls
            calls += 1
            if calls < 3:
                await shops.mutate(shop.tkn, lambda other: other.cart.update({f"{calls}": calls}))
            mine.page = str(len(mine.cart))

        assert (await asyncio.wait_for(shops.mutate(shop.tkn, nested), 60)).page == "2"


def test_a_class_says_how_its_fields_are_merged_by_default() -> None:
    class Strict(SessionModel, schema="merged-strict", merge=Merge.conflict):
        page: str = ""
        free: Annotated[str, Merge.later] = ""

    async def run() -> None:
        async with NdbClient.connect("memory://") as client:
            repo = Repository(client, Strict)
            one, other = await two_of(repo, Strict())
            other.page = other.free = "other"
            await repo.save(other)
            one.free = "one"
            await repo.save(one)
            one.page = "one"
            with pytest.raises(ConflictError, match=r"Strict\.page"):
                await repo.save(one)
            assert json.loads((await repo.raw(one.tkn))["free"]) == "one"

    asyncio.run(run())
