"""A stored configuration as a source of pydantic-settings: what layers over what, in a loop and outside of one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ndb_models import (
    ConfigRepository,
    ConnectError,
    InvalidArgumentError,
    NdbClient,
    RequestTimeoutError,
    ResponseError,
    SchemaError,
    StoredConfigError,
)
from ndb_models.integrations.settings import NdbSettingsSource, load_settings
from ndb_models.server import NdbServer
from tests.configuration.test_bad_data import answering
from tests.transport.servers import GUARD, Host, mute, refusing_port


class Pool(BaseModel):
    size: int = 1
    name: str = "default"


class App(BaseModel):
    """The fields, which a `ConfigRepository` stores and `Settings` layer."""

    title: str = "default"
    debug: bool = False
    pool: Pool = Pool()
    password: SecretStr = SecretStr("")
    port: int = Field(default=0, validation_alias="listen")


class Settings(App, BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRY_", env_nested_delimiter="__", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, NdbSettingsSource(settings_cls, namespace="app")


STORED = App.model_validate(
    {"title": "stored", "debug": True, "pool": {"size": 3, "name": "stored"}, "password": "canary", "listen": 5}
)


@pytest.fixture
async def stored(client: NdbClient) -> ConfigRepository[App]:
    config = ConfigRepository(client, App, namespace="app")
    await config.save(STORED)
    return config


def settings_of(uri: str, **options: Any) -> type[App]:
    """Return settings that ask a server themselves."""

    class Asking(App, BaseSettings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, NdbSettingsSource(settings_cls, uri, namespace="app", **options)

    return Asking


async def test_arguments_go_before_the_environment_files_the_store_and_the_defaults(
    client: NdbClient, stored: ConfigRepository[App], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await client.kv_rmv(["app:debug"])
    dotenv = tmp_path / ".env"
    dotenv.write_text('TRY_PASSWORD="of the file"\nTRY_TITLE="of the file"\n')
    monkeypatch.setenv("TRY_TITLE", "of the environment")
    monkeypatch.setenv("TRY_POOL__SIZE", "7")
    settings = await load_settings(client, Settings, namespace="app", _env_file=dotenv, pool={"name": "argument"})
    assert settings == Settings.model_construct(
        title="of the environment",
        debug=False,
        pool=Pool(size=7, name="argument"),
        password=SecretStr("of the file"),
        port=5,
    )


async def test_what_nobody_overrides_is_what_is_stored(client: NdbClient, stored: ConfigRepository[App]) -> None:
    settings = await load_settings(client, Settings, namespace="app")
    assert type(settings) is Settings
    assert settings.model_dump() == STORED.model_dump()


async def test_an_empty_store_leaves_the_defaults(client: NdbClient) -> None:
    assert (await load_settings(client, Settings, namespace="app")).model_dump() == App().model_dump()


async def test_without_a_loop_settings_ask_the_server_themselves(server: NdbServer) -> None:
    async with NdbClient.connect(server.uri) as client:
        await ConfigRepository(client, App, namespace="app").save(STORED)
    # In another thread no loop runs, and the one that serves is free.
    settings = await asyncio.to_thread(settings_of(server.uri))
    assert settings.model_dump() == STORED.model_dump()


async def test_inside_a_running_loop_settings_ask_a_server_elsewhere_themselves(server: NdbServer) -> None:
    async with NdbClient.connect(server.uri) as client:
        await ConfigRepository(client, App, namespace="app").save(STORED)

    async def program() -> App:
        return settings_of(server.uri)()

    settings = await asyncio.to_thread(lambda: asyncio.run(program()))
    assert settings.model_dump() == STORED.model_dump()


async def test_each_time_settings_are_made_the_store_is_asked_once(client: NdbClient) -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        asking = settings_of(host.uri)
        for number in (1, 2):
            await host.engine.handle(b'{"KV_SET":{"keys":{"app:title":"%d"}}}' % number)
            assert (await asyncio.to_thread(asking)).title == str(number)
            assert (len(host.requests), host.handshakes) == (number, number)
        await host.left()


async def test_a_server_that_is_not_there_or_does_not_answer_is_an_error_in_time() -> None:
    with refusing_port() as port:
        asking = settings_of(f"ws://user:canary@127.0.0.1:{port}/", timeout=0.5)
        with pytest.raises(ConnectError) as caught:
            await asyncio.to_thread(asking)
        assert "canary" not in str(caught.value)
    async with asyncio.timeout(GUARD), Host(mute) as host:
        with pytest.raises(RequestTimeoutError):
            await asyncio.to_thread(settings_of(host.uri, timeout=0.1))


async def test_a_server_in_the_very_loop_that_waits_is_an_error_in_time_not_a_deadlock(server: NdbServer) -> None:
    with pytest.raises(ConnectError, match=r"within 0\.1 s"):
        settings_of(server.uri, timeout=0.1)()


async def test_what_a_server_refuses_is_raised(server: NdbServer) -> None:
    async def refusing(visit: Any) -> None:
        await visit.next_request()
        await visit.send(b'{"KV_GET_RSP":{"m":"","st":14,"tkn":null}}')
        await visit.wait_closed()

    async with asyncio.timeout(GUARD), Host(refusing) as host:
        with pytest.raises(ResponseError):
            await asyncio.to_thread(settings_of(host.uri))


@pytest.mark.parametrize(
    ("uri", "says"), [("memory://", "load_settings"), ("memory://name", "load_settings"), ("http://h/", "ws://")]
)
def test_what_cannot_be_asked_from_a_thread_is_refused(uri: str, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        settings_of(uri)()


def test_without_a_uri_settings_are_made_by_load_settings_only() -> None:
    with pytest.raises(InvalidArgumentError, match=r"await load_settings\(client, Settings\)"):
        Settings()


async def test_another_namespace_than_that_of_the_source_is_refused(client: NdbClient) -> None:
    for namespace in (None, "web"):
        with pytest.raises(InvalidArgumentError, match="give both the same"):
            await load_settings(client, Settings, namespace=namespace)


async def test_what_was_loaded_is_for_these_settings_only(client: NdbClient, stored: ConfigRepository[App]) -> None:
    class Outer(BaseSettings):
        inner: Settings = Field(default_factory=lambda: Settings())

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (NdbSettingsSource(settings_cls),)

    with pytest.raises(InvalidArgumentError, match="no URI"):
        await load_settings(client, Outer)
    with pytest.raises(InvalidArgumentError, match="no URI"):
        Settings()


async def test_loading_settings_at_once_mixes_nothing_up(client: NdbClient, stored: ConfigRepository[App]) -> None:
    async def one(number: int) -> Settings:
        return await load_settings(client, Settings, namespace="app", title=str(number))

    made = await asyncio.gather(*(one(number) for number in range(20)))
    assert [(each.title, each.port) for each in made] == [(str(number), 5) for number in range(20)]


async def test_what_does_not_fit_is_pydantics_error_and_nothing_is_overwritten(client: NdbClient) -> None:
    await client.kv_set({"app:debug": "canary", "app:pool": {"size": "canary"}})
    with pytest.raises(ValidationError) as caught:
        await load_settings(client, Settings, namespace="app")
    assert [error["loc"] for error in caught.value.errors()] == [("debug",), ("pool",)]
    assert "canary" not in str(caught.value)
    assert await client.kv_get(["app:debug"]) == {"app:debug": "canary"}


class Sourceless(App, BaseSettings):
    needed: int


@pytest.mark.parametrize("init", [{}, {"needed": 1}])
async def test_settings_without_the_source_are_refused_for_what_is_stored_would_be_ignored(
    client: NdbClient, stored: ConfigRepository[App], init: dict[str, Any]
) -> None:
    with pytest.raises(SchemaError, match=r"Sourceless: none of its sources is an NdbSettingsSource.*return one"):
        await load_settings(client, Sourceless, namespace="app", **init)


@pytest.mark.parametrize("wrong", [App, App(), None, "Settings"])
async def test_what_is_no_class_of_settings_is_refused(client: NdbClient, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="BaseSettings"):
        await load_settings(client, wrong)


async def test_what_is_stored_is_not_shown_where_it_does_not_fit_as_a_whole(
    client: NdbClient, stored: ConfigRepository[App]
) -> None:
    class Strict(Settings):
        model_config = SettingsConfigDict(hide_input_in_errors=False)

        @model_validator(mode="after")
        def check(self) -> Self:
            raise ValueError(self.password.get_secret_value())

    with pytest.raises(ValidationError) as caught:
        await load_settings(client, Strict, namespace="app")
    assert caught.value.title == "Strict"
    assert "canary" not in f"{caught.value} {caught.value.errors()} {caught.value.__cause__} {caught.value.__context__}"


async def test_what_cannot_be_parsed_is_named() -> None:
    script = answering({"app:title": "9" * 5000})
    async with asyncio.timeout(GUARD), Host(script) as host, NdbClient.connect(host.uri) as client:
        with pytest.raises(StoredConfigError, match="app:title"):
            await load_settings(client, Settings, namespace="app")


async def test_a_failure_leaves_nothing_behind(client: NdbClient, stored: ConfigRepository[App]) -> None:
    with pytest.raises(ValidationError):
        await load_settings(client, Settings, namespace="app", debug="neither")
    with pytest.raises(InvalidArgumentError, match="no URI"):
        Settings()


def source_for(**fields: Any) -> Callable[[NdbClient], Any]:
    """Return what makes settings with these fields, from keys without a namespace."""

    def customise(cls: Any, /, settings_cls: type[BaseSettings], **_: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        return (NdbSettingsSource(settings_cls),)

    namespace = {
        "__annotations__": dict.fromkeys(fields, str),
        "settings_customise_sources": classmethod(customise),
        **fields,
    }
    made: Any = type("Made", (BaseSettings,), namespace)
    return lambda client: load_settings(client, made)


async def test_keys_are_named_by_fields_whatever_the_settings_take_them_by(client: NdbClient) -> None:
    await client.kv_set({"plain": "1", "aliased": "2", "chosen": "3", "out": "nobody's"})
    making = source_for(
        plain=Field(),
        aliased=Field(alias="Alias"),
        chosen=Field(validation_alias=AliasChoices(AliasPath("a", 0), "one", "other"), serialization_alias="out"),
        missing=Field(default="default"),
    )
    settings = await making(client)
    assert settings.model_dump() == {"plain": "1", "aliased": "2", "chosen": "3", "missing": "default"}


async def test_a_field_that_is_taken_by_a_path_only_is_refused(client: NdbClient) -> None:
    await client.kv_set({"inner": "1"})
    with pytest.raises(SchemaError, match="path"):
        await source_for(inner=Field(validation_alias=AliasPath("a", 0)))(client)


def test_a_source_shows_no_credentials() -> None:
    assert "canary" not in repr(NdbSettingsSource(Settings, "ws://user:canary@h/", headers={"Authorization": "canary"}))


def test_without_pydantic_settings_the_error_says_what_to_install() -> None:
    program = "import sys; sys.modules['pydantic_settings'] = None; import ndb_models.integrations.settings"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "ImportError: ndb_models.integrations.settings needs pydantic-settings" in done.stderr
    assert "pip install 'ndb_models[settings]'" in done.stderr


@pytest.mark.slow
def test_the_package_itself_needs_no_pydantic_settings() -> None:
    program = "import sys; sys.modules['pydantic_settings'] = None; import ndb_models, ndb_models.integrations"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
