"""Which keys a configuration has: one a field, as any program would write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr
from pydantic_settings import BaseSettings

from ndb_models import ConfigRepository, InvalidArgumentError, NdbClient, SchemaError, SessionModel, UnstorableError
from tests.configuration.models import App, Pool, Required
from tests.configuration.stepping import Time, observed
from tests.repository.recording import RecordingEngine
from tests.schema.unstorable import UNSTORABLE
from tests.zoo_ways import INSTANCES, all_here_some_there

# A configuration of types that are checked against the clock is warned of.
pytestmark = pytest.mark.filterwarnings("ignore::ndb_models.UnstableFieldWarning")

CLOSED = [model for model in INSTANCES if model.model_config.get("extra") != "allow"]
REFUSED = [(model, fields) for model, fields in UNSTORABLE if model.model_config.get("extra") != "allow"]


async def test_without_a_namespace_the_keys_are_those_that_kv_set_makes(client: NdbClient) -> None:
    config = App(title="shop", limits={"a": 1}, pool=Pool(hosts=["h"]))
    await ConfigRepository(client, App).save(config)
    stored = await client.kv_get(await client.kv_keys())
    assert stored == config.model_dump(mode="json")
    await client.kv_clear()
    await client.kv_set({**config.model_dump(mode="json"), "title": "written by another program"})
    assert await ConfigRepository(client, App).load() == config.model_copy(
        update={"title": "written by another program"}
    )


async def test_a_namespace_stands_before_the_fields_name(config: ConfigRepository[App], client: NdbClient) -> None:
    await config.save(App())
    assert sorted(await client.kv_keys()) == sorted(f"app:{name}" for name in App.model_fields)


async def test_two_namespaces_do_not_see_each_other(client: NdbClient) -> None:
    names = [None, "app", "app:web", "ap", "App"]
    repos = [ConfigRepository(client, App, namespace=name) for name in names]
    for number, repo in enumerate(repos):
        await repo.save(App(title=str(number)))
    assert [(await repo.load()).title for repo in repos] == [str(number) for number in range(len(names))]
    assert [await repo.check() for repo in repos] == [[]] * len(names)


@pytest.mark.parametrize("namespace", ["", ":", "app:", ":app", "a::b", "a\nb", 5, b"app", ["app"], "\ud800"])
async def test_what_is_no_namespace_is_refused(client: NdbClient, namespace: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'app:web'"):
        ConfigRepository(client, App, namespace=namespace)


class Open(BaseModel, extra="allow"):
    pass


class Root(RootModel[int]):
    pass


class Settings(BaseSettings):
    debug: bool = False


class Excluded(BaseModel):
    never: int = Field(exclude=True)


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        (Open, SchemaError, "declare a field of type dict"),
        (Root, SchemaError, "RootModel"),
        (Settings, SchemaError, "inherit"),
        (Excluded, SchemaError, "give it a default"),
        (BaseModel, InvalidArgumentError, "ConfigRepository"),
        (int, InvalidArgumentError, "Pydantic model"),
        (App(), InvalidArgumentError, "Pydantic model"),
    ],
)
async def test_a_class_that_is_no_configuration_is_refused(
    client: NdbClient, model: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        ConfigRepository(client, model)


async def test_a_field_whose_name_could_be_a_namespace_is_refused_in_one(client: NdbClient) -> None:
    odd = type("Odd", (BaseModel,), {"__annotations__": {"web:port": int}})
    with pytest.raises(SchemaError, match="web:port"):
        ConfigRepository(client, odd, namespace="app")
    ConfigRepository(client, odd)


async def test_a_repository_needs_a_client() -> None:
    with pytest.raises(InvalidArgumentError, match="NdbClient"):
        ConfigRepository("memory://", App)  # type: ignore[arg-type]  # the mistake that is tested


async def test_a_configuration_without_fields_asks_the_server_nothing(
    recorded: NdbClient, engine: RecordingEngine
) -> None:
    class Nothing(BaseModel):
        pass

    config = ConfigRepository(recorded, Nothing, namespace="app")
    assert await config.save(await config.load()) == Nothing()
    assert engine.frames == []


@all_here_some_there("memory", ["sqlite", "server"], CLOSED)
async def test_a_model_is_loaded_edited_and_watched_as_it_was_saved(
    client: NdbClient, model: SessionModel, time: Time
) -> None:
    config = ConfigRepository(client, type(model), namespace="zoo")
    await config.save(model.model_copy(deep=True))
    loaded = await config.load()
    assert loaded == model
    assert [type(value) for _, value in loaded] == [type(value) for _, value in model]
    assert await config.diff(model) == []
    assert await config.check() == []
    before = await client.kv_get(await client.kv_keys())
    async with config.edit() as edited:
        assert edited == model
    assert await client.kv_get(await client.kv_keys()) == before
    async with observed(config.watch(model, clock=time, sleep=time.sleep), time) as observer:
        assert observer.changes == []
        assert observer.watch.current == model


@pytest.mark.parametrize("uri", ["memory"], indirect=True)
@pytest.mark.parametrize(("model", "fields"), REFUSED, ids=lambda each: type(each).__name__)
async def test_what_would_not_come_back_equal_is_refused_by_name(
    client: NdbClient, model: SessionModel, fields: list[str]
) -> None:
    config: ConfigRepository[Any] = ConfigRepository(client, type(model))
    with pytest.raises(UnstorableError) as caught:
        await config.save(model)
    assert [field for field, _ in caught.value.problems] == fields
    assert "canary" not in str(caught.value).lower()
    assert await client.kv_count() == 0


async def test_secrets_are_stored_as_what_they_hold_and_never_shown(
    config: ConfigRepository[App], client: NdbClient
) -> None:
    await config.save(App(password=SecretStr("canary")))
    assert await client.kv_get(["app:password"]) == {"app:password": "canary"}
    loaded = await config.load()
    assert loaded.password.get_secret_value() == "canary"
    assert "canary" not in repr(await config.diff()) + repr(loaded) + repr(config)
    assert [each.field for each in await config.diff()] == ["password"]


async def test_keys_are_named_by_fields_whatever_their_aliases(client: NdbClient) -> None:
    class Aliased(BaseModel):
        model_config = ConfigDict(serialize_by_alias=True)

        first_name: str = Field(default="", alias="firstName")

    config = ConfigRepository(client, Aliased)
    await config.save(Aliased(firstName="b"))
    assert await client.kv_get(await client.kv_keys()) == {"first_name": "b"}
    assert (await config.load()).first_name == "b"
    assert (await config.update(first_name="c")).first_name == "c"


async def test_many_fields_are_read_and_written_in_as_many_frames_as_they_need(
    recorded: NdbClient, engine: RecordingEngine
) -> None:
    fields: dict[str, Any] = {f"a_field_with_a_name_{number}": (int, number) for number in range(60)}
    many = type(
        "Many",
        (BaseModel,),
        {"__annotations__": {n: t for n, (t, _) in fields.items()}} | {n: d for n, (_, d) in fields.items()},
    )
    config: ConfigRepository[Any] = ConfigRepository(recorded, many, namespace="app")
    await config.save(many())
    commands = [next(iter(json.loads(frame))) for frame in engine.frames]
    assert commands.count("KV_SET") > 1
    assert commands.count("KV_GET") > 1
    assert await config.load() == many()
    engine.frames.clear()
    await config.update(a_field_with_a_name_7=-1)
    assert [json.loads(frame) for frame in engine.frames if b"KV_SET" in frame] == [
        {"KV_SET": {"keys": {"app:a_field_with_a_name_7": -1}}}
    ]
    assert (await config.load()).a_field_with_a_name_7 == -1


async def test_a_configuration_that_fits_into_a_frame_is_written_in_one(
    recorded: NdbClient, engine: RecordingEngine
) -> None:
    config = ConfigRepository(recorded, Required, namespace="app")
    await config.save(Required(host="h", port=1))
    assert [json.loads(frame) for frame in engine.frames if b"KV_SET" in frame] == [
        {"KV_SET": {"keys": {"app:host": "h", "app:port": 1, "app:debug": False}}}
    ]
