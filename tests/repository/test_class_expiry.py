"""A class that allows less than before: sessions that exist are brought under it when they are read, and keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from ndb_models import Expiry, NdbClient, Repository, SessionExpiredError, SessionGoneError
from ndb_models.schema.envelope import RESERVED_KEY
from tests.conftest import VirtualClock
from tests.repository.expiring import READS, Login, declared, reserved, timer
from tests.repository.recording import RecordingEngine
from tests.repository.session_world import EngineClient

HOUR = 3600
Strict = declared(Expiry(idle=60, absolute=600))
OFF = [HOUR, 10 * 365 * 24 * HOUR]
BEFORE = [None, Expiry(idle=HOUR), Expiry(absolute=HOUR), Expiry(idle=HOUR, absolute=9 * HOUR)]


async def saved(client: NdbClient, clock: VirtualClock, before: Expiry | None, **fields: Any) -> int:
    """Return the token of a session that the class of before has saved."""
    model = declared(before)
    return (await Repository(client, model, clock=clock).save(model(**fields))).tkn


async def settings(client: NdbClient, tkn: int) -> dict[str, Any] | None:
    expiry = await timer(client, tkn)
    return None if expiry is None else {name: value for name, value in expiry.items() if name != "remaining"}


USES: dict[str, Callable[[Repository[Any], int], Awaitable[object]]] = {
    **{f"{name}, extending": verb for name, verb in READS.items()},
    **{name: partial(verb, extend=False) for name, verb in READS.items()},
    "touch": lambda repo, tkn: repo.touch(tkn),
    "update": lambda repo, tkn: repo.update(tkn, note="x"),
}


@pytest.mark.parametrize("before", BEFORE, ids=repr)
@pytest.mark.parametrize("use", USES)
async def test_a_session_that_is_used_is_brought_under_its_class(
    on_store: NdbClient, clock: VirtualClock, before: Expiry | None, use: str
) -> None:
    tkn = await saved(on_store, clock, before, note="n")
    clock.move(30)
    strict = Repository(on_store, Strict, clock=clock)
    await USES[use](strict, tkn)
    expected = await settings(on_store, await saved(on_store, clock, Expiry(idle=60, absolute=600)))
    if before != Expiry(absolute=HOUR):  # what use did not extend is not extended from now on
        assert await settings(on_store, tkn) == expected
    left = await timer(on_store, tkn)
    assert left is not None
    assert left["remaining"] <= 60
    assert (await reserved(on_store, tkn))["deadline"] == (clock.now + 600) * 1000
    clock.move(600)
    assert await strict.get_or_none(tkn) is None


@pytest.mark.parametrize("after", [Expiry(idle=60), Expiry(absolute=60), Expiry(idle=60, absolute=60)], ids=repr)
@pytest.mark.parametrize("before", BEFORE, ids=repr)
async def test_whatever_it_was_it_does_not_outlive_what_its_class_allows(
    on_store: NdbClient, clock: VirtualClock, before: Expiry | None, after: Expiry
) -> None:
    tkn = await saved(on_store, clock, before)
    repo = Repository(on_store, declared(after), clock=clock)
    await repo.get(tkn, extend=False)
    clock.move(59)
    assert await repo.exists(tkn, extend=False)
    clock.move(1)
    assert not await repo.exists(tkn)


async def test_what_counted_as_use_and_does_not_any_more_extends_no_more(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    tkn = await saved(on_store, clock, Expiry(idle=60))
    repo = Repository(on_store, declared(Expiry(idle=60, on="write")), clock=clock)
    await repo.get(tkn)
    clock.move(59)
    await repo.get(tkn)
    clock.move(1)
    assert not await repo.exists(tkn)


@pytest.mark.parametrize("before", BEFORE, ids=repr)
async def test_a_class_that_allows_more_changes_nothing_by_a_read(
    on_store: NdbClient, clock: VirtualClock, before: Expiry | None
) -> None:
    tkn = await saved(on_store, clock, before)
    was = await reserved(on_store, tkn), await settings(on_store, tkn)
    for after in (None, Expiry(idle=99 * HOUR), Expiry(idle=99 * HOUR, absolute=99 * HOUR)):
        if before is not None or after is None:
            if after is not None and after.absolute is not None and "deadline" not in was[0]:
                continue
            if after is not None and before == Expiry(absolute=HOUR):
                continue
            await Repository(on_store, declared(after), clock=clock).get(tkn)
            assert (await reserved(on_store, tkn), await settings(on_store, tkn)) == was


async def test_being_brought_under_it_extends_nothing(on_store: NdbClient, clock: VirtualClock) -> None:
    tkn = await saved(on_store, clock, Expiry(idle=100, on="write"))
    clock.move(95)
    await Repository(on_store, declared(Expiry(idle=60, on="write")), clock=clock).get(tkn)
    left = await timer(on_store, tkn)
    assert left is not None
    assert left["remaining"] == 5


async def test_it_is_done_once(timed: NdbClient, engine: RecordingEngine, clock: VirtualClock) -> None:
    tkn = await saved(timed, clock, None)
    for model in (declared(Expiry(idle=60)), Strict):
        repo = Repository(timed, model, clock=clock)
        engine.commands()
        await repo.get(tkn)
        assert engine.commands() == ["SH_GET", "SH_INFO", "SH_EXPIRE"]
        for _ in range(3):
            await repo.get(tkn)
        assert engine.commands() == ["SH_GET"] * 3


async def test_a_new_session_needs_no_second_look(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    for expiry in (*BEFORE, Expiry(idle=60, absolute=30), Expiry(idle=60, on="read")):
        tkn = await saved(timed, clock, expiry)
        engine.commands()
        await Repository(timed, declared(expiry), clock=clock).get(tkn)
        assert engine.commands() == ["SH_GET"]


async def test_a_session_of_an_older_release_is_brought_under_it(on_store: NdbClient, clock: VirtualClock) -> None:
    tkn = await saved(on_store, clock, Expiry(idle=HOUR))
    await on_store.sh_set({RESERVED_KEY: {"schema": "login", "version": 1, "tkn": tkn}}, tkn)
    same = Repository(on_store, declared(Expiry(idle=HOUR)), clock=clock)
    await same.get(tkn)
    assert (await reserved(on_store, tkn))["idle"] == HOUR
    await Repository(on_store, declared(Expiry(idle=60)), clock=clock).get(tkn)
    clock.move(60)
    assert not await same.exists(tkn)


@pytest.mark.parametrize("own", [Expiry(idle=HOUR), Expiry(absolute=HOUR), Expiry(idle=HOUR, absolute=2 * HOUR)])
async def test_a_session_with_an_expiry_of_its_own_keeps_it(
    on_store: NdbClient, clock: VirtualClock, own: Expiry
) -> None:
    first = declared(None)
    session = await Repository(on_store, first, clock=clock).create(first(), expiry=own)
    was = await reserved(on_store, session.tkn), await settings(on_store, session.tkn)
    strict = Repository(on_store, Strict, clock=clock)
    for verb in READS.values():
        await verb(strict, session.tkn)
    assert (await reserved(on_store, session.tkn), await settings(on_store, session.tkn)) == was
    rotated = await strict.rotate(await strict.get(session.tkn))
    assert await settings(on_store, rotated.tkn) == was[1]
    assert {**await reserved(on_store, rotated.tkn), "tkn": session.tkn} == was[0]


async def test_a_model_that_was_read_before_does_not_undo_it(on_store: NdbClient, clock: VirtualClock) -> None:
    lax = Repository(on_store, declared(None), clock=clock)
    tkn = await saved(on_store, clock, None)
    session = await lax.get(tkn)
    strict = Repository(on_store, Strict, clock=clock)
    await strict.get(tkn)
    session.note = "changed"
    await lax.save(session)
    assert (await strict.get(tkn)).note == "changed"
    clock.move(59)
    await lax.get(tkn)
    clock.move(60)
    assert not await lax.exists(tkn)


async def test_a_model_that_was_read_then_knows_its_absolute_end(on_store: NdbClient, clock: VirtualClock) -> None:
    tkn = await saved(on_store, clock, None)
    strict = Repository(on_store, declared(Expiry(absolute=600)), clock=clock)
    session = await strict.get(tkn)
    assert await strict.ttl(session) == 600
    clock.move(601)
    with pytest.raises(SessionGoneError):
        await strict.save(session)


async def test_of_many_who_read_at_once_each_gets_the_session(on_store: NdbClient, clock: VirtualClock) -> None:
    tkn = await saved(on_store, clock, None, note="n")
    strict = Repository(on_store, Strict, clock=clock)
    sessions = await asyncio.gather(*(strict.get(tkn) for _ in range(10)))
    assert {session.note for session in sessions} == {"n"}
    deadline = (await reserved(on_store, tkn))["deadline"]
    assert deadline == (clock.now + 600) * 1000
    clock.move(60)
    assert not await strict.exists(tkn)


@pytest.mark.parametrize("command", ["SH_INFO", "SH_EXPIRE"])
@pytest.mark.parametrize("carried_out", [False, True])
async def test_a_session_that_ends_meanwhile_stays_ended(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock, command: str, carried_out: bool
) -> None:
    tkn = await saved(timed, clock, None, note="n")
    engine.hold(command, carried_out=carried_out)
    reading = asyncio.ensure_future(Repository(timed, Strict, clock=clock).get(tkn))
    await engine.waiting.wait()
    await EngineClient(engine).sh_end(tkn)
    engine.release()
    assert (await reading).note == "n"
    assert await timed.sh_session_exists([tkn]) == []


@pytest.mark.parametrize("command", ["SH_INFO", "SH_EXPIRE"])
async def test_an_upgrade_and_a_write_meanwhile_are_not_lost(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock, command: str
) -> None:
    tkn = await saved(timed, clock, None)
    other = EngineClient(engine)
    later = declared(Expiry(idle=50), version=2)
    engine.hold(command)
    reading = asyncio.ensure_future(Repository(timed, Strict, clock=clock).get(tkn))
    await engine.waiting.wait()
    upgraded = Repository(other, later, clock=clock)
    async with upgraded.edit(tkn) as session:
        session.note = "theirs"
    engine.release()
    await reading
    assert (await upgraded.get(tkn)).note == "theirs"
    said = await reserved(timed, tkn)
    assert (said["version"], said["idle"]) == (2, 50)
    assert (await settings(timed, tkn) or {})["duration"] == 50


async def test_what_another_was_told_meanwhile_is_not_undone(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    tkn = await saved(timed, clock, None)
    other = Repository(EngineClient(engine), declared(None), clock=clock)
    engine.hold("SH_EXPIRE")
    reading = asyncio.ensure_future(Repository(timed, Strict, clock=clock).get(tkn))
    await engine.waiting.wait()
    await other.expire(tkn, Expiry(idle=HOUR))
    engine.release()
    await reading
    assert (await settings(timed, tkn) or {})["duration"] == HOUR
    assert (await reserved(timed, tkn))["own"] is True


async def test_a_read_does_not_wait_long_for_it(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ndb_models.sessions.lifetimes._TIMEOUT", 0.01)
    tkn = await saved(timed, clock, None, note="n")
    engine.hold("SH_EXPIRE")
    assert (await Repository(timed, Strict, clock=clock).get(tkn)).note == "n"
    engine.release()
    # It is in the queue of the same connection, and so done before this is asked.
    assert "deadline" in await reserved(timed, tkn)


# With a new version, and with a new token


@pytest.mark.parametrize("before", BEFORE, ids=repr)
@pytest.mark.parametrize("after", [*BEFORE[1:], Expiry(idle=60, absolute=600), Expiry(idle=5 * HOUR)], ids=repr)
async def test_an_upgrade_takes_the_expiry_of_the_class(
    on_store: NdbClient, clock: VirtualClock, before: Expiry | None, after: Expiry
) -> None:
    tkn = await saved(on_store, clock, before)
    clock.move(10)
    later = declared(after, version=2)
    repo = Repository(on_store, later, clock=clock)
    await repo.save(await repo.get(tkn))
    new = await repo.save(later())
    said = await reserved(on_store, tkn)
    assert said["version"] == 2
    assert await settings(on_store, tkn) == await settings(on_store, new.tkn)
    assert said.get("deadline", 0) <= (await reserved(on_store, new.tkn)).get("deadline", 0)


@pytest.mark.parametrize("before", BEFORE, ids=repr)
@pytest.mark.parametrize("after", [*BEFORE[1:], Expiry(idle=60, absolute=600), Expiry(idle=5 * HOUR)], ids=repr)
async def test_a_rotation_takes_the_expiry_of_the_class(
    on_store: NdbClient, clock: VirtualClock, before: Expiry | None, after: Expiry
) -> None:
    tkn = await saved(on_store, clock, before)
    clock.move(10)
    later = declared(after)
    repo = Repository(on_store, later, clock=clock)
    session = await repo.rotate(await repo.get(tkn))
    new = await repo.save(later())
    assert await settings(on_store, session.tkn) == await settings(on_store, new.tkn)
    assert (await reserved(on_store, session.tkn)).get("deadline", 0) <= (await reserved(on_store, new.tkn)).get(
        "deadline", 0
    )


async def test_rotating_again_and_again_moves_no_absolute_end(on_store: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(on_store, Strict, clock=clock)
    session = await repo.save(Strict())
    end = (await reserved(on_store, session.tkn))["deadline"]
    for _ in range(5):
        clock.move(50)
        await repo.rotate(session)
        assert (await reserved(on_store, session.tkn))["deadline"] == end


async def test_what_a_longer_absolute_end_gives_a_session_counts_from_its_creation(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    tkn = await saved(on_store, clock, Expiry(absolute=600))
    began = clock.now
    clock.move(300)
    repo = Repository(on_store, declared(Expiry(absolute=1000)), clock=clock)
    session = await repo.rotate(await repo.get(tkn))
    assert (await reserved(on_store, session.tkn))["deadline"] == (began + 1000) * 1000


# Where the server is a NemesisDB


async def test_on_a_nemesisdb_an_absolute_end_is_kept_and_an_idle_time_is_not(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    engine.like_nemesisdb = True
    tkn = await saved(timed, clock, Expiry(idle=HOUR), note="n")
    strict = Repository(timed, Strict, clock=clock)
    session = await strict.get(tkn)
    assert session.note == "n"
    assert (await settings(timed, tkn) or {})["duration"] == HOUR
    engine.commands()
    for _ in range(3):
        await strict.get(tkn)
    assert engine.commands() == ["SH_GET"] * 3
    session.note = "changed"
    await strict.save(session)
    clock.move(600)
    with pytest.raises(SessionExpiredError):
        await strict.get(tkn)


async def test_on_a_nemesisdb_an_upgrade_keeps_the_absolute_end_of_the_class(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    engine.like_nemesisdb = True
    tkn = await saved(timed, clock, None)
    repo = Repository(timed, declared(Expiry(idle=60, absolute=600), version=2), clock=clock, rewrite=True)
    await repo.get(tkn)
    clock.move(600)
    with pytest.raises(SessionExpiredError):
        await repo.get(tkn)


# Clocks that are wrong


@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("own", [False, True])
async def test_a_deadline_of_a_clock_that_was_ahead_is_brought_down(
    on_store: NdbClient, clock: VirtualClock, off: int, own: bool
) -> None:
    ahead = VirtualClock()
    ahead.now = clock.now + off
    expiry = Expiry(idle=500, absolute=600)
    model = declared(None if own else expiry)
    session = await Repository(on_store, model, clock=ahead).create(model(), expiry=expiry if own else None)
    repo = Repository(on_store, model, clock=clock)
    session = await repo.get(session.tkn)
    assert (await reserved(on_store, session.tkn))["deadline"] == (clock.now + 600) * 1000
    clock.move(300)
    await repo.get(session.tkn)
    clock.move(300)
    with pytest.raises(SessionExpiredError):
        await repo.get(session.tkn)


@pytest.mark.parametrize("off", OFF)
async def test_a_deadline_of_a_clock_that_was_behind_has_passed(
    on_store: NdbClient, clock: VirtualClock, off: int
) -> None:
    behind = VirtualClock()
    behind.now = clock.now - off
    model = declared(Expiry(idle=500, absolute=600))
    session = await Repository(on_store, model, clock=behind).create(model())
    with pytest.raises(SessionExpiredError):
        await Repository(on_store, model, clock=clock).get(session.tkn)


async def test_clocks_that_differ_by_less_than_a_second_cost_no_write(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    ahead = VirtualClock()
    ahead.now = clock.now + 0.9
    session = await Repository(timed, Strict, clock=ahead).save(Strict())
    engine.commands()
    await Repository(timed, Strict, clock=clock).get(session.tkn)
    assert engine.commands() == ["SH_GET"]


def test_the_class_is_a_schema_of_its_own() -> None:
    assert Strict.session_options.schema == Login.session_options.schema
