"""Rotating a session: another token, the same data, and never two sessions where there was one."""

from __future__ import annotations

import asyncio

import pytest

from ndb_models import Expiry, NdbClient, Repository, SessionExpiredError, SessionGoneError
from tests.conftest import VirtualClock
from tests.repository.models import Address, EternalUser, User
from tests.repository.recording import RecordingEngine
from tests.repository.test_absolute_expiry import Bounded
from tests.zoo import Open


async def test_the_new_token_has_the_data_and_the_old_one_is_dead(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b", address=Address(lines=["1"])))
    old = user.tkn
    assert await users.rotate(user) is user
    assert user.tkn != old
    assert await users.get(user.tkn) == User(username="b", address=Address(lines=["1"]))
    assert await users.get_or_none(old) is None
    assert (await client.sh_info_all())["totalSessions"] == 1


async def test_another_copy_of_the_model_holds_a_dead_token(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    other = await users.get(user.tkn)
    await users.rotate(user)
    other.visits = 1
    with pytest.raises(SessionGoneError):
        await users.save(other)
    assert await users.get(user.tkn) == User(username="b")


async def test_what_was_not_saved_stays_unsaved(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    user.username = "unsaved"
    user.visits = -1
    await users.rotate(user)
    assert (user.username, user.visits) == ("unsaved", -1)
    assert await users.get(user.tkn) == User(username="b")
    user.visits = 1
    await users.save(user)
    assert await users.get(user.tkn) == User(username="unsaved", visits=1)


async def test_what_others_wrote_goes_along_and_is_not_written_over(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    await users.update(user.tkn, roles=["theirs"])
    await users.rotate(user)
    user.visits = 1
    await users.save(user)
    assert await users.get(user.tkn) == User(username="b", roles=["theirs"], visits=1)


async def test_keys_that_the_class_does_not_know_go_along(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))
    await client.sh_set({"of a newer version": [1]}, user.tkn)
    await users.rotate(user)
    assert await client.sh_get(["of a newer version"], user.tkn) == {"of a newer version": [1]}
    opened = await Repository(client, Open).save(Open.model_validate({"theme": "dark"}))
    await Repository(client, Open).rotate(opened)
    assert await Repository(client, Open).get(opened.tkn) == Open.model_validate({"theme": "dark"})


async def test_the_absolute_end_stays_and_the_idle_time_starts_anew(timed: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(timed, Bounded, clock=clock)
    user = await repo.save(Bounded(username="b"))
    clock.move(59)
    await repo.rotate(user)
    clock.move(40)
    await repo.rotate(user)
    assert await repo.ttl(user.tkn) == 1
    clock.move(1)
    with pytest.raises(SessionExpiredError):
        await repo.get(user.tkn)
    assert (await timed.sh_info_all())["totalSessions"] == 0


@pytest.mark.parametrize(
    "expiry", [Expiry(idle=10), Expiry(idle=10, on="read"), Expiry(idle=10, on="write"), Expiry(absolute=10)]
)
async def test_an_expiry_of_the_sessions_own_is_kept(timed: NdbClient, clock: VirtualClock, expiry: Expiry) -> None:
    repo = Repository(timed, EternalUser, clock=clock)
    user = await repo.save(EternalUser(username="b"), expiry=expiry)
    before = (await timed.sh_info(user.tkn))["expiry"]
    await repo.rotate(user)
    assert (await timed.sh_info(user.tkn))["expiry"] == before
    clock.move(10)
    assert await repo.exists(user.tkn) is False


async def test_a_session_that_never_ends_never_does_so_after_either(client: NdbClient) -> None:
    repo = Repository(client, EternalUser)
    user = await repo.rotate(await repo.save(EternalUser(username="b")))
    assert (await client.sh_info(user.tkn))["expires"] is False


async def test_of_many_who_rotate_one_session_one_has_it(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))
    models = [await users.get(user.tkn) for _ in range(10)]
    results = await asyncio.gather(*(users.rotate(model) for model in models), return_exceptions=True)
    (winner,) = [result for result in results if isinstance(result, User)]
    assert sum(type(result) is SessionGoneError for result in results) == 9
    assert await users.get(winner.tkn) == User(username="b")
    assert (await client.sh_info_all())["totalSessions"] == 1


@pytest.mark.parametrize("command", ["SH_KEYS", "SH_PEEK", "SH_NEW_SET", "SH_NEW", "SH_SET", "SH_END"])
async def test_raced_by_a_deletion_it_leaves_no_session_behind(
    watched: Repository[User], timed: NdbClient, engine: RecordingEngine, command: str
) -> None:
    user = await watched.save(User(username="b"))
    token = user.tkn
    engine.like_nemesisdb = command in ("SH_NEW", "SH_SET")
    engine.hold(command)
    rotating = asyncio.ensure_future(watched.rotate(user))
    await engine.waiting.wait()
    # By another connection: on its own the held request would have to be answered first.
    await engine.handle(b'{"SH_END":{"tkn":%d}}' % token) if command != "SH_END" else await end(engine, token)
    engine.release()
    with pytest.raises(SessionGoneError):
        await rotating
    assert user.tkn == token
    assert (await timed.sh_info_all())["totalSessions"] == 0


async def end(engine: RecordingEngine, token: int) -> None:
    """End a session while ending is held."""
    engine.release()
    await engine.handle(b'{"SH_END":{"tkn":%d}}' % token)


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("command", ["SH_KEYS", "SH_PEEK", "SH_NEW_SET", "SH_NEW", "SH_SET", "SH_END"])
async def test_cancelled_it_leaves_at_most_the_old_session(
    watched: Repository[User], timed: NdbClient, engine: RecordingEngine, command: str, carried_out: bool
) -> None:
    user = await watched.save(User(username="b"))
    engine.like_nemesisdb = command in ("SH_NEW", "SH_SET")
    engine.hold(command, carried_out=carried_out)
    rotating = asyncio.ensure_future(watched.rotate(user))
    await engine.waiting.wait()
    rotating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rotating
    engine.release()
    left = await watched.get_or_none(user.tkn)
    assert left == (None if command == "SH_END" else User(username="b"))
    # Ending in the background goes on behind this question, and before the next.
    assert (await timed.sh_info_all(), await timed.sh_info_all())[1]["totalSessions"] == (left is not None)


async def test_a_refused_rotation_leaves_the_old_session(
    watched: Repository[User], timed: NdbClient, clock: VirtualClock
) -> None:
    user = await watched.save(User(username="b"))
    clock.move(60)
    with pytest.raises(SessionGoneError):
        await watched.rotate(user)
    assert (await timed.sh_info_all())["totalSessions"] == 0
