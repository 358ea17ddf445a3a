"""When typed sessions end by themselves: what is asked of the server, and to the second, what comes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from ndb_models import NdbClient, Repository, SessionGoneError
from tests.conftest import VirtualClock
from tests.repository.models import EternalUser, Otp, ReadUser, User, WrittenUser

Use: TypeAlias = Callable[[Repository[User], User], Awaitable[object]]


async def save_changed(repo: Repository[User], user: User) -> None:
    user.visits += 1
    await repo.save(user)


async def save_unchanged(repo: Repository[User], user: User) -> None:
    await repo.save(user)


async def get(repo: Repository[User], user: User) -> None:
    await repo.get(user.tkn)


async def exists(repo: Repository[User], user: User) -> None:
    assert await repo.exists(user.tkn)


READS: list[Use] = [get, exists]
WRITES: list[Use] = [save_changed, save_unchanged]
EXTENDED: list[tuple[type[User], Use]] = [
    *((model, use) for model in (User, ReadUser) for use in READS),
    *((model, use) for model in (User, WrittenUser) for use in WRITES),
]
NOT_EXTENDED: list[tuple[type[User], Use]] = [
    *((WrittenUser, use) for use in READS),
    *((ReadUser, use) for use in WRITES),
]


@pytest.mark.parametrize(
    ("model", "on_get", "on_set"), [(User, True, True), (ReadUser, True, False), (WrittenUser, False, True)]
)
async def test_expiry_is_asked_of_the_server(client: NdbClient, model: type[User], on_get: bool, on_set: bool) -> None:
    user = await Repository(client, model).save(model(username="b"))
    info = await client.sh_info(user.tkn)
    assert info["expires"] is True
    assert isinstance(info["expiry"], dict)
    assert {name: value for name, value in info["expiry"].items() if name != "remaining"} == {
        "duration": 60,
        "deleteSession": True,
        "extendOnGet": on_get,
        "extendOnSetAdd": on_set,
    }


async def test_without_expiry_a_session_never_ends(client: NdbClient) -> None:
    switched_off = await Repository(client, EternalUser).save(EternalUser(username="b"))
    never_said = await Repository(client, Otp).save(Otp(code=1))
    assert (await client.sh_info(switched_off.tkn))["expires"] is False
    assert (await client.sh_info(never_said.tkn))["expires"] is False


@pytest.mark.parametrize(("model", "use"), EXTENDED)
async def test_use_starts_the_time_anew(timed: NdbClient, clock: VirtualClock, model: type[User], use: Use) -> None:
    repo: Repository[User] = Repository(timed, model)
    user = await repo.save(model(username="b"))
    for _ in range(3):
        clock.move(59)
        await use(repo, user)
    clock.move(59.999)
    assert await timed.sh_session_exists([user.tkn]) == [user.tkn]
    clock.move(0.001)
    assert await timed.sh_session_exists([user.tkn]) == []


@pytest.mark.parametrize(("model", "use"), NOT_EXTENDED)
async def test_what_does_not_count_as_use_does_not(
    timed: NdbClient, clock: VirtualClock, model: type[User], use: Use
) -> None:
    repo: Repository[User] = Repository(timed, model)
    user = await repo.save(model(username="b"))
    clock.move(59)
    await use(repo, user)
    clock.move(1)
    assert await repo.exists(user.tkn) is False


@pytest.mark.parametrize("model", [User, ReadUser, WrittenUser])
async def test_an_expired_session_is_gone_to_everyone(timed: NdbClient, clock: VirtualClock, model: type[User]) -> None:
    repo: Repository[User] = Repository(timed, model)
    user = await repo.save(model(username="b"))
    clock.move(60)
    with pytest.raises(SessionGoneError):
        await repo.get(user.tkn)
    assert await repo.get_or_none(user.tkn) is None
    assert await repo.exists(user.tkn) is False
    assert await repo.delete(user.tkn) is False
    assert await timed.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}


@pytest.mark.parametrize("use", WRITES)
async def test_saving_never_brings_an_expired_session_back(timed: NdbClient, clock: VirtualClock, use: Use) -> None:
    repo = Repository(timed, User)
    user = await repo.save(User(username="b"))
    clock.move(60)
    for _ in range(2):
        with pytest.raises(SessionGoneError):
            await use(repo, user)
    assert await timed.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}


async def test_saving_a_new_model_after_expiry_is_a_new_session(timed: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(timed, User)
    user = await repo.save(User(username="b"))
    clock.move(60)
    again = await repo.save(User(**user.model_dump()))
    assert again.tkn != user.tkn
    assert await repo.get(again.tkn) == user


async def test_an_unchanged_save_writes_nothing_but_the_time(timed: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(timed, User)
    user = await repo.save(User(username="b"))
    names = await timed.sh_keys(user.tkn)
    before = await timed.sh_get(names, user.tkn)
    clock.move(30)
    await repo.save(user)
    assert await timed.sh_keys(user.tkn) == names
    clock.move(59)
    assert await timed.sh_get(names, user.tkn) == before
