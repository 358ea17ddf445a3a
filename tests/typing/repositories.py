"""What a checker knows of a repository: it gives back the class that it was made for."""

from __future__ import annotations

from typing import assert_type

from ndb_models import NdbClient, Repository
from tests.typing.models import OneTimePassword, Page, UserSession


async def a_repository_gives_back_its_model(client: NdbClient) -> None:
    repo = Repository(client, UserSession)
    assert_type(repo, Repository[UserSession])
    saved = await repo.save(UserSession(username="billy"))
    assert_type(saved, UserSession)
    assert_type(saved.tkn, int)
    assert_type(saved.is_saved, bool)
    read = await repo.get(saved.tkn)
    assert_type(read, UserSession)
    assert_type(read.username, str)
    assert_type(read.roles, list[str])
    assert_type(await repo.exists(saved.tkn), bool)
    assert_type(await repo.delete(saved.tkn), bool)


async def what_may_be_missing_must_be_asked_for(client: NdbClient) -> None:
    found = await Repository(client, UserSession).get_or_none(5)
    assert_type(found, UserSession | None)
    _ = found.username  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    if found is not None:
        assert_type(found, UserSession)


async def a_generic_model_keeps_its_argument(client: NdbClient) -> None:
    page = await Repository(client, Page[int]).get(5)
    assert_type(page, Page[int])
    assert_type(page.items, list[int])


async def a_model_keeps_its_class_when_it_is_copied(client: NdbClient) -> None:
    user = await Repository(client, UserSession).get(5)
    assert_type(user.model_copy(update={"username": "b"}), UserSession)


async def another_model_is_an_error(client: NdbClient) -> None:
    repo = Repository(client, UserSession)
    await repo.save(OneTimePassword(code=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _: OneTimePassword = await repo.get(5)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


async def a_misspelt_attribute_is_an_error(client: NdbClient) -> None:
    user = await Repository(client, UserSession).get(5)
    user.usrname = "b"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    _ = user.rolls  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]


async def a_wrong_argument_is_an_error(client: NdbClient) -> None:
    repo = Repository(client, UserSession)
    await repo.get("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.get(await repo.get(5))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.exists(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.save({"username": "b"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Repository(client, int)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    Repository(UserSession)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]


async def a_forgotten_await_is_an_error(client: NdbClient) -> None:
    repo = Repository(client, UserSession)
    repo.save(UserSession(username="b"))  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    _ = repo.get(5).username  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
