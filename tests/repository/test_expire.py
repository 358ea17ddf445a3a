"""Giving a session another expiry: in place where the server can, by a copy where it is a NemesisDB."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from ndb_models import (
    Expiry,
    InvalidArgumentError,
    NdbClient,
    NotSavedError,
    Repository,
    SessionExpiredError,
    SessionGoneError,
    SessionModel,
    WrongSchemaError,
)
from ndb_models.client.sessions import LONGEST_DURATION
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.repository.expiring import declared, reserved, timer
from tests.repository.models import Otp, User
from tests.repository.recording import RecordingEngine

HOUR = 3600
GIVEN = [
    None,
    Expiry(idle=HOUR),
    Expiry(idle=HOUR, on="read"),
    Expiry(idle=HOUR, on="write"),
    Expiry(absolute=HOUR),
    Expiry(idle=HOUR, absolute=2 * HOUR),
    Expiry(idle=1),
]


@pytest.mark.parametrize("by_token", [False, True])
@pytest.mark.parametrize("expiry", GIVEN, ids=repr)
async def test_a_session_expires_as_it_is_told_from_now_on(
    on_store: NdbClient, clock: VirtualClock, expiry: Expiry | None, by_token: bool
) -> None:
    repo = Repository(on_store, User, clock=clock)
    user = await repo.save(User(username="b"))
    clock.move(50)
    changed = await repo.expire(user.tkn if by_token else user, expiry)
    assert changed == user
    assert (changed is user) is not by_token
    assert changed.tkn == user.tkn
    assert await repo.ttl(changed) == await repo.ttl(user.tkn) == (expiry and expiry.duration)
    new = await repo.create(User(username="b"), expiry=expiry)
    if expiry is not None:
        assert await timer(on_store, user.tkn) == await timer(on_store, new.tkn)
        assert {**await reserved(on_store, new.tkn), "tkn": user.tkn} == await reserved(on_store, user.tkn)
    else:
        clock.move(10**9)
        assert await repo.exists(user.tkn)


async def test_it_is_the_sessions_own_whatever_its_class_says(on_store: NdbClient, clock: VirtualClock) -> None:
    lax = declared(None)
    session = await Repository(on_store, lax, clock=clock).save(lax())
    await Repository(on_store, lax, clock=clock).expire(session, Expiry(idle=HOUR))
    later = declared(Expiry(idle=60), version=2)
    repo = Repository(on_store, later, clock=clock, rewrite=True)
    upgraded = await repo.rotate(await repo.get(session.tkn))
    assert await repo.ttl(upgraded) == HOUR
    eternal = await repo.rotate(await repo.expire(upgraded, None))
    clock.move(10**9)
    assert await repo.ttl(eternal) is None


async def test_what_was_not_saved_stays_unsaved(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    user.visits = 5
    await users.expire(user, Expiry(idle=10))
    assert user.visits == 5
    assert (await users.get(user.tkn)).visits == 0
    await users.save(user)
    assert (await users.get(user.tkn)).visits == 5


async def test_an_absolute_end_is_known_to_the_model(on_store: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(on_store, User, clock=clock)
    user = await repo.expire(await repo.save(User(username="b")), Expiry(idle=60, absolute=90))
    for _ in range(2):
        clock.move(45)
        if clock.now < 1090:
            await repo.get(user.tkn)
    with pytest.raises(SessionExpiredError):
        await repo.save(user)


async def test_what_is_no_session_of_the_class_is_refused(users: Repository[User], client: NdbClient) -> None:
    otp = await Repository(client, Otp).save(Otp(code=1))
    with pytest.raises(WrongSchemaError):
        await users.expire(otp.tkn, None)
    with pytest.raises(SessionGoneError):
        await users.expire(5, Expiry(idle=9))
    with pytest.raises(NotSavedError):
        await users.expire(User(username="b"), Expiry(idle=9))
    user = await users.save(User(username="b"))
    given: Any = 60
    with pytest.raises(InvalidArgumentError, match="an Expiry, not a int"):
        await users.expire(user, given)
    await users.delete(user.tkn)
    for gone in (user, user.tkn):
        with pytest.raises(SessionGoneError):
            await users.expire(gone, Expiry(idle=9))


async def test_a_foreign_session_can_have_one_time(client: NdbClient, clock: VirtualClock) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"username": "b"}, tkn)
    repo = Repository(client, User, foreign=True)
    with pytest.raises(InvalidArgumentError, match="not both"):
        await repo.expire(tkn, Expiry(idle=9, absolute=10))
    await repo.expire(tkn, Expiry(idle=90))
    assert (await timer(client, tkn) or {})["duration"] == 90


async def test_many_who_change_it_at_once_leave_what_one_of_them_said(on_store: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(on_store, User, clock=clock)
    user = await repo.save(User(username="b"))
    durations = range(100, 106)
    await asyncio.gather(*(repo.expire(user.tkn, Expiry(idle=seconds)) for seconds in durations))
    assert (await reserved(on_store, user.tkn))["idle"] == await repo.ttl(user.tkn)


@pytest.mark.parametrize("by_token", [False, True])
@pytest.mark.parametrize("expiry", GIVEN, ids=repr)
async def test_on_a_nemesisdb_it_is_a_copy_under_a_new_token(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock, expiry: Expiry | None, by_token: bool
) -> None:
    engine.like_nemesisdb = True
    lookups = declared(Expiry(idle=60))
    repo = Repository(timed, lookups, clock=clock)
    session = await repo.save(lookups(note="n"))
    old = session.tkn
    changed = await repo.expire(old if by_token else session, expiry)
    assert changed.tkn != old
    assert await repo.get_or_none(old) is None
    assert await repo.get(changed.tkn) == changed
    assert await repo.ttl(changed) == (expiry and expiry.duration)
    assert await repo.find(user="billy") == [changed]


# How long is left, and how long there can be


class LateEngine(Engine):
    """Tells a negative rest of a session whose time has come, as a NemesisDB does until it looks again."""

    def begin(self, frame: bytes, admin: bool = True, *others: Any) -> bytes | Coroutine[Any, Any, bytes]:
        answer = super().begin(frame, admin, *others)
        return answer.replace(b'"remaining":60', b'"remaining":-3') if isinstance(answer, bytes) else self._late(answer)

    async def _late(self, answer: Coroutine[Any, Any, bytes]) -> bytes:
        return (await answer).replace(b'"remaining":60', b'"remaining":-3')


async def test_a_session_that_has_expired_and_was_not_swept_has_expired(clock: VirtualClock) -> None:
    server = NdbServer(LateEngine(MemoryStore(clock=clock)), ServerOptions(port=0))
    async with server, NdbClient.connect(server.uri) as client:
        repo = Repository(client, User, clock=clock)
        user = await repo.save(User(username="b"))
        for session in (user, user.tkn):
            with pytest.raises(SessionExpiredError):
                await repo.ttl(session)


@pytest.mark.parametrize("expiry", [Expiry(absolute=60), Expiry(idle=60, absolute=120)])
async def test_a_session_that_ends_while_its_time_is_asked_for_has_none_left(
    client: NdbClient, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, expiry: Expiry
) -> None:
    repo = Repository(client, User, clock=clock)
    user = await repo.create(User(username="b"), expiry=expiry)
    asked = client.sh_info

    async def slowly(tkn: int) -> Any:
        clock.move(1000)
        return await asked(tkn)

    monkeypatch.setattr(client, "sh_info", slowly)
    assert await repo.ttl(user) == 0


LONGEST = [Expiry(idle=timedelta.max), Expiry(absolute=timedelta.max), Expiry(idle=10**10, absolute=timedelta.max)]


@pytest.mark.parametrize("expiry", LONGEST, ids=repr)
async def test_the_longest_times_are_kept_by_our_engines(client: NdbClient, expiry: Expiry) -> None:
    repo = Repository(client, User)
    created = await repo.create(User(username="b"), expiry=expiry)
    expired = await repo.expire(await repo.save(User(username="b")), expiry)
    for user in (created, expired):
        assert await repo.get(user.tkn) == user
        assert (await timer(client, user.tkn) or {})["duration"] == expiry.duration
        left = await repo.ttl(user)
        assert left is not None
        assert expiry.duration - 5 <= left <= expiry.duration
        await repo.rotate(user)
        assert (await timer(client, user.tkn) or {})["duration"] == expiry.duration


@pytest.mark.parametrize("expiry", LONGEST, ids=repr)
async def test_a_nemesisdb_is_told_a_hundred_years(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock, expiry: Expiry
) -> None:
    engine.like_nemesisdb = True
    repo = Repository(timed, User, clock=clock)
    user = await repo.create(User(username="b"), expiry=expiry)
    assert (await timer(timed, user.tkn) or {})["duration"] == LONGEST_DURATION
    assert await repo.get(user.tkn) == user
    assert await repo.ttl(user) == LONGEST_DURATION


@pytest.mark.parametrize("verb", ["save", "ttl", "expire"])
async def test_a_model_from_before_does_not_end_a_session_that_was_given_a_longer_life(
    client: NdbClient, verb: str
) -> None:
    class Short(SessionModel, expiry=Expiry(absolute=10), schema="expire-short"):
        visits: int = 0

    now = 1000.0
    repo = Repository(client, Short, clock=lambda: now)
    held = await repo.save(Short())
    await repo.expire(held.tkn, Expiry(absolute=100))
    now = 1020.0
    held.visits = 1
    if verb == "save":
        await repo.save(held)
    elif verb == "ttl":
        assert await repo.ttl(held) is not None
    else:
        await repo.expire(held, Expiry(absolute=200))
    assert await repo.exists(held.tkn)
