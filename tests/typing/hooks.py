"""What a checker knows of hooks and of ends: what a hook is given, and that it is given back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from ndb_models import EndReason, Repository, SessionEnd
from tests.typing.models import OneTimePassword, UserSession


async def a_hook_is_given_the_model_and_is_given_back(repo: Repository[UserSession]) -> None:
    @repo.on_created
    def created(session: UserSession) -> None:
        assert_type(session.username, str)

    @repo.on_changed
    async def changed(session: UserSession, fields: frozenset[str]) -> None:
        assert_type(session, UserSession)

    @repo.on_ended
    def ended(end: SessionEnd) -> None:
        assert_type(end.tkn, int)
        assert_type(end.reason, EndReason)
        assert_type(end.successor, int | None)

    assert_type(created, Callable[[UserSession], None])
    both: Callable[[UserSession, frozenset[str]], Coroutine[Any, Any, None]] = changed
    repo.remove_hook(both)
    assert_type(repo.remove_hook(ended), bool)
    sessions: list[UserSession] = []
    repo.on_created(sessions.append)
    names: list[str] = []
    repo.on_changed(lambda session, fields: names.extend((session.username, *fields)))


async def a_hook_that_takes_or_returns_another_thing_is_an_error(repo: Repository[UserSession]) -> None:
    def of_passwords(session: OneTimePassword) -> None: ...

    def counts(session: UserSession) -> int:
        return 1

    repo.on_created(of_passwords)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    repo.on_created(counts)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    repo.on_changed(lambda session: None)  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]
    names: list[str] = []
    repo.on_created(lambda session: names.append(session.usrname))  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]


async def an_end_is_waited_for(repo: Repository[UserSession], session: UserSession) -> None:
    assert_type(await repo.ended(session), SessionEnd)
    assert_type(await repo.ended(session, 5, poll=0.5), SessionEnd)
    await repo.ended(OneTimePassword(code=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await repo.ended("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
