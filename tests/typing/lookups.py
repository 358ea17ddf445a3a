"""What a checker knows of finding sessions by their values."""

from __future__ import annotations

from typing import Annotated, assert_type

from ndb_models import DuplicateError, Lookup, NdbError, Reindexed, Repository, SessionModel
from tests.typing.models import OneTimePassword


class Login(SessionModel):
    user_id: Annotated[int, Lookup()]
    email: Annotated[str | None, Lookup(unique=True)] = None


def a_field_keeps_its_type(login: Login) -> None:
    assert_type(login.user_id, int)
    assert_type(login.email, str | None)
    Login(user_id="7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Lookup(True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Lookup(unique="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def finding_gives_back_the_model(repo: Repository[Login]) -> None:
    assert_type(await repo.find(user_id=7), list[Login])
    one = await repo.find_one(email="a")
    assert_type(one, Login | None)
    _ = one.user_id  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    await repo.find(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def values_are_checked_in_mypy_by_the_plugin(repo: Repository[Login]) -> None:
    await repo.find(usr_id=7)  # type: ignore[ndb-field]
    await repo.find(user_id="7")  # type: ignore[ndb-value]
    await repo.find_one(user_id=7)  # type: ignore[ndb-field]
    await repo.end_all_for(emial="a")  # type: ignore[ndb-field]


async def whoever_is_spared_is_a_session_a_token_or_several(repo: Repository[Login], login: Login) -> None:
    assert_type(await repo.end_all_for(user_id=7), int)
    await repo.end_all_for(user_id=7, but=login)
    await repo.end_all_for(user_id=7, but=5)
    await repo.end_all_for(user_id=7, but=[login, 5])
    await repo.end_all_for(user_id=7, but={login.tkn})
    await repo.end_all_for(user_id=7, but="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def reindexing_says_what_was_done(repo: Repository[Login]) -> None:
    done = await repo.reindex([5], exclusive=True, progress=print)
    assert_type(done, Reindexed)
    assert_type(done.problems, list[NdbError])
    assert_type(done.sessions, int)
    await repo.reindex(["5"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def a_duplicate_names_its_field(repo: Repository[Login], login: Login) -> None:
    try:
        await repo.save(login)
    except DuplicateError as exc:
        assert_type(exc.field, str)
    await repo.save(OneTimePassword(code=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
