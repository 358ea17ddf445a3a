"""Saving, updating, editing: what is written, and what of others' survives."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from ndb_models import (
    ConfigDifference,
    ConfigRepository,
    InvalidArgumentError,
    NdbClient,
    NotConnectedError,
    PayloadTooLargeError,
    StoredConfigError,
    UnstorableError,
)
from tests.configuration.models import App, Pool, Required, Span
from tests.repository.recording import RecordingEngine


def written(engine: RecordingEngine) -> list[dict[str, Any]]:
    """Return the keys of each KV_SET so far, and forget them."""
    frames, engine.frames = engine.frames, []
    return [json.loads(frame)["KV_SET"]["keys"] for frame in frames if frame.startswith(b'{"KV_SET"')]


@pytest.fixture
def config(recorded: NdbClient) -> ConfigRepository[App]:
    return ConfigRepository(recorded, App, namespace="app")


async def test_load_of_an_empty_store_is_the_defaults_and_stores_none(
    config: ConfigRepository[App], recorded: NdbClient
) -> None:
    assert await config.load() == App()
    assert await recorded.kv_count() == 0


async def test_save_writes_every_field_so_that_a_later_default_changes_nothing(
    config: ConfigRepository[App], recorded: NdbClient
) -> None:
    app = App(debug=True)
    assert await config.save(app) is app

    class Later(App):
        title: str = "another default"

    assert (await ConfigRepository(recorded, Later, namespace="app").load()).title == "untitled"


async def test_save_of_another_class_is_refused(config: ConfigRepository[App]) -> None:
    class Other(App):
        pass

    for other in (Other(), App, {"debug": True}):
        with pytest.raises(InvalidArgumentError, match="App"):
            await config.save(other)  # type: ignore[arg-type]  # the mistakes that are tested


async def test_update_writes_what_changed_and_what_is_named(
    config: ConfigRepository[App], engine: RecordingEngine
) -> None:
    assert await config.update(debug=True, ratio=0.5) == App(debug=True)
    assert written(engine) == [{"app:debug": True, "app:ratio": 0.5}]  # named, though it is the default
    assert await config.update(debug=True, ratio=0.5) == App(debug=True)
    assert written(engine) == []
    assert await config.update() == App(debug=True)
    assert await config.update(pool={"size": 7}) == App(debug=True, pool=Pool(size=7))  # type: ignore[ndb-value]  # taken as its constructor takes it
    assert written(engine) == [{"app:pool": {"size": 7, "hosts": []}}]


async def test_fields_that_no_update_named_follow_the_models_defaults(
    config: ConfigRepository[App], recorded: NdbClient
) -> None:
    await config.update(debug=True)

    class Later(App):
        title: str = "another default"

    assert await ConfigRepository(recorded, Later, namespace="app").load() == Later(debug=True, title="another default")


async def test_update_of_no_field_is_refused(config: ConfigRepository[App], engine: RecordingEngine) -> None:
    with pytest.raises(InvalidArgumentError, match="App has no field 'debgu'; it has title, debug"):
        await config.update(debgu=True)  # type: ignore[ndb-field]  # the mistake
    assert written(engine) == []


async def test_update_validates_the_whole(recorded: NdbClient, engine: RecordingEngine) -> None:
    config = ConfigRepository(recorded, Span)
    await config.update(low=5)
    written(engine)
    with pytest.raises(UnstorableError, match=r"\(model\)"):
        await config.update(high=1)
    assert written(engine) == []
    assert await config.update(low=20, high=30) == Span(low=20, high=30)


async def test_what_another_program_formatted_otherwise_is_not_written_again(
    config: ConfigRepository[App], recorded: NdbClient, engine: RecordingEngine
) -> None:
    await recorded.kv_set({"app:ratio": 1, "app:pool": {"hosts": [], "size": 9}})
    async with config.edit() as edited:
        assert edited == App(ratio=1.0, pool=Pool(size=9))
        edited.ratio = 1.0
        edited.title = "t"
    assert written(engine)[1:] == [{"app:title": "t"}]


async def test_edit_writes_what_changed_nested_values_too(
    config: ConfigRepository[App], engine: RecordingEngine
) -> None:
    async with config.edit() as edited:
        edited.pool.hosts.append("h")
        edited.limits["a"] = 1
    assert written(engine) == [{"app:limits": {"a": 1}, "app:pool": {"size": 5, "hosts": ["h"]}}]
    assert await config.load() == edited


async def test_edit_sees_that_true_is_not_one(config: ConfigRepository[App], engine: RecordingEngine) -> None:
    await config.update(anything={"flags": [1, 0]})
    written(engine)
    async with config.edit() as edited:
        edited.anything["flags"][0] = True
    assert written(engine) == [{"app:anything": {"flags": [True, 0]}}]


async def test_edit_that_changes_nothing_writes_nothing(config: ConfigRepository[App], engine: RecordingEngine) -> None:
    async with config.edit():
        pass
    assert len(engine.frames) == 1  # the read on entry
    assert written(engine) == []


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, GeneratorExit])
async def test_an_exception_in_an_edit_writes_nothing_and_goes_on(
    config: ConfigRepository[App], engine: RecordingEngine, error: type[BaseException]
) -> None:
    async def failing() -> None:
        async with config.edit() as edited:
            edited.debug = True
            raise error

    with pytest.raises(error):
        await failing()
    assert written(engine) == []


async def test_edit_refuses_what_does_not_fit_and_writes_nothing_of_it(
    config: ConfigRepository[App], engine: RecordingEngine
) -> None:
    async def editing() -> None:
        async with config.edit() as edited:
            edited.debug = True
            edited.ratio = 7

    with pytest.raises(UnstorableError, match="ratio") as caught:
        await editing()
    assert [field for field, _ in caught.value.problems] == ["ratio"]
    assert written(engine) == []


async def test_two_edits_of_different_fields_that_overlap_both_survive(config: ConfigRepository[App]) -> None:
    async with config.edit() as first, config.edit() as second:
        first.title = "first"
        second.debug = True
        second.limits["a"] = 1
    assert await config.load() == App(title="first", debug=True, limits={"a": 1})


async def test_many_tasks_that_change_fields_of_their_own_lose_nothing(config: ConfigRepository[App]) -> None:
    async def titles() -> None:
        for number in range(30):
            await config.update(title=str(number))

    async def pools() -> None:
        for number in range(30):
            async with config.edit() as edited:
                edited.pool.size = number + 1
                await asyncio.sleep(0)

    async def limits() -> None:
        for number in range(30):
            await config.update(limits={"a": number})

    await asyncio.gather(titles(), pools(), limits())
    assert await config.load() == App(title="29", pool=Pool(size=30), limits={"a": 29})


async def test_edits_that_do_not_fit_together_are_refused_at_the_second(recorded: NdbClient) -> None:
    config = ConfigRepository(recorded, Span, namespace="span")

    async def editing() -> None:
        async with config.edit() as edited:
            edited.low = 8
            await config.update(high=5)

    with pytest.raises(UnstorableError, match="together with what was changed meanwhile"):
        await editing()
    assert await config.load() == Span(high=5)


async def test_an_edit_is_refused_when_another_spoilt_the_store_meanwhile(
    config: ConfigRepository[App], recorded: NdbClient
) -> None:
    async def editing() -> None:
        async with config.edit() as edited:
            edited.title = "t"
            await recorded.kv_set({"app:debug": "canary"})

    with pytest.raises(StoredConfigError, match="app:debug"):
        await editing()
    assert await recorded.kv_get(["app:title", "app:debug"]) == {"app:debug": "canary"}


async def test_a_field_that_is_too_large_is_refused_by_name_and_nothing_is_written(
    config: ConfigRepository[App], recorded: NdbClient
) -> None:
    with pytest.raises(PayloadTooLargeError, match=r"^App\.title has .*'app:title'") as caught:
        await config.save(App(title="x" * 2000, limits={str(number): number for number in range(50)}))
    assert caught.value.limit == 1024
    assert await recorded.kv_count() == 0


async def test_a_large_configuration_is_written_in_several_frames(
    config: ConfigRepository[App], engine: RecordingEngine
) -> None:
    app = App(title="x" * 800, password=SecretStr("p" * 800))
    await config.save(app)
    assert len(written(engine)) > 1
    assert await config.load() == app


async def test_a_write_that_is_cancelled_has_been_carried_out_or_not(
    config: ConfigRepository[App], engine: RecordingEngine
) -> None:
    for carried_out in (False, True):
        engine.hold("KV_SET", carried_out=carried_out)
        updating = asyncio.create_task(config.update(title=f"{carried_out}"))
        await engine.waiting.wait()
        updating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await updating
        engine.release()
        assert (await config.load()).title == f"{carried_out}"  # it was sent, and so will be carried out
        await config.update(title="and it goes on")


async def test_a_client_that_is_closed_is_told(config: ConfigRepository[App], recorded: NdbClient) -> None:
    await recorded.close()
    for calling in (config.load(), config.check(), config.save(App()), config.update(debug=True), config.diff()):
        with pytest.raises(NotConnectedError):
            await calling


# In what it differs


async def test_diff_with_another_model_is_typed_and_in_the_order_of_the_fields(config: ConfigRepository[App]) -> None:
    await config.save(App(title="t", ratio=1, password=SecretStr("canary")))
    differences = await config.diff(App(title="t", debug=True, password=SecretStr("other")))
    assert differences == [
        ConfigDifference("debug", stored=False, given=True),
        ConfigDifference("ratio", stored=1.0, given=0.5),
        ConfigDifference("password", stored=SecretStr("canary"), given=SecretStr("other")),
    ]
    assert "canary" not in repr(differences)


async def test_diff_with_the_defaults_leaves_out_what_has_none(recorded: NdbClient) -> None:
    config = ConfigRepository(recorded, Required)
    await config.save(Required(host="h", port=1))
    assert await config.diff() == []
    await config.update(debug=True)
    assert await config.diff() == [ConfigDifference("debug", stored=True, given=False)]


async def test_diff_with_the_defaults_knows_defaults_that_are_made(recorded: NdbClient) -> None:
    class Made(BaseModel):
        base: int
        hosts: list[str] = Field(default_factory=list)
        double: int = Field(default_factory=lambda data: data["base"] * 2)

    config = ConfigRepository(recorded, Made)
    await config.save(Made(base=2, hosts=["h"]))
    assert await config.diff() == [ConfigDifference("hosts", stored=["h"], given=[])]
    await config.update(double=5)
    assert await config.diff() == [
        ConfigDifference("hosts", stored=["h"], given=[]),
        ConfigDifference("double", stored=5, given=4),
    ]


async def test_diff_refuses_what_could_not_be_stored(config: ConfigRepository[App]) -> None:
    with pytest.raises(UnstorableError, match="anything"):
        await config.diff(App(anything={1, 2}))
    with pytest.raises(InvalidArgumentError, match="App"):
        await config.diff({"debug": True})  # type: ignore[arg-type]  # the mistake that is tested
