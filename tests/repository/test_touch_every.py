"""`Expiry(touch_every=)`: an idle time that is extended at most so often."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from ndb_models import Expiry, InvalidArgumentError, NdbClient, Repository, SessionGoneError
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Parameters, Prepared
from ndb_models.types import ExpirySettings
from tests.conftest import VirtualClock
from tests.repository.expiring import declared, reserved, timer
from tests.repository.recording import RecordingEngine

IDLE, EVERY = 600, 60
Touched = declared(Expiry(idle=IDLE, touch_every=EVERY))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"absolute": 600, "touch_every": 60}, "half of idle"),
        ({"idle": 600, "touch_every": 301}, "half of idle"),
        ({"idle": 600, "touch_every": 0}, "whole number of seconds"),
        ({"idle": 600, "touch_every": timedelta(seconds=1.5)}, "whole number of seconds"),
        ({"idle": 600, "touch_every": "60"}, "not a str"),
    ],
)
def test_a_time_that_makes_no_sense_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        Expiry(**options)


async def test_a_read_session_is_extended_once_a_minute_and_ends_when_it_should(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    repo = Repository(on_store, Touched, clock=clock)
    tkn = (await repo.save(Touched())).tkn
    for _ in range(50):
        clock.move(30)
        await repo.get(tkn)
        await on_store.kv_set({"a": 1})  # with which a file stores what reads have extended
    assert await repo.ttl(tkn) == IDLE
    clock.move(EVERY - 1)
    await repo.get(tkn)
    assert await repo.ttl(tkn) == IDLE - EVERY + 1
    clock.move(IDLE - EVERY + 1)
    with pytest.raises(SessionGoneError):
        await repo.get(tkn)


@pytest.mark.parametrize("before", [Expiry(idle=IDLE), Expiry(idle=IDLE, touch_every=EVERY // 2), None], ids=repr)
async def test_a_session_from_before_takes_the_longer_time_when_it_is_read(
    on_store: NdbClient, clock: VirtualClock, before: Expiry | None
) -> None:
    old = declared(before)
    tkn = (await Repository(on_store, old, clock=clock).save(old())).tkn
    await Repository(on_store, Touched, clock=clock).get(tkn)
    told = await timer(on_store, tkn)
    assert told is not None
    assert told["touchEvery"] == (await reserved(on_store, tkn))["touch_every"] == EVERY


async def test_a_shorter_time_reaches_a_session_when_it_is_rotated(on_store: NdbClient, clock: VirtualClock) -> None:
    tkn = (await Repository(on_store, Touched, clock=clock).save(Touched())).tkn
    later = declared(Expiry(idle=IDLE))
    repo = Repository(on_store, later, clock=clock)
    session = await repo.get(tkn)
    told = await timer(on_store, tkn)
    assert told is not None
    assert told["touchEvery"] == EVERY
    told = await timer(on_store, (await repo.rotate(session)).tkn)
    assert told is not None
    assert "touchEvery" not in told


async def test_a_session_keeps_one_of_its_own(on_store: NdbClient, clock: VirtualClock) -> None:
    later = declared(Expiry(idle=IDLE))
    repo = Repository(on_store, later, clock=clock)
    session = await repo.expire(await repo.save(later()), Expiry(idle=100, touch_every=50))
    told = await timer(on_store, (await repo.rotate(session)).tkn)
    assert told is not None
    assert (told["duration"], told["touchEvery"]) == (100, 50)


async def test_a_time_that_another_client_set_too_long_does_no_harm(on_store: NdbClient, clock: VirtualClock) -> None:
    never = declared(None)
    repo = Repository(on_store, never, clock=clock)
    session = await repo.save(never())
    expiry = ExpirySettings(100, delete_session=True, extend_on_get=True, touch_every=90)
    assert await on_store.attempt(Prepared(COMMANDS["SH_EXPIRE"], session.tkn, Parameters(expiry=expiry)))
    told = await timer(on_store, (await repo.rotate(session)).tkn)
    assert told is not None
    assert (told["duration"], told["touchEvery"]) == (100, 50)


@pytest.mark.parametrize("of_one_frame", [True, False])
async def test_a_nemesisdb_creates_the_session_without_it(
    engine: RecordingEngine, timed: NdbClient, clock: VirtualClock, of_one_frame: bool
) -> None:
    engine.like_nemesisdb = True
    repo = Repository(timed, Touched, clock=clock)
    session = await repo.save(Touched(note="" if of_one_frame else "x" * 10_000))
    created = [json.loads(frame)["SH_NEW"] for frame in engine.frames if b'{"SH_NEW":{"expiry"' in frame]
    assert [sorted(body["expiry"]) for body in created] == [
        ["deleteSession", "duration", "extendOnGet", "extendOnSetAdd"]
    ]
    clock.move(1)
    assert await repo.get(session.tkn) == session
    assert await repo.ttl(session.tkn) == IDLE
