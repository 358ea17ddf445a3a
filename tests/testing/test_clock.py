"""A clock moves every timer of the process: those of stores, of what repositories write, and of watches."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest

from ndb_models import (
    ConfigRepository,
    Expiry,
    InvalidArgumentError,
    Lookup,
    NdbClient,
    Repository,
    SessionModel,
    clocks,
)
from ndb_models.sync import SyncClient, SyncRepository
from ndb_models.testing import MovableClock

YEAR = timedelta(days=365)
HALF_AN_HOUR = timedelta(minutes=30)
A_MOMENT = timedelta(milliseconds=1)


class Idle(SessionModel, schema="moved-idle", expiry=Expiry(idle=HALF_AN_HOUR, on="write"), track=60):
    user: str = "billy"


class Read(SessionModel, schema="moved-read", expiry=Expiry(idle=HALF_AN_HOUR)):
    user: str = "billy"


class Bounded(SessionModel, schema="moved-bounded", expiry=Expiry(idle=YEAR, absolute=YEAR)):
    email: Annotated[str, Lookup(unique=True)] = "b@example.org"


class Settings(Bounded, schema="moved-settings"):
    pass


# As an application makes them: when it is imported, before there is a clock or a loop.
app_client = NdbClient("memory://")
app_sessions = Repository(app_client, Idle)


@pytest.mark.parametrize(("model", "lasts"), [(Idle, HALF_AN_HOUR), (Bounded, YEAR)])
async def test_a_session_ends_when_its_time_has_come_and_not_a_moment_before(
    there: NdbClient, time: MovableClock, model: type[Any], lasts: timedelta
) -> None:
    sessions: Repository[Any] = Repository(there, model)
    session = await sessions.save(model())
    time.advance(lasts - A_MOMENT)
    assert await sessions.get(session.tkn, extend=False) == session
    time.advance(A_MOMENT)
    assert await sessions.get_or_none(session.tkn) is None


async def test_a_use_restarts_the_idle_time_and_not_the_absolute_one(there: NdbClient, time: MovableClock) -> None:
    sessions = Repository(there, Bounded)
    session = await sessions.save(Bounded())
    for _ in range(9):
        time.advance(YEAR / 10)
        await sessions.get(session.tkn)
    time.advance(YEAR / 10)
    assert await sessions.get_or_none(session.tkn) is None


async def test_reads_keep_a_session_alive_however_far_the_clock_moves_between_them(
    there: NdbClient, time: MovableClock
) -> None:
    sessions = Repository(there, Read)
    session = await sessions.save(Read())
    time.advance(HALF_AN_HOUR - A_MOMENT)
    for _ in range(5):
        await sessions.get(session.tkn)
        time.advance(A_MOMENT)
        await sessions.get(session.tkn)
        time.advance(HALF_AN_HOUR - A_MOMENT)
    assert (await sessions.update(session.tkn, user="sally")).user == "sally"
    time.advance(HALF_AN_HOUR)
    assert await sessions.get_or_none(session.tkn) is None


@pytest.mark.parametrize("there", ["memory", "sqlite"], indirect=True)  # a server extends a moment later
async def test_credentials_keep_a_session_alive_however_soon_the_clock_moves(
    there: NdbClient, time: MovableClock
) -> None:
    sessions = Repository(there, Read)
    credential = str(await sessions.issue(await sessions.save(Read())))
    for _ in range(5):
        time.advance(HALF_AN_HOUR - A_MOMENT)
        assert await sessions.authenticate(credential) is not None
    time.advance(HALF_AN_HOUR)
    assert await sessions.authenticate(credential) is None


@pytest.mark.parametrize("uptime", [6_875, 7_000, 7_384, 2**20])
async def test_a_session_ends_in_time_however_long_the_machine_has_run(
    monkeypatch: pytest.MonkeyPatch, uptime: int
) -> None:
    monkeypatch.setattr("time.monotonic_ns", lambda: uptime * 1_000_000_000)
    with MovableClock() as time:
        async with NdbClient.connect("memory://") as client:
            sessions = Repository(client, Read)
            for _ in range(5):  # to a time just below a power of two, where floats become coarser
                time.advance(HALF_AN_HOUR - A_MOMENT)
            session = await sessions.save(Read())
            time.advance(HALF_AN_HOUR)
            assert await sessions.get_or_none(session.tkn) is None


async def test_debug_logging_does_not_put_a_use_off(time: MovableClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ndb_models")
    async with NdbClient.connect("memory://") as client:
        sessions = Repository(client, Read)
        credential = str(await sessions.issue(await sessions.save(Read())))
        time.advance(HALF_AN_HOUR - A_MOMENT)
        assert await sessions.authenticate(credential) is not None
        time.advance(HALF_AN_HOUR)
        assert await sessions.authenticate(credential) is None


async def test_credentials_keep_a_session_in_a_file_alive_in_the_loop_of_the_test(
    tmp_path: Path, time: MovableClock
) -> None:
    async with NdbClient.connect(f"sqlite:///{tmp_path}/sessions.db") as client:
        sessions = Repository(client, Read)
        credential = str(await sessions.issue(await sessions.save(Read())))
        for _ in range(5):
            time.advance(HALF_AN_HOUR - A_MOMENT)
            assert await sessions.authenticate(credential) is not None


async def test_an_application_that_was_imported_before_the_clock_is_moved_too(time: MovableClock) -> None:
    session = await app_sessions.save(Idle())
    time.advance(HALF_AN_HOUR)
    assert await app_sessions.get_or_none(session.tkn) is None
    await app_client.close()


@pytest.mark.parametrize(("model", "lasts"), [(Idle, HALF_AN_HOUR), (Bounded, YEAR)])
def test_a_synchronous_repository_is_moved_too(time: MovableClock, model: type[Any], lasts: timedelta) -> None:
    with SyncClient("memory://") as client:
        sessions: SyncRepository[Any] = SyncRepository(client, model)
        session = sessions.save(model())
        time.advance(lasts - A_MOMENT)
        assert sessions.get(session.tkn, extend=False) == session
        time.advance(A_MOMENT)
        assert sessions.get_or_none(session.tkn) is None


async def test_what_repositories_write_has_the_time_of_the_clock(there: NdbClient, time: MovableClock) -> None:
    sessions = Repository(there, Idle)
    time.advance(YEAR)
    session = await sessions.save(Idle())
    time.advance(60)
    description = await sessions.describe(session)
    assert description.created == time.now() - timedelta(seconds=60)
    assert description.remaining == HALF_AN_HOUR.total_seconds() - 60
    assert description.expires == time.now() + HALF_AN_HOUR - timedelta(seconds=60)
    assert abs(time.now() - datetime.now(UTC) - YEAR) < timedelta(hours=1)


async def test_the_grace_of_an_old_credential_ends_by_the_clock(there: NdbClient, time: MovableClock) -> None:
    sessions = Repository(there, Idle)
    session = await sessions.save(Idle())
    old = str(await sessions.issue(session))
    await sessions.renew(session, grace=10)
    time.advance(9)
    assert await sessions.authenticate(old) is not None
    time.advance(1)
    assert await sessions.authenticate(old) is None


async def test_a_unique_value_is_free_again_once_its_session_has_ended(there: NdbClient, time: MovableClock) -> None:
    sessions = Repository(there, Bounded)
    await sessions.save(Bounded())
    time.advance(YEAR)
    await sessions.save(Bounded())


async def test_a_watch_looks_again_once_the_clock_has_moved(there: NdbClient, time: MovableClock) -> None:
    config = ConfigRepository(there, Settings)
    watch = config.watch(Settings(), interval=3600)
    await config.update(email="first@example.org")
    assert (await anext(watch)).fields == ("email",)
    second = asyncio.create_task(anext(watch))
    await config.update(email="second@example.org")
    await turns()
    assert not second.done()
    time.advance(3599)
    await turns()
    assert not second.done()
    time.advance(1)
    assert (await second).new.email == "second@example.org"


async def turns() -> None:
    """Let other tasks and threads go on."""
    for _ in range(10):
        await asyncio.sleep(0.001)


async def test_the_end_of_a_watched_session_is_told_once_the_clock_has_moved(
    there: NdbClient, time: MovableClock
) -> None:
    sessions = Repository(there, Idle)
    session = await sessions.save(Idle())
    ending = asyncio.create_task(sessions.ended(session, poll=60))
    await turns()
    time.advance(HALF_AN_HOUR - A_MOMENT)
    await turns()
    assert not ending.done()
    time.advance(60)
    assert (await ending).reason == "idle"


def test_the_end_of_a_session_is_told_to_a_thread_that_waits_for_it(time: MovableClock) -> None:
    with SyncClient("memory://") as client:
        sessions = SyncRepository(client, Idle)
        session = sessions.save(Idle())
        with ThreadPoolExecutor(1) as threads:
            ending = threads.submit(sessions.ended, session, poll=60)
            while not ending.done():  # it may not wait yet when the clock is moved
                time.advance(HALF_AN_HOUR)
                wait([ending], 0.01)
            assert ending.result().reason in ("idle", "unknown")  # unknown: it began to wait too late


async def test_what_sleeps_at_the_end_of_the_clock_goes_on(there: NdbClient) -> None:
    config = ConfigRepository(there, Settings)
    with MovableClock():
        watch = config.watch(Settings(), interval=3600)
        await config.update(email="first@example.org")
        await anext(watch)
        step = asyncio.create_task(anext(watch))
        await config.update(email="second@example.org")
        await turns()
    assert (await step).new.email == "second@example.org"


def test_a_thread_that_waits_goes_on_once_the_clock_has_moved(time: MovableClock) -> None:
    woken: list[float] = []

    def wait(seconds: float) -> None:
        clocks.block(seconds)
        woken.append(seconds)

    waiting = [threading.Thread(target=wait, args=(seconds,), daemon=True) for seconds in (0, 60, 3600)]
    for thread in waiting:
        thread.start()
    waiting[0].join(60)
    assert woken == [0]
    for thread, by in zip(waiting[1:], (60, 3540), strict=True):
        while thread.is_alive() and len(woken) < 3:  # it may not wait yet when the clock is moved
            time.advance(by)
            thread.join(0.01)
    assert woken == [0, 60, 3600]


async def test_a_cancelled_sleep_is_forgotten(there: NdbClient, time: MovableClock) -> None:
    watch = ConfigRepository(there, Settings).watch(interval=3600)
    step = asyncio.create_task(anext(watch))
    await turns()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    time.advance(7200)
    await turns()


async def test_after_the_block_the_real_time_counts_again(there: NdbClient) -> None:
    sessions = Repository(there, Idle)
    with MovableClock() as clock:
        clock.advance(YEAR)
        session = await sessions.save(Idle())
        in_a_year = (await sessions.describe(session)).created
    now = (await sessions.describe(await sessions.save(Idle()))).created
    assert in_a_year is not None
    assert now is not None
    assert abs(in_a_year - now - YEAR) < timedelta(hours=1)


def test_the_clock_stands_still_by_itself_and_may_be_moved_from_any_thread(time: MovableClock) -> None:
    before = time.now()
    threading.Event().wait(0.002)
    assert time.now() == before
    moving = threading.Thread(target=time.advance, args=(0.5,))
    moving.start()
    moving.join()
    assert time.now() == before + timedelta(seconds=0.5)
    assert time() == time.now().timestamp()


def test_many_small_steps_make_exactly_the_sum(time: MovableClock) -> None:
    before = time()
    for _ in range(1_800):
        time.advance(0.1)
    assert time() == before + 180


@pytest.mark.parametrize(
    "by", [-1, timedelta(days=-1), float("nan"), float("inf"), 10**400, 1e300, timedelta.max, True, "60", None]
)
def test_what_is_no_time_to_advance_by_is_refused_and_moves_nothing(time: MovableClock, by: Any) -> None:
    before = time.now()
    with pytest.raises(InvalidArgumentError, match=r"advanced by a timedelta|year 9999"):
        time.advance(by)
    assert time.now() == before


def test_only_one_clock_moves_a_process(time: MovableClock) -> None:
    with pytest.raises(InvalidArgumentError, match="another clock"), MovableClock():
        pytest.fail("two clocks")
    time.advance(1)


def test_a_clock_that_is_not_in_use_is_not_advanced() -> None:
    with MovableClock() as clock:
        clock.advance(1)
    with pytest.raises(InvalidArgumentError, match="with MovableClock"):
        clock.advance(1)
