"""What a checker knows of each verb of a repository: what goes in, and what comes out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import assert_type

from ndb_models import (
    ConflictError,
    Credential,
    Expiry,
    Lookup,
    NdbClient,
    NdbError,
    Repository,
    SessionDescription,
    SessionError,
)
from tests.typing.models import NameView, NoModel, OneTimePassword, Page, UserSession, Visitor


async def creating_and_changing_give_back_the_model(repo: Repository[UserSession]) -> None:
    user = await repo.create(UserSession(username="b"), expiry=Expiry(idle=60, absolute=timedelta(days=1)))
    assert_type(user, UserSession)
    assert_type(await repo.save(user, expiry=Expiry(absolute=60)), UserSession)
    assert_type(await repo.refresh(user), UserSession)
    assert_type(await repo.rotate(user), UserSession)
    assert_type(await repo.update(user.tkn, username="c"), UserSession)


async def fields_by_name_are_checked_in_mypy_by_the_plugin(repo: Repository[UserSession]) -> None:
    await repo.update(5, usernme="c")  # type: ignore[ndb-field]
    await repo.update(5, roles="c")  # type: ignore[ndb-value]
    await repo.update(5, roles=[], username="c")


async def an_edit_is_of_the_model(repo: Repository[UserSession]) -> None:
    assert_type(repo.edit(5), AbstractAsyncContextManager[UserSession])
    async with repo.edit(5) as user:
        assert_type(user, UserSession)
        user.roles.append("admin")
        user.roles.append(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        user.rolls = []  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with repo.edit(5):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


async def what_keeps_a_session_alive_has_types(repo: Repository[UserSession]) -> None:
    await repo.touch(5)
    left = await repo.ttl(5)
    assert_type(left, float | None)
    assert_type(await repo.ttl(await repo.get(5)), float | None)
    await repo.ttl(OneTimePassword(code=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _ = left + 1  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand, reportUnknownVariableType]


async def a_projection_is_typed_as_the_view(repo: Repository[UserSession]) -> None:
    view = await repo.project(5, NameView)
    assert_type(view, NameView)
    assert_type(view.username, str)
    _ = view.usrname  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
    _ = view.roles  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
    _ = view.tkn  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]


async def what_is_no_view_is_an_error(repo: Repository[UserSession]) -> None:
    await repo.project(5, NoModel)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    await repo.project(5, NameView(username="b"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.project(5, "NameView")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _: UserSession = await repo.project(5, NameView)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    await repo.save(await repo.project(5, NameView))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def raw_is_text_by_key(repo: Repository[UserSession]) -> None:
    assert_type(await repo.raw(5), dict[str, str])


async def many_are_models_or_errors(repo: Repository[UserSession]) -> None:
    got = await repo.get_many([1, 2], progress=print)
    assert_type(got, list[UserSession | NdbError])
    for user in got:
        _ = user.username  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
        if not isinstance(user, NdbError):
            assert_type(user, UserSession)
    assert_type(await repo.save_many(UserSession(username="b") for _ in range(2)), list[UserSession | NdbError])
    assert_type(await repo.delete_many({1, 2}), list[bool | NdbError])


async def wrong_models_among_many_are_an_error(repo: Repository[UserSession]) -> None:
    await repo.save_many([OneTimePassword(code=1)])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await repo.get_many(["5"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await repo.get_many(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.delete_many([UserSession(username="b")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def a_wrong_model_is_an_error(repo: Repository[UserSession]) -> None:
    otp = OneTimePassword(code=1)
    await repo.create(otp)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.rotate(otp)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.refresh(otp)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.rotate(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.save(NameView(username="b"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_wrong_option_is_an_error(client: NdbClient, repo: Repository[UserSession]) -> None:
    Repository(client, UserSession, foreign=True, on_invalid="end", clock=lambda: 0.0)
    Repository(client, UserSession, rewrite=True, verify_version=True)
    Repository(client, UserSession, rewrite="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Repository(client, UserSession, on_invalid="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Repository(client, UserSession, True)  # type: ignore[arg-type,call-arg]  # pyright: ignore[reportCallIssue]
    await repo.save(UserSession(username="b"), expiry=60)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.update(5, {"username": "b"})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await repo.touch(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_generic_model_keeps_its_argument_through_every_verb(client: NdbClient) -> None:
    pages = Repository(client, Page[int])
    assert_type(await pages.save(Page[int](items=[1])), Page[int])
    assert_type(await pages.get_many([5]), list[Page[int] | NdbError])
    async with pages.edit(5) as page:
        assert_type(page.items, list[int])


async def a_mutation_changes_the_model_it_is_given(repo: Repository[Visitor]) -> None:
    def visit(visitor: Visitor) -> None:
        visitor.visits += 1

    async def vote(visitor: Visitor) -> None:
        visitor.votes["a"] = 1

    def rename(user: UserSession) -> None:
        user.username = "b"

    assert_type(await repo.mutate(5, visit), Visitor)
    assert_type(await repo.mutate(5, vote, attempts=3), Visitor)
    await repo.mutate(5, rename)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.mutate(5, lambda visitor: visitor.visits)  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType]
    await repo.mutate(5, None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.mutate(5, visit, attempts="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_field_with_a_merge_mark_keeps_its_type(repo: Repository[Visitor]) -> None:
    visitor = await repo.update(5, visits=1, votes={"a": 1})
    assert_type(visitor, Visitor)
    assert_type(visitor.visits, int)
    assert_type(visitor.votes, dict[str, int])
    assert_type(visitor.seat, str | None)
    Visitor(user_id=1, visits="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    try:
        await repo.save(visitor)
    except ConflictError as exc:
        assert_type(exc.field, str)
        assert_type(exc.attempts, int | None)


def a_limit_of_a_lookup_is_a_number() -> None:
    Lookup(limit="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_credential_is_text_only_where_it_is_asked_for(repo: Repository[UserSession], user: UserSession) -> None:
    credential = await repo.issue(user)
    assert_type(credential, Credential)
    assert_type(str(credential), str)
    assert_type(credential.tkn, int)
    assert_type(Credential.parse("text"), Credential | None)
    assert_type(await repo.renew(user), Credential)
    await repo.renew(user, grace=timedelta(seconds=5))
    await repo.renew(user, 5.0)
    await repo.renew(user, grace="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.issue(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.renew(OneTimePassword(code=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _: str = credential  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


async def a_session_may_be_missing_where_a_browser_is_believed(repo: Repository[UserSession]) -> None:
    found = await repo.authenticate("text")
    assert_type(found, UserSession | None)
    assert_type(await repo.authenticate(None), UserSession | None)
    _ = found.username  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    await repo.authenticate(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.authenticate(b"text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_description_has_types(repo: Repository[Visitor], visitor: Visitor) -> None:
    told = await repo.describe(5, current=visitor)
    assert_type(told, SessionDescription)
    assert_type(told.created, datetime | None)
    assert_type(told.public_id, str | None)
    assert_type(told.is_current, bool)
    assert_type(await repo.describe(visitor, current=5), SessionDescription)
    assert_type(await repo.is_fresh(visitor, 60), bool)
    assert_type(await repo.is_fresh(5, timedelta(minutes=1)), bool)
    await repo.require_fresh(visitor, within=60)
    await repo.is_fresh(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await repo.require_fresh("5", 60)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.describe(OneTimePassword(code=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def listed_sessions_are_models_or_errors(repo: Repository[Visitor]) -> None:
    assert_type(repo.sessions(page=100), AsyncGenerator[Visitor | SessionError])
    async for each in repo.sessions():
        _ = each.visits  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
        if not isinstance(each, SessionError):
            assert_type(each, Visitor)
    repo.sessions(page="100")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_find_of_a_few_takes_a_number_and_an_order(repo: Repository[Visitor]) -> None:
    assert_type(await repo.find(user_id=7, limit=5, order="newest"), list[Visitor])
    assert_type(await repo.find(user_id=7, extend=False), list[Visitor])
    await repo.find(user_id=7, limit="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.find(user_id=7, order="latest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
