"""The absolute end of a session, which the server does not know of; how long is left; expiry of a session's own."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from ndb_models import Expiry, NdbClient, Repository, SessionExpiredError, SessionGoneError
from ndb_models.schema.envelope import RESERVED_KEY
from tests.conftest import VirtualClock
from tests.reloading import in_place_of
from tests.repository.models import EternalUser, User
from tests.repository.recording import RecordingEngine
from tests.repository.verbs import CHECKING, LIVING, SAVING

NOTHING = {"totalSessions": 0, "totalKeys": 0}


class Bounded(User, expiry=Expiry(idle=60, absolute=100)):
    """Ends when it is not used, and at the latest after 100 s."""


class Fixed(User, expiry=Expiry(absolute=100)):
    """Ends after 100 s, used or not."""


def of(model: type[User], client: NdbClient, clock: VirtualClock) -> Repository[User]:
    return Repository(client, model, clock=clock)


ENDED = {**CHECKING, **SAVING, "ttl": LIVING["ttl"]}


@pytest.mark.parametrize("verb", ENDED)
async def test_past_its_absolute_end_a_session_has_expired_however_much_it_was_used(
    timed: NdbClient, clock: VirtualClock, verb: str
) -> None:
    repo = of(Bounded, timed, clock)
    user = await repo.save(Bounded(username="b"))
    clock.move(59)
    await repo.get(user.tkn)
    clock.move(40.999)
    assert await repo.exists(user.tkn)
    clock.move(0.001)
    assert await timed.sh_session_exists([user.tkn]) == [user.tkn]
    with pytest.raises(SessionExpiredError) as caught:
        await ENDED[verb](repo, user)
    assert (caught.value.model, caught.value.tkn) == ("Bounded", user.tkn)
    # Who finds out ends it for everyone.
    assert await timed.sh_info_all() == NOTHING


async def test_past_its_absolute_end_a_session_is_no_more_to_those_who_ask(
    timed: NdbClient, clock: VirtualClock
) -> None:
    repo = of(Bounded, timed, clock)
    for ask in (repo.get_or_none, repo.exists, repo.delete):
        user = await repo.save(Bounded(username="b"))
        clock.move(59)
        await repo.touch(user.tkn)
        clock.move(41)
        assert not await ask(user.tkn)
        assert await timed.sh_info_all() == NOTHING


async def test_a_session_that_is_not_used_ends_before_its_absolute_end(timed: NdbClient, clock: VirtualClock) -> None:
    repo = of(Bounded, timed, clock)
    user = await repo.save(Bounded(username="b"))
    clock.move(60)
    assert await repo.exists(user.tkn) is False


async def test_an_absolute_end_alone_is_kept_by_the_server_itself(timed: NdbClient, clock: VirtualClock) -> None:
    repo = of(Fixed, timed, clock)
    user = await repo.save(Fixed(username="b"))
    clock.move(99)
    await repo.update(user.tkn, visits=1)
    await repo.touch(user.tkn)
    clock.move(1)
    assert await timed.sh_session_exists([user.tkn]) == []


async def test_another_reader_enforces_the_absolute_end_too(timed: NdbClient, clock: VirtualClock) -> None:
    """A program whose class has no expiry reads what says when it ends."""

    @in_place_of(Bounded)
    class Elsewhere(User, schema="Bounded", expiry=None):
        pass

    user = await of(Bounded, timed, clock).save(Bounded(username="b"))
    clock.move(59)
    reader = of(Elsewhere, timed, clock)
    assert await reader.get(user.tkn) == Elsewhere(username="b")
    clock.move(41)
    with pytest.raises(SessionExpiredError):
        await reader.get(user.tkn)


async def test_saving_does_not_move_the_absolute_end(timed: NdbClient, clock: VirtualClock) -> None:
    repo = of(Bounded, timed, clock)
    user = await repo.save(Bounded(username="b"))
    before = await timed.sh_get([RESERVED_KEY], user.tkn)
    for _ in range(9):
        clock.move(11)
        user.visits += 1
        await repo.save(user)
    assert await timed.sh_get([RESERVED_KEY], user.tkn) == before
    clock.move(1)
    with pytest.raises(SessionExpiredError):
        await repo.save(user)


async def test_an_edit_that_outlasts_the_session_is_refused(timed: NdbClient, clock: VirtualClock) -> None:
    repo = of(Bounded, timed, clock)
    user = await repo.save(Bounded(username="b"))

    async def edit() -> None:
        async with repo.edit(user.tkn) as edited:
            edited.visits = 1
            clock.move(59)
            await timed.sh_get(["username"], user.tkn)
            clock.move(41)

    with pytest.raises(SessionExpiredError):
        await edit()
    assert await timed.sh_info_all() == NOTHING


async def test_the_absolute_end_is_told_by_the_repositorys_clock_in_milliseconds(
    timed: NdbClient, clock: VirtualClock
) -> None:
    user = await of(Bounded, timed, clock).save(Bounded(username="b"))
    (reserved,) = (await timed.sh_get([RESERVED_KEY], user.tkn)).values()
    assert isinstance(reserved, dict)
    assert reserved["deadline"] == (clock.now + 100) * 1000


# Of one session, other than its class says


async def test_a_session_may_have_an_expiry_of_its_own(timed: NdbClient, clock: VirtualClock) -> None:
    repo = of(EternalUser, timed, clock)
    short = await repo.save(EternalUser(username="b"), expiry=Expiry(idle=10))
    created = await repo.create(EternalUser(username="b"), expiry=Expiry(absolute=20))
    (many,) = await repo.save_many([EternalUser(username="b")], expiry=Expiry(idle=30, on="write"))
    eternal = await repo.save(EternalUser(username="b"))
    assert isinstance(many, User)
    assert [await repo.ttl(user.tkn) for user in (short, created, many, eternal)] == [10, 20, 30, None]
    clock.move(10)
    assert await timed.sh_session_exists([short.tkn, created.tkn]) == [created.tkn]
    clock.move(10)
    assert await repo.exists(created.tkn) is False
    await repo.get(many.tkn)
    clock.move(10)
    assert [await repo.exists(user.tkn) for user in (many, eternal)] == [False, True]


async def test_an_absolute_end_of_its_own_is_enforced(timed: NdbClient, clock: VirtualClock) -> None:
    repo = of(User, timed, clock)
    user = await repo.save(User(username="b"), expiry=Expiry(idle=60, absolute=90))
    clock.move(59)
    await repo.get(user.tkn)
    clock.move(31)
    with pytest.raises(SessionExpiredError):
        await repo.get(user.tkn)


# How long is left


async def test_what_is_left_is_told_in_seconds_and_looking_does_not_extend_it(
    watched: Repository[User], clock: VirtualClock
) -> None:
    user = await watched.save(User(username="b"))
    left: list[float | None] = []
    for _ in range(3):
        left.append(await watched.ttl(user.tkn))
        clock.move(15)
    assert left == [60, 45, 30]
    clock.move(15)
    with pytest.raises(SessionGoneError):
        await watched.ttl(user.tkn)


async def test_what_is_left_is_never_more_than_until_the_absolute_end(timed: NdbClient, clock: VirtualClock) -> None:
    repo = of(Bounded, timed, clock)
    user = await repo.save(Bounded(username="b"))
    assert await repo.ttl(user.tkn) == 60
    clock.move(59)
    assert await repo.ttl(user.tkn) == 1
    await repo.touch(user.tkn)
    assert await repo.ttl(user.tkn) == 41
    clock.move(40)
    assert await repo.ttl(user.tkn) == 1


async def test_what_is_left_heeds_an_absolute_end_of_the_sessions_own(timed: NdbClient, clock: VirtualClock) -> None:
    repo = of(User, timed, clock)
    user = await repo.save(User(username="b"), expiry=Expiry(idle=60, absolute=90))
    clock.move(50)
    await repo.touch(user.tkn)
    assert await repo.ttl(user) == 40


async def test_what_never_ends_has_no_time_left_to_tell(timed: NdbClient, clock: VirtualClock) -> None:
    repo = of(EternalUser, timed, clock)
    assert await repo.ttl((await repo.save(EternalUser(username="b"))).tkn) is None


@pytest.mark.parametrize("on", ["read", "write", "both"])
async def test_touching_counts_whatever_counts_as_use(
    timed: NdbClient, clock: VirtualClock, on: Literal["read", "write", "both"]
) -> None:
    repo = of(User, timed, clock)
    user = await repo.save(User(username="b"), expiry=Expiry(idle=60, on=on))
    for _ in range(3):
        clock.move(59)
        await repo.touch(user.tkn)
        assert await repo.ttl(user.tkn) == 60
    assert await repo.get(user.tkn) == user
    clock.move(60)
    with pytest.raises(SessionGoneError):
        await repo.touch(user.tkn)


@pytest.mark.parametrize("model", [Bounded, Fixed])
async def test_touching_does_not_move_the_absolute_end(
    timed: NdbClient, clock: VirtualClock, model: type[User]
) -> None:
    repo = of(model, timed, clock)
    user = await repo.save(model(username="b"))
    for _ in range(3):
        clock.move(33)
        await repo.touch(user.tkn)
    clock.move(1)
    with pytest.raises(SessionGoneError):
        await repo.touch(user.tkn)


async def test_many_who_find_out_at_once_all_hear_that_it_is_over(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    repo = of(Bounded, timed, clock)
    user = await repo.save(Bounded(username="b"))
    clock.move(59)
    await repo.touch(user.tkn)
    clock.move(41)
    results = await asyncio.gather(*(repo.get(user.tkn) for _ in range(10)), return_exceptions=True)
    assert all(isinstance(result, SessionGoneError) for result in results)
    assert "SH_END" in engine.commands()
    assert await timed.sh_info_all() == NOTHING


async def test_the_time_left_of_a_model_whose_absolute_end_is_past_is_none(
    timed: NdbClient, clock: VirtualClock
) -> None:
    repo = of(User, timed, clock)
    user = await repo.save(User(username="b"), expiry=Expiry(idle=1000, absolute=10))
    clock.move(11)
    with pytest.raises(SessionExpiredError):
        await repo.ttl(user)
