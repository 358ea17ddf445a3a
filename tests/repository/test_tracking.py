"""`track=`, `describe`, `is_fresh` and `require_fresh`: what a session tells of itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ndb_models import (
    Expiry,
    InvalidArgumentError,
    NdbClient,
    NotFreshError,
    Repository,
    SchemaError,
    SessionDescription,
    SessionGoneError,
    SessionModel,
    UnsupportedError,
    format_token,
    parse_token,
)
from ndb_models.client.unattended import UnattendedTask
from tests.conftest import VirtualClock
from tests.repository.expiring import Login, reserved
from tests.repository.recording import RecordingEngine

TRACK = 60
EXPIRY = Expiry(idle=600, absolute=6000)


def declared(track: timedelta | float | None, expiry: Expiry = EXPIRY) -> type[Login]:
    """Return the class as one release or another declares it."""

    class Later(Login, schema="tracked", track=track, expiry=expiry):
        pass

    return Later


Tracked, Untracked = declared(timedelta(seconds=TRACK)), declared(None)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def written() -> None:
    """Wait for what clients write in the background. A connection's keepalive goes on."""
    tasks = [task for task in asyncio.all_tasks() if isinstance(task, UnattendedTask) and not keeps_alive(task)]
    if tasks:
        _, unwritten = await asyncio.wait(tasks, timeout=60)
        assert not unwritten


def keeps_alive(task: UnattendedTask[Any]) -> bool:
    return getattr(task.get_coro(), "__name__", "") == "keepalive"


@pytest.fixture
def repo(on_store: NdbClient, clock: VirtualClock) -> Repository[Login]:
    return Repository(on_store, Tracked, clock=clock)


async def test_a_new_session_is_described(repo: Repository[Login], clock: VirtualClock) -> None:
    session = await repo.save(Tracked())
    clock.move(10)
    told = await repo.describe(session)
    assert told == SessionDescription(
        schema="tracked",
        version=1,
        created=at(1000),
        used=at(1000),
        authenticated=at(1000),
        remaining=590,
        expires=at(1600),
        deadline=at(7000),
        public_id=told.public_id,
        is_current=False,
    )
    assert await repo.describe(session.tkn, current=session) == await repo.describe(session, current=session.tkn)
    assert (await repo.describe(session, current=session)).is_current


async def test_a_public_id_is_its_own_and_opens_nothing(repo: Repository[Login]) -> None:
    sessions = [await repo.save(Tracked()) for _ in range(20)]
    told = [await repo.describe(session) for session in sessions]
    ids = {each.public_id for each in told}
    assert len(ids) == 20
    for session, each in zip(sessions, told, strict=True):
        assert each.public_id is not None
        assert len(each.public_id) == 22
        assert parse_token(each.public_id) is None
        assert str(session.tkn) not in repr(each)
        assert format_token(session.tkn) not in repr(each)


async def test_the_last_read_is_recorded_at_most_once_in_the_time(
    repo: Repository[Login], on_store: NdbClient, clock: VirtualClock
) -> None:
    tkn = (await repo.save(Tracked())).tkn
    recorded = []
    for _ in range(13):
        clock.move(TRACK / 3)
        await asyncio.gather(*(repo.get(tkn) for _ in range(5)))
        await written()
        recorded.append((await reserved(on_store, tkn))["used"] / 1000 - 1000)
    assert sorted(set(recorded)) == [0, 60, 120, 180, 240]


@pytest.mark.parametrize("expiry", [EXPIRY, Expiry(idle=600, on="write")], ids=repr)
async def test_a_session_that_is_found_or_authenticated_is_used(
    on_store: NdbClient, clock: VirtualClock, expiry: Expiry
) -> None:
    model = declared(TRACK, expiry)
    repo = Repository(on_store, model, clock=clock)
    session = await repo.save(model(user="ada"))
    credential = await repo.issue(session)
    clock.move(TRACK)
    await repo.find(user="ada", extend=False)
    await written()
    assert (await repo.describe(session)).used == at(1000)
    await repo.find(user="ada")
    await written()
    assert (await repo.describe(session)).used == at(1060)
    clock.move(TRACK)
    assert await repo.authenticate(str(credential)) == session
    await written()
    assert (await repo.describe(session)).used == at(1120)


async def test_a_credential_is_renewed_at_a_login_or_without_one(repo: Repository[Login], clock: VirtualClock) -> None:
    session = await repo.save(Tracked())
    clock.move(100)
    await repo.renew(session)
    assert not await repo.is_fresh(session, 60)
    credential = await repo.renew(session, login=True)
    assert await repo.is_fresh(session, 60)
    told = await repo.describe(session)
    assert (told.created, told.authenticated) == (at(1000), at(1100))
    clock.move(TRACK)
    assert await repo.authenticate(str(credential)) == session
    await written()
    assert await repo.authenticate(str(credential)) == session


@pytest.mark.parametrize("use", ["get", "exists", "touch", "update"])
async def test_a_use_is_recorded_and_a_look_is_not(
    repo: Repository[Login], on_store: NdbClient, clock: VirtualClock, use: str
) -> None:
    tkn = (await repo.save(Tracked())).tkn
    clock.move(TRACK)
    await repo.get(tkn, extend=False)
    await repo.describe(tkn)
    await written()
    assert (await repo.describe(tkn)).used == at(1000)
    await (repo.update(tkn, note="x") if use == "update" else getattr(repo, use)(tkn))
    await written()
    assert (await repo.describe(tkn)).used == at(1060)


async def test_recording_extends_nothing_and_describing_neither(on_store: NdbClient, clock: VirtualClock) -> None:
    written_by = declared(TRACK, Expiry(idle=600, on="write"))
    repo = Repository(on_store, written_by, clock=clock)
    tkn = (await repo.save(written_by())).tkn
    clock.move(599)
    await repo.get(tkn)
    await written()
    told = await repo.describe(tkn)
    assert (told.used, told.remaining, told.deadline) == (at(1599), 1, None)
    clock.move(1)
    with pytest.raises(SessionGoneError):
        await repo.describe(tkn)


async def test_a_clock_that_was_ahead_does_not_stop_the_recording(
    repo: Repository[Login], on_store: NdbClient, clock: VirtualClock
) -> None:
    clock.move(100)
    tkn = (await repo.save(Tracked())).tkn
    clock.move(-50)
    await repo.get(tkn)
    await written()
    assert (await repo.describe(tkn)).used == at(1050)


async def test_a_session_from_before_is_tracked_from_its_next_use(
    repo: Repository[Login], on_store: NdbClient, clock: VirtualClock
) -> None:
    session = await Repository(on_store, Untracked, clock=clock).save(Untracked())
    before = await repo.describe(session.tkn)
    assert (before.created, before.used, before.authenticated, before.public_id) == (None, None, None, None)
    assert not await repo.is_fresh(session.tkn, timedelta(days=1000))
    clock.move(5)
    await repo.get(session.tkn)
    await written()
    after = await repo.describe(session.tkn)
    assert (after.created, after.used, after.authenticated) == (None, at(1005), None)
    assert after.public_id is not None
    clock.move(TRACK)
    await repo.get(session.tkn)
    await written()
    assert (await repo.describe(session.tkn)).public_id == after.public_id
    assert (await Repository(on_store, Untracked, clock=clock).get(session.tkn)).note == ""


async def test_a_class_that_does_not_track_writes_what_releases_before_wrote(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    repo = Repository(on_store, Untracked, clock=clock)
    tkn = (await repo.save(Untracked())).tkn
    assert set(await reserved(on_store, tkn)) == {"schema", "version", "by", "idle", "absolute", "tkn", "deadline"}
    with pytest.raises(InvalidArgumentError, match="track="):
        await repo.is_fresh(tkn, 60)


async def test_a_rotation_keeps_the_creation_and_the_public_id_and_counts_as_a_login(
    repo: Repository[Login], clock: VirtualClock
) -> None:
    session = await repo.save(Tracked())
    before = await repo.describe(session)
    clock.move(100)
    assert not await repo.is_fresh(session, 99)
    assert await repo.is_fresh(session.tkn, timedelta(seconds=100))
    with pytest.raises(NotFreshError, match="log in again"):
        await repo.require_fresh(session, 99)
    await repo.rotate(session)
    await repo.require_fresh(session, 1)
    after = await repo.describe(session)
    assert (after.created, after.public_id) == (before.created, before.public_id)
    assert (after.used, after.authenticated) == (at(1100), at(1100))


async def test_another_expiry_is_no_login(repo: Repository[Login], clock: VirtualClock) -> None:
    session = await repo.save(Tracked())
    before = await repo.describe(session)
    clock.move(100)
    await repo.expire(session, Expiry(idle=50))
    told = await repo.describe(session)
    assert (told.authenticated, told.public_id, told.remaining) == (before.authenticated, before.public_id, 50)


@pytest.mark.parametrize("within", [0, -1, 1.5, "60", None, timedelta(0)])
async def test_a_wrong_time_is_refused(repo: Repository[Login], within: Any) -> None:
    session = await repo.save(Tracked())
    with pytest.raises(InvalidArgumentError, match="within="):
        await repo.is_fresh(session, within)


@pytest.mark.parametrize("track", [0, 1.5, "60", timedelta(milliseconds=1)])
def test_a_wrong_time_to_track_is_refused_at_the_definition(track: Any) -> None:
    with pytest.raises(SchemaError, match="track="):

        class Wrong(SessionModel, track=track):
            pass


def test_a_subclass_inherits_it() -> None:
    class Later(SessionModel, schema="tracked-later", track=TRACK):
        pass

    class Same(Later):
        pass

    class Off(Later, track=None):
        pass

    assert (Same.session_options.track, Off.session_options.track) == (TRACK, None)


async def test_a_store_that_cannot_be_written_fails_no_read_and_is_left_alone_for_a_while(
    engine: RecordingEngine, timed: NdbClient, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repository(timed, Tracked, clock=clock)
    tkn = (await repo.save(Tracked())).tkn
    asked = 0

    async def fail(*_: object) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        raise UnsupportedError("x", "y")

    monkeypatch.setattr(timed, "sh_info", fail)
    clock.move(TRACK)
    for _ in range(10):
        await repo.get(tkn)
        await written()
    assert asked == 1
    monkeypatch.undo()
    clock.move(TRACK)
    await repo.get(tkn)
    await written()
    assert (await repo.describe(tkn)).used == at(1120)


async def test_a_nemesisdb_records_the_login_and_describes_nothing(
    engine: RecordingEngine, timed: NdbClient, clock: VirtualClock
) -> None:
    engine.like_nemesisdb = True
    repo = Repository(timed, Tracked, clock=clock)
    session = await repo.save(Tracked())
    clock.move(100)
    assert (await repo.get(session.tkn)).tkn == session.tkn
    assert not await repo.is_fresh(session, 60)
    await repo.rotate(session)
    assert await repo.is_fresh(session, 60)
    with pytest.raises(UnsupportedError, match=r"describe\(\)"):
        await repo.describe(session)


async def test_a_use_of_a_session_from_before_tracking_changes_nothing_else_in_its_reserved_key(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    tracked, untracked = declared(TRACK, Expiry(idle=600)), declared(None, Expiry(idle=600))
    tkn = (await Repository(on_store, untracked, clock=clock).save(untracked(user="ada"))).tkn
    before = await reserved(on_store, tkn)
    repo = Repository(on_store, tracked, clock=clock)
    assert (await repo.get(tkn)).user == "ada"
    await written()
    after = await reserved(on_store, tkn)
    assert after.pop("used") == 1_000_000
    assert len(after.pop("public_id")) == 22
    assert after == before
    assert (await repo.get(tkn)).user == "ada"
