"""Saving, reading, looking for and deleting sessions: present, missing, ended, repeated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ndb_models import InvalidArgumentError, NdbClient, Repository, SessionGoneError, SessionModel
from tests.repository.models import Address, EternalUser, Frozen, Otp, User


async def test_a_saved_model_is_read_back_equal(users: Repository[User]) -> None:
    saved = await users.save(User(username="billy", roles=["a"], address=Address(street="S", lines=["1"])))
    read = await users.get(saved.tkn)
    assert read == saved
    assert read is not saved
    assert (read.tkn, read.is_saved) == (saved.tkn, True)


async def test_save_returns_the_very_model_that_it_was_given(users: Repository[User]) -> None:
    user = User(username="billy")
    assert await users.save(user) is user
    assert user.is_saved


async def test_two_models_of_equal_content_become_two_sessions(users: Repository[User], client: NdbClient) -> None:
    first, second = await users.save(User(username="b")), await users.save(User(username="b"))
    assert first.tkn != second.tkn
    assert first == second
    assert (await client.sh_info_all())["totalSessions"] == 2


async def test_saving_again_is_the_same_session(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))
    tkn = user.tkn
    user.username = "c"
    await users.save(user)
    await users.save(user)
    assert user.tkn == tkn
    assert (await users.get(tkn)).username == "c"
    assert (await client.sh_info_all())["totalSessions"] == 1


async def test_frozen_models_are_stored_too(client: NdbClient) -> None:
    repo = Repository(client, Frozen)
    saved = await repo.save(Frozen(username="b"))
    assert await repo.get(saved.tkn) == saved


async def test_a_session_that_never_was_is_gone(users: Repository[User]) -> None:
    with pytest.raises(SessionGoneError) as caught:
        await users.get(123456789)
    assert caught.value.tkn == 123456789
    assert "123456789" not in str(caught.value)
    assert await users.get_or_none(123456789) is None
    assert await users.exists(123456789) is False
    assert await users.delete(123456789) is False


async def test_an_ended_session_is_gone_to_everyone(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    assert await users.exists(user.tkn) is True
    assert await users.delete(user.tkn) is True
    with pytest.raises(SessionGoneError):
        await users.get(user.tkn)
    assert await users.get_or_none(user.tkn) is None
    assert await users.exists(user.tkn) is False


async def test_deleting_twice_does_no_harm(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    assert [await users.delete(user.tkn), await users.delete(user.tkn)] == [True, False]


async def test_deleting_ends_one_session_and_no_other(users: Repository[User]) -> None:
    first, second = await users.save(User(username="a")), await users.save(User(username="b"))
    await users.delete(first.tkn)
    assert await users.get(second.tkn) == second


async def test_get_or_none_returns_what_get_returns(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    assert await users.get_or_none(user.tkn) == user


async def test_a_model_of_another_class_is_not_saved(users: Repository[User], client: NdbClient) -> None:
    for other in (Otp(code=1), EternalUser(username="derived"), Address(), None, {"username": "b"}):
        with pytest.raises(InvalidArgumentError, match=f"stores User, not {type(other).__name__}"):
            await users.save(other)  # type: ignore[arg-type]  # that it is refused is the point
    assert (await client.sh_info_all())["totalSessions"] == 0


@pytest.mark.parametrize("model", [int, object, None, "User", User(username="an instance")])
async def test_a_repository_is_one_of_a_session_model(client: NdbClient, model: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="SessionModel"):
        Repository(client, model)


NO_TOKENS: list[Any] = [None, True, "123", b"1", 1.0, -1, 2**64, [1], User(username="not its token")]


@pytest.mark.parametrize("tkn", NO_TOKENS, ids=repr)
async def test_what_is_no_token_is_refused(users: Repository[User], tkn: Any) -> None:
    calls: list[Callable[[Any], Awaitable[object]]] = [users.get, users.get_or_none, users.exists, users.delete]
    for call in calls:
        with pytest.raises(InvalidArgumentError, match="unsigned 64-bit integer"):
            await call(tkn)


@pytest.mark.parametrize("tkn", [0, 2**64 - 1])
async def test_the_least_and_the_largest_token_can_be_asked_for(users: Repository[User], tkn: int) -> None:
    assert await users.get_or_none(tkn) is None


async def test_one_client_serves_many_repositories(client: NdbClient) -> None:
    user = await Repository(client, User).save(User(username="b"))
    otp = await Repository(client, Otp).save(Otp(code=1))
    found: list[SessionModel] = [
        await Repository(client, User).get(user.tkn),
        await Repository(client, Otp).get(otp.tkn),
    ]
    assert found == [user, otp]
