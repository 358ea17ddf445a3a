"""What a checker knows of the synchronous side: the same as of the asynchronous one, without `await`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import assert_type

from pydantic import BaseModel

from ndb_models import (
    ConfigChange,
    Credential,
    JsonValue,
    NdbClient,
    NdbError,
    Reindexed,
    Session,
    SessionDescription,
    SessionError,
)
from ndb_models.sync import SyncClient, SyncConfigRepository, SyncConfigWatch, SyncRepository
from tests.typing.models import NameView, NoModel, OneTimePassword, UserSession


class AppConfig(BaseModel):
    title: str = ""


def a_client_is_entered_made_or_opened() -> None:
    with SyncClient.connect("memory://", open_timeout=1) as entered:
        assert_type(entered, SyncClient)
    with SyncClient("memory://") as made:
        assert_type(made, SyncClient)
    assert_type(SyncClient().open("memory://"), bool)
    SyncClient("memory://", timeout=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def commands_have_types(client: SyncClient) -> None:
    assert_type(client.kv_set({"a": 1, "b": ("x", None)}), bool)
    assert_type(client.kv_get(("a",)), dict[str, JsonValue])
    assert_type(client.kv_find("$.a"), list[str])
    assert_type(client.kv_find("$.a", "kv"), dict[str, JsonValue])
    assert_type(client.sh_create_session(durationSeconds=60), Session)
    assert_type(client.max_payload, int | None)
    client.kv_set(["a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.kv_gett(["a"])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def a_repository_gives_back_its_model(client: SyncClient) -> None:
    repo = SyncRepository(client, UserSession)
    assert_type(repo, SyncRepository[UserSession])
    saved = repo.save(UserSession(username="billy"))
    assert_type(saved, UserSession)
    assert_type(repo.get(saved.tkn), UserSession)
    assert_type(repo.get_or_none(5), UserSession | None)
    assert_type(repo.get_many([5]), list[UserSession | NdbError])
    assert_type(repo.project(saved.tkn, NameView), NameView)
    assert_type(repo.issue(saved), Credential)
    assert_type(repo.authenticate("text"), UserSession | None)
    assert_type(repo.describe(saved), SessionDescription)
    assert_type(repo.reindex(), Reindexed)
    assert_type(repo.sessions(), Generator[UserSession | SessionError])
    repo.save(OneTimePassword(code=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def an_edit_is_of_the_model(repo: SyncRepository[UserSession]) -> None:
    assert_type(repo.edit(5), AbstractContextManager[UserSession])
    with repo.edit(5) as session:
        assert_type(session, UserSession)
        session.usernme = "x"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def change_later(session: UserSession) -> None:
    """Would never be awaited."""


def a_mutation_is_a_plain_function(repo: SyncRepository[UserSession]) -> None:
    assert_type(repo.mutate(5, lambda session: session.roles.append("admin")), UserSession)
    repo.mutate(5, change_later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    repo.mutate(5, lambda session: session.rols.append("admin"))  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]


def a_configuration_is_of_its_class(client: SyncClient) -> None:
    config = SyncConfigRepository(client, AppConfig)
    assert_type(config, SyncConfigRepository[AppConfig])
    assert_type(config.load(), AppConfig)
    with config.edit() as edited:
        assert_type(edited, AppConfig)
    watch = config.watch()
    assert_type(watch, SyncConfigWatch[AppConfig])
    for change in watch:
        assert_type(change, ConfigChange[AppConfig])


async def what_is_asynchronous_is_an_error(
    client: SyncClient, asynchronous: NdbClient, repo: SyncRepository[UserSession]
) -> None:
    await repo.get(5)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    async with repo.edit(5):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    SyncRepository(asynchronous, UserSession)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SyncRepository(client, NoModel)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
