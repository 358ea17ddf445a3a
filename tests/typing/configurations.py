"""What a checker knows of a configuration: every verb speaks of the class that the repository was made for."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import assert_type

from pydantic import BaseModel
from pydantic_settings import BaseSettings

from ndb_models import (
    ConfigChange,
    ConfigDifference,
    ConfigProblem,
    ConfigRepository,
    ConfigWatch,
    NdbClient,
    StoredConfigError,
)
from ndb_models.integrations.settings import load_settings
from tests.typing.models import NoModel, UserSession


class AppConfig(BaseModel):
    title: str = ""
    debug: bool = False


class OtherConfig(BaseModel):
    number: int = 0


class Settings(AppConfig, BaseSettings):
    pass


async def every_verb_speaks_of_the_model(client: NdbClient) -> None:
    config = ConfigRepository(client, AppConfig, namespace="app")
    assert_type(config, ConfigRepository[AppConfig])
    assert_type(await config.load(), AppConfig)
    assert_type(await config.save(AppConfig(), replace_invalid=True), AppConfig)
    assert_type(await config.update(debug=True), AppConfig)
    assert_type(config.edit(), AbstractAsyncContextManager[AppConfig])
    async with config.edit() as edited:
        assert_type(edited, AppConfig)
        edited.title = "t"
        edited.title = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        edited.titel = "t"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def fields_by_name_are_checked_in_mypy_by_the_plugin(config: ConfigRepository[AppConfig]) -> None:
    await config.update(titel="t")  # type: ignore[ndb-field]
    await config.update(debug="yes")  # type: ignore[ndb-value]


async def what_is_wrong_and_what_differs_have_types(config: ConfigRepository[AppConfig]) -> None:
    problems = await config.check()
    assert_type(problems, list[ConfigProblem])
    assert_type(problems[0].key, str)
    _ = problems[0].kind == "mising"  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
    differences = await config.diff(AppConfig())
    assert_type(differences, list[ConfigDifference])
    assert_type(differences[0].stored, object)
    await config.diff(OtherConfig())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def what_a_watch_yields_is_a_whole_and_valid_model(config: ConfigRepository[AppConfig]) -> None:
    watch = config.watch()
    assert_type(watch, ConfigWatch[AppConfig])
    async for change in watch:
        assert_type(change, ConfigChange[AppConfig])
        assert_type(change.old, AppConfig)
        assert_type(change.new, AppConfig)
        assert_type(change.new.debug, bool)
        assert_type(change.fields, tuple[str, ...])
        change.new = change.old  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert_type(watch.current, AppConfig | None)
    assert_type(watch.problems, tuple[ConfigProblem, ...])
    for _ in config.watch():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        pass


def complain(error: StoredConfigError) -> None:
    assert_type(error.problems, tuple[ConfigProblem, ...])


async def complain_later(error: StoredConfigError) -> None:
    """Would never be awaited."""


async def options_of_a_watch_are_checked(config: ConfigRepository[AppConfig]) -> None:
    config.watch(AppConfig(), interval=0.5, on_invalid=complain)
    config.watch(OtherConfig())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    config.watch(on_invalid=complain_later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    config.watch(AppConfig(), 0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    config.watch(on_invalid=lambda error: error.problem)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]


async def another_model_is_an_error(client: NdbClient, config: ConfigRepository[AppConfig]) -> None:
    await config.save(OtherConfig())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await config.save({"debug": True})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _: OtherConfig = await config.load()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    ConfigRepository(client, NoModel)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    ConfigRepository(client, AppConfig, "app")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ConfigRepository(client, AppConfig())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_session_model_is_a_model(client: NdbClient) -> None:
    assert_type(await ConfigRepository(client, UserSession).load(), UserSession)


async def settings_are_of_their_class(client: NdbClient) -> None:
    assert_type(await load_settings(client, Settings, namespace="app", debug=True), Settings)
    await load_settings(client, AppConfig)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
