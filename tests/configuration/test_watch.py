"""Watching: each change that is seen once and in order, never an invalid model; the last good one stays meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from ndb_models import (
    ConfigChange,
    ConfigRepository,
    InvalidArgumentError,
    NdbClient,
    NotConnectedError,
    StoredConfigError,
)
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from tests.configuration.models import App, Pool, Required
from tests.configuration.stepping import Time, observed
from tests.repository.recording import RecordingEngine
from tests.server.plain_client import ask, plain
from tests.stores.uncertain_store import UncertainClient, UncertainStore


async def test_changes_by_a_repository_the_raw_client_and_a_plain_websocket_are_seen_in_order(
    server: NdbServer, time: Time
) -> None:
    async with (
        NdbClient.connect(server.uri) as client,
        NdbClient.connect(server.uri) as other,
        plain(server) as websocket,
    ):
        config = ConfigRepository(client, App, namespace="app")
        await config.save(App())
        async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
            assert observer.changes == []
            first, second, third, fourth = (
                App(debug=True),
                App(debug=True, ratio=1),
                App(debug=True, ratio=1, pool=Pool(size=7)),
                App(debug=True, ratio=1, pool=Pool(size=7), title="t"),
            )
            await ConfigRepository(other, App, namespace="app").update(debug=True)
            assert await observer.look() == [ConfigChange(App(), first, ("debug",))]
            await other.kv_set({"app:ratio": 1})
            assert await observer.look() == [ConfigChange(first, second, ("ratio",))]
            await websocket.send('{"KV_SET":{"keys":{ "app:pool" : {"hosts":[], "size":7} }}}')
            assert json.loads(await websocket.recv()) == {"KV_SET_RSP": {"st": 1}}
            assert await observer.look() == [ConfigChange(second, third, ("pool",))]
            async with ConfigRepository(other, App, namespace="app").edit() as edited:
                edited.title = "t"
            assert await observer.look() == [ConfigChange(third, fourth, ("title",))]
            await ask(websocket, "KV_RMV", keys=["app:title", "app:ratio"])
            assert [change.fields for change in await observer.look()] == [("title", "ratio")]
            assert await observer.look() == []


async def test_formatting_is_no_change_nor_is_a_default_that_is_written_down(server: NdbServer, time: Time) -> None:
    async with NdbClient.connect(server.uri) as client, plain(server) as websocket:
        config = ConfigRepository(client, App, namespace="app")
        await config.update(ratio=1, pool={"size": 7})  # type: ignore[ndb-value]  # taken as its constructor takes it
        async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
            for keys in (
                '{"app:ratio":1}',
                '{"app:ratio":1.0}',
                '{"app:ratio": 10e-1 }',
                '{"app:pool": {"hosts":[],\n"size":7}}',
                '{"app:title":"\\u0075ntitled"}',
                '{"app:debug":false,"app:limits":{ }}',
                '{"app:unknown":1,"title":"another\'s"}',
            ):
                await websocket.send('{"KV_SET":{"keys":KEYS}}'.replace("KEYS", keys))
                assert json.loads(await websocket.recv()) == {"KV_SET_RSP": {"st": 1}}
                assert await observer.look() == []
            await websocket.send('{"KV_SET":{"keys":{"app:ratio":9.99e-1}}}')
            await websocket.recv()
            assert [change.fields for change in await observer.look()] == [("ratio",)]


async def test_another_type_is_a_change_though_python_calls_it_equal(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    await config.update(anything=[1])
    async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
        await client.kv_set({"app:anything": [True]})
        (change,) = await observer.look()
        assert (change.old.anything, change.new.anything, change.fields) == ([1], [True], ("anything",))


async def test_while_what_is_stored_does_not_fit_the_last_good_stays_and_each_set_of_problems_is_reported_once(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    reported: list[StoredConfigError] = []
    watch = config.watch(App(), on_invalid=reported.append, clock=time, sleep=time.sleep)
    async with observed(watch, time) as observer:
        await client.kv_set({"app:debug": "canary", "app:title": "not yet"})
        assert await observer.look() == []
        assert [problem.key for problem in watch.problems] == ["app:debug"]
        assert watch.current == App()
        await client.kv_set({"app:debug": "canary again"})
        assert await observer.look() == []
        assert len(reported) == 1
        await client.kv_set({"app:ratio": "canary"})
        assert await observer.look() == []
        assert [[problem.key for problem in error.problems] for error in reported] == [
            ["app:debug"],
            ["app:debug", "app:ratio"],
        ]
        await client.kv_rmv(["app:debug", "app:ratio"])
        assert await observer.look() == [ConfigChange(App(), App(title="not yet"), ("title",))]
        assert watch.problems == ()
        await client.kv_set({"app:debug": "canary"})
        assert await observer.look() == []
        assert len(reported) == 3  # a problem that came back is one again
        assert "canary" not in repr(reported) + str(reported[-1])


async def test_a_recovery_to_the_last_good_is_no_change(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    await config.update(debug=True)
    watch = config.watch(clock=time, sleep=time.sleep, on_invalid=lambda _: None)
    async with observed(watch, time) as observer:
        await client.kv_set({"app:debug": 17})
        assert await observer.look() == []
        assert watch.problems
        await client.kv_set({"app:debug": True})
        assert await observer.look() == []
        assert not watch.problems


async def test_a_required_key_that_is_removed_is_a_problem_not_a_change(client: NdbClient, time: Time) -> None:
    config = ConfigRepository(client, Required)
    await config.save(Required(host="h", port=1))
    watch = config.watch(clock=time, sleep=time.sleep, on_invalid=lambda _: None)
    async with observed(watch, time) as observer:
        await client.kv_clear()
        assert await observer.look() == []
        assert {problem.kind for problem in watch.problems} == {"missing"}
        await client.kv_set({"host": "h", "port": 2})
        assert [change.new.port for change in await observer.look()] == [2]


async def test_problems_are_logged_where_nobody_asked_for_them(
    config: ConfigRepository[App], client: NdbClient, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    async with observed(config.watch(App(), clock=time, sleep=time.sleep), time) as observer:
        await client.kv_set({"app:debug": "canary"})
        for _ in range(3):
            await observer.look()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.name == "ndb_models.config.watching"
    assert "app:debug" in record.getMessage()
    assert "canary" not in caplog.text


async def test_since_reports_what_happened_before_the_watch(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    known = await config.load()
    await client.kv_set({"app:debug": True})
    async with observed(config.watch(known, clock=time, sleep=time.sleep), time) as observer:
        assert observer.changes == [ConfigChange(App(), App(debug=True), ("debug",))]
        known.title = "the caller's own business"
        await client.kv_set({"app:ratio": 1})
        assert [change.fields for change in (await observer.look())[1:]] == [("ratio",)]


async def test_without_since_there_must_be_a_good_one_to_begin_with(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    await client.kv_set({"app:debug": "canary"})
    watch = config.watch(clock=time, sleep=time.sleep)
    assert watch.current is None
    with pytest.raises(StoredConfigError, match="app:debug"):
        await anext(watch)
    await client.kv_set({"app:debug": True})
    time.move(1)
    async with observed(watch, time):  # it may be asked again
        assert watch.current == App(debug=True)


async def test_with_since_what_does_not_fit_at_the_start_is_reported_and_waited_out(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    await client.kv_set({"app:debug": "canary"})
    reported: list[StoredConfigError] = []
    watch = config.watch(App(), on_invalid=reported.append, clock=time, sleep=time.sleep)
    async with observed(watch, time) as observer:
        assert len(reported) == 1
        await client.kv_set({"app:debug": True})
        assert [change.new for change in await observer.look()] == [App(debug=True)]


async def test_changes_between_two_looks_come_as_one(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
        for number in range(5):
            await client.kv_set({"app:title": str(number)})
        await client.kv_set({"app:debug": True})
        assert await observer.look() == [ConfigChange(App(), App(title="4", debug=True), ("title", "debug"))]
        await client.kv_set({"app:title": "back"})
        await client.kv_set({"app:title": "4"})
        assert await observer.look() == []


async def test_a_consumer_that_is_slow_gets_what_is_then_and_waits_for_no_look(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    watch = config.watch(App(), clock=time, sleep=time.sleep)
    for number in range(3):
        await client.kv_set({"app:title": f"{number}"})
        time.move(0.25)
        await client.kv_set({"app:title": f"{number} and a half"})
        assert (await anext(watch)).new.title == f"{number} and a half"
        time.move(10)
    assert time.pauses == []


async def test_the_interval_is_between_the_end_of_a_look_and_the_next(
    config: ConfigRepository[App], time: Time
) -> None:
    async with observed(config.watch(interval=2.5, clock=time, sleep=time.sleep), time) as observer:
        await observer.look(2.5)
        await observer.look(4)
    assert time.pauses == [2.5, 2.5, 2.5]


async def test_models_in_the_hands_of_a_consumer_are_its_own(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
        await client.kv_set({"app:pool": {"hosts": ["a"]}})
        (change,) = await observer.look()
        change.new.pool.hosts.append("the consumer's")
        assert observer.watch.current is not None
        observer.watch.current.pool.hosts.append("the consumer's")
        await client.kv_set({"app:debug": True})
        (change,) = await observer.look()
        assert change.fields == ("debug",)
        assert change.old.pool.hosts == ["a"]


async def test_nothing_is_parsed_while_nothing_changes(client: NdbClient, time: Time) -> None:
    class Counting(BaseModel):
        number: int = 0
        parsed: list[int] = []

        def model_post_init(self, context: object, /) -> None:
            made.append(self.number)

    made: list[int] = []
    config = ConfigRepository(client, Counting)
    await config.update(number=1)
    async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
        before = len(made)
        for _ in range(5):
            assert await observer.look() == []
        assert len(made) == before
        await client.kv_set({"number": 2})
        assert len(await observer.look()) == 1
        assert len(made) == before + 1


async def test_several_watches_each_see_every_change(client: NdbClient) -> None:
    config = ConfigRepository(client, App, namespace="app")
    times = [Time() for _ in range(3)]
    watches = [observed(config.watch(App(), clock=time, sleep=time.sleep), time) for time in times]
    async with watches[0] as first, watches[1] as second, watches[2] as third:
        await config.update(debug=True)
        assert [len(await observer.look()) for observer in (first, second, third)] == [1, 1, 1]


async def test_a_step_that_is_cancelled_while_it_waits_or_looks_loses_nothing(
    recorded: NdbClient, engine: RecordingEngine, time: Time
) -> None:
    config = ConfigRepository(recorded, App, namespace="app")
    watch = config.watch(App(), clock=time, sleep=time.sleep)
    chance = random.Random(7)
    seen: list[str] = []
    for number in range(40):
        await recorded.kv_set({"app:title": str(number)})
        stepping = asyncio.create_task(anext(watch))
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        stepping.cancel()
        await asyncio.wait([stepping])
        if not stepping.cancelled():
            seen.append(stepping.result().new.title)
        time.move(chance.choice([0.3, 1]))
    time.move(1)
    if not seen or seen[-1] != "39":
        seen.append((await anext(watch)).new.title)
    assert seen[-1] == "39"
    assert seen == sorted(set(seen), key=int)


async def test_looks_are_made_even_where_every_step_is_given_less_time_than_the_interval(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    watch = config.watch(App(), clock=time, sleep=time.sleep)
    for _ in range(4):
        stepping = asyncio.create_task(anext(watch))
        await time.asleep()
        stepping.cancel()
        await asyncio.wait([stepping])
        time.move(0.25)
    await client.kv_set({"app:debug": True})
    assert (await anext(watch)).fields == ("debug",)


async def test_a_watch_is_waited_for_by_one_task(config: ConfigRepository[App], time: Time) -> None:
    watch = config.watch(clock=time, sleep=time.sleep)
    async with observed(watch, time):
        with pytest.raises(InvalidArgumentError, match="one of its own"):
            await anext(watch)


async def test_closing_ends_the_iteration_and_twice_does_no_harm(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    watch = config.watch(clock=time, sleep=time.sleep)
    async with observed(watch, time) as observer:
        await watch.aclose()
        await watch.aclose()
        await client.kv_set({"app:debug": True})
        assert await observer.look() == []
        assert observer.task.done()
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_a_callback_that_fails_is_heard_and_the_watch_goes_on(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    def failing(error: StoredConfigError) -> None:
        raise KeyError(error.model)

    watch = config.watch(App(), on_invalid=failing, clock=time, sleep=time.sleep)
    await client.kv_set({"app:debug": "canary"})
    with pytest.raises(KeyError):
        await anext(watch)
    await client.kv_set({"app:debug": True})
    time.move(1)
    assert (await anext(watch)).new == App(debug=True)


@pytest.mark.parametrize("served", [False, True])
async def test_a_store_that_is_away_is_waited_for(time: Time, caplog: pytest.LogCaptureFixture, served: bool) -> None:
    store = UncertainStore()
    async with (
        NdbServer(Engine(store), ServerOptions(port=0)) as server,
        NdbClient.connect(server.uri) if served else UncertainClient(store) as client,
    ):
        config = ConfigRepository(client, App, namespace="app")
        async with observed(config.watch(App(), clock=time, sleep=time.sleep), time) as observer:
            store.is_away = True
            assert await observer.look() == await observer.look() == []
            store.is_away = False
            await config.update(debug=True)
            assert [change.fields for change in await observer.look()] == [("debug",)]
    assert caplog.text.count("the store gives no answer, the last good configuration is kept") == 1


async def test_a_client_that_is_closed_ends_the_watch_with_an_error(
    config: ConfigRepository[App], client: NdbClient, time: Time
) -> None:
    watch = config.watch(clock=time, sleep=time.sleep)
    async with observed(watch, time) as observer:
        await client.close()
        with pytest.raises(NotConnectedError):
            await observer.look()


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), "1", None, True])
async def test_what_is_no_interval_is_refused(config: ConfigRepository[App], interval: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="interval"):
        config.watch(interval=interval)


async def test_since_is_a_configuration(config: ConfigRepository[App]) -> None:
    with pytest.raises(InvalidArgumentError, match="App"):
        config.watch({"debug": True})  # type: ignore[arg-type]  # the mistake that is tested


async def test_secrets_are_not_shown_in_a_change(config: ConfigRepository[App], client: NdbClient, time: Time) -> None:
    async with observed(config.watch(App(), clock=time, sleep=time.sleep), time) as observer:
        await client.kv_set({"app:password": "canary"})
        (change,) = await observer.look()
        assert change.fields == ("password",)
        assert change.new.password == SecretStr("canary")
        assert "canary" not in repr(change)


async def test_by_default_it_looks_by_the_real_clock(config: ConfigRepository[App], client: NdbClient) -> None:
    async with asyncio.timeout(60):
        watch = config.watch(App(), interval=0.01)
        await client.kv_set({"app:debug": True})
        assert (await anext(watch)).new == App(debug=True)
        stepping = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        await client.kv_set({"app:debug": False})
        assert (await stepping).new == App()
