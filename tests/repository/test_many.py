"""Many sessions at once: in order, each with its own error, within a bounded window."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ndb_models import (
    Expiry,
    ForeignSessionError,
    InvalidArgumentError,
    NdbClient,
    NdbError,
    Repository,
    SessionGoneError,
    StoredDataError,
    UnstorableError,
    WrongSchemaError,
)
from tests.repository.models import EternalUser, Otp, User
from tests.repository.recording import RecordingEngine


def made(count: int) -> list[User]:
    return [User(username=f"user {number}", visits=number) for number in range(count)]


def tokens(saved: list[User | NdbError]) -> list[int]:
    return [user.tkn for user in saved if isinstance(user, User)]


async def test_what_was_saved_is_read_and_deleted_in_its_order(users: Repository[User], client: NdbClient) -> None:
    models = made(200)
    saved = await users.save_many(models)
    assert all(one is other for one, other in zip(saved, models, strict=True))
    tkns = tokens(saved)
    assert await users.get_many(reversed(tkns)) == models[::-1]
    assert await users.delete_many([*tkns[:100], *tkns[:100]]) == [True] * 100 + [False] * 100
    assert (await client.sh_info_all())["totalSessions"] == 100


async def test_each_has_its_own_error_in_its_place(users: Repository[User], client: NdbClient) -> None:
    user, ended, spoilt = made(3)
    await users.save_many([user, ended, spoilt])
    await users.delete(ended.tkn)
    await client.sh_set({"visits": "canary"}, spoilt.tkn)
    otp = await Repository(client, Otp).save(Otp(code=1))
    foreign = await client.sh_create_session()
    await client.sh_set({"fname": "b"}, foreign.tkn)
    asked = [user.tkn, ended.tkn, spoilt.tkn, otp.tkn, foreign.tkn, -1, user.tkn]
    kinds = [User, SessionGoneError, StoredDataError, WrongSchemaError, ForeignSessionError, InvalidArgumentError, User]
    assert [type(result) for result in await users.get_many(asked)] == kinds
    deleted = await users.delete_many([ended.tkn, otp.tkn, -1, user.tkn])
    assert [result if isinstance(result, bool) else type(result) for result in deleted] == [
        False,
        WrongSchemaError,
        InvalidArgumentError,
        True,
    ]


async def test_saving_many_creates_changes_and_refuses_each_by_itself(users: Repository[User]) -> None:
    new, changed, ended, spoilt = made(4)
    await users.save_many([changed, ended])
    await users.delete(ended.tkn)
    changed.username = "changed"
    spoilt.visits = -1
    kinds = [type(result) for result in await users.save_many([new, changed, ended, spoilt])]
    assert kinds == [User, User, SessionGoneError, UnstorableError]
    assert (await users.get(changed.tkn)).username == "changed"
    assert not spoilt.is_saved


async def test_models_with_a_token_take_no_expiry(users: Repository[User]) -> None:
    (saved,) = await users.save_many(made(1))
    assert isinstance(saved, User)
    results = await users.save_many([saved, *made(1)], expiry=Expiry(idle=5))
    assert [type(result) for result in results] == [InvalidArgumentError, User]


async def test_nothing_is_asked_for_none(watched: Repository[User], engine: RecordingEngine) -> None:
    told: list[int] = []
    assert await watched.get_many([], progress=told.append) == []
    assert await watched.save_many([]) == []
    assert await watched.delete_many(iter(())) == []
    assert (engine.commands(), told) == ([], [0])


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["memory"], indirect=True)
@pytest.mark.parametrize(("count", "expected"), [(1, [1]), (999, [999]), (1000, [1000]), (2500, [1000, 2000, 2500])])
async def test_progress_is_told_now_and_then_and_at_the_end(
    users: Repository[User], count: int, expected: list[int]
) -> None:
    told: list[int] = []
    saved = await users.save_many(made(count), progress=told.append)
    assert told == expected
    told.clear()
    await users.get_many(tokens(saved), progress=told.append)
    assert told == expected
    told.clear()
    await users.delete_many(tokens(saved), progress=told.append)
    assert told == expected


async def test_progress_counts_what_failed_too(users: Repository[User]) -> None:
    told: list[int] = []
    results = await users.get_many(range(1, 6), progress=told.append)
    assert told == [5]
    assert all(isinstance(result, SessionGoneError) for result in results)


@pytest.mark.slow
@pytest.mark.unmeasured
async def test_ten_thousand_sessions_come_and_go(client: NdbClient) -> None:
    users = Repository(client, EternalUser)  # a slow machine takes longer than other sessions live
    models = [EternalUser(username=f"user {number}", visits=number) for number in range(10_000)]
    tkns = [user.tkn for user in await users.save_many(models) if isinstance(user, EternalUser)]
    assert len(set(tkns)) == 10_000
    assert await users.get_many(tkns) == models
    assert await users.delete_many(tkns) == [True] * 10_000
    assert await client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}


async def test_no_more_are_in_flight_than_a_window(watched: Repository[User], engine: RecordingEngine) -> None:
    """Seen by what is taken from the caller, too: the window bounds memory, not only requests."""
    taken = 0

    def given() -> Iterator[User]:
        nonlocal taken
        for user in made(1000):
            taken += 1
            yield user

    engine.hold("SH_NEW_SET")
    saving = asyncio.ensure_future(watched.save_many(given()))
    await engine.waiting.wait()
    assert 1 <= taken <= 64
    engine.release()
    tkns = tokens(await saving)
    assert (taken, len(tkns)) == (1000, 1000)
    await watched.get_many(tkns)
    assert 1 <= engine.most_at_once <= 64


@pytest.mark.parametrize("command", ["SH_NEW_SET", "SH_SET"])
async def test_once_cancelled_none_is_begun_any_more(
    watched: Repository[User], timed: NdbClient, engine: RecordingEngine, command: str
) -> None:
    engine.like_nemesisdb = command == "SH_SET"
    taken = 0

    def given() -> Iterator[User]:
        nonlocal taken
        for user in made(1000):
            taken += 1
            yield user

    engine.hold(command)
    saving = asyncio.ensure_future(watched.save_many(given()))
    await engine.waiting.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    begun = taken
    engine.release()
    # Ending in the background goes on behind this question, and before the next.
    assert (await timed.sh_info_all(), await timed.sh_info_all())[1]["totalSessions"] == 0
    assert taken == begun < 1000


async def test_an_error_that_is_not_ours_ends_the_work(users: Repository[User]) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError("the caller's own")

    with pytest.raises(ExceptionGroup) as caught:
        await users.get_many(broken())
    assert caught.group_contains(RuntimeError, match="the caller's own")


async def test_a_long_work_in_this_process_leaves_others_their_turn() -> None:
    async with NdbClient.connect("memory://") as client:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        waiting = asyncio.ensure_future(others())
        await Repository(client, User).save_many(made(10_000))
        waiting.cancel()
        assert turns >= 2
