"""Editing a session: changed freely, validated as a whole, written on a clean exit and on no other."""

from __future__ import annotations

import asyncio

import pytest

from ndb_models import NdbClient, Repository, SessionGoneError, UnstorableError
from tests.repository.models import Address, User
from tests.repository.recording import RecordingEngine
from tests.repository.test_update import Booking


async def test_what_is_changed_inside_is_stored_nested_values_too(users: Repository[User]) -> None:
    user = await users.save(User(username="b", address=Address(lines=["1"])))
    async with users.edit(user.tkn) as edited:
        assert edited == user
        edited.roles.append("admin")
        edited.address.lines[0] = "2"
        edited.visits += 1
    assert await users.get(user.tkn) == User(username="b", roles=["admin"], address=Address(lines=["2"]), visits=1)
    assert edited.tkn == user.tkn


async def test_an_edit_is_one_read_and_one_write_of_what_changed(
    watched: Repository[User], engine: RecordingEngine
) -> None:
    user = await watched.save(User(username="b"))
    engine.commands()
    async with watched.edit(user.tkn) as edited:
        edited.address.lines.append("1")
    asked = engine.requests()
    assert [name for name, _ in asked] == ["SH_GET", "SH_CHANGE"]
    assert asked[1][1]["keys"] == {"address": {"street": "", "lines": ["1"]}}


async def test_an_edit_that_changes_nothing_writes_nothing_and_counts_as_use(
    watched: Repository[User], engine: RecordingEngine
) -> None:
    user = await watched.save(User(username="b"))
    engine.commands()
    async with watched.edit(user.tkn):
        pass
    assert engine.requests()[1:] == [("SH_ADD", {"tkn": user.tkn, "keys": {}})]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
async def test_an_exception_writes_nothing_and_goes_on(
    watched: Repository[User], engine: RecordingEngine, error: type[BaseException]
) -> None:
    user = await watched.save(User(username="b"))
    engine.commands()

    async def failing() -> None:
        async with watched.edit(user.tkn) as edited:
            edited.username = "c"
            raise error

    # Not within pytest.raises as it is: an interrupt would end the loop.
    caught: BaseException | None = None
    try:
        await failing()
    except BaseException as exc:  # noqa: BLE001 - whichever it is
        caught = exc
    assert type(caught) is error
    assert engine.commands() == ["SH_GET"]
    assert await watched.get(user.tkn) == user


async def test_being_cancelled_inside_writes_nothing(watched: Repository[User], engine: RecordingEngine) -> None:
    user = await watched.save(User(username="b"))
    inside = asyncio.Event()

    async def editing() -> None:
        async with watched.edit(user.tkn) as edited:
            edited.username = "c"
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(editing())
    await inside.wait()
    engine.commands()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.commands() == []
    assert await watched.get(user.tkn) == user


async def test_a_return_from_inside_is_a_clean_exit(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))

    async def visited() -> int:
        async with users.edit(user.tkn) as edited:
            edited.visits += 1
            return edited.visits

    assert await visited() == 1
    assert (await users.get(user.tkn)).visits == 1


async def test_what_does_not_fit_on_exit_is_refused_and_nothing_is_written(
    watched: Repository[User], engine: RecordingEngine
) -> None:
    user = await watched.save(User(username="b"))
    engine.commands()

    async def spoil() -> None:
        async with watched.edit(user.tkn) as edited:
            edited.username = "c"
            edited.visits = -1

    with pytest.raises(UnstorableError, match="visits"):
        await spoil()
    assert engine.commands() == ["SH_GET"]
    assert await watched.get(user.tkn) == user


async def test_what_does_not_fit_as_a_whole_on_exit_is_refused(client: NdbClient) -> None:
    bookings = Repository(client, Booking)
    booking = await bookings.save(Booking())
    with pytest.raises(UnstorableError, match=r"\(model\)"):
        async with bookings.edit(booking.tkn) as edited:
            edited.departure = edited.arrival.replace(year=2000)
    assert await bookings.get(booking.tkn) == Booking()


async def test_two_overlapping_edits_of_different_fields_both_survive(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    both_inside = asyncio.Barrier(2)

    async def promote() -> None:
        async with users.edit(user.tkn) as edited:
            edited.roles.append("admin")
            await both_inside.wait()

    async def move() -> None:
        async with users.edit(user.tkn) as edited:
            edited.address.lines.append("1")
            await both_inside.wait()

    await asyncio.gather(promote(), move())
    assert await users.get(user.tkn) == User(username="b", roles=["admin"], address=Address(lines=["1"]))


async def test_a_session_that_ends_during_an_edit_stays_ended(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))

    async def edit() -> None:
        async with users.edit(user.tkn) as edited:
            edited.visits = 1
            await users.delete(user.tkn)

    with pytest.raises(SessionGoneError):
        await edit()
    assert (await client.sh_info_all())["totalSessions"] == 0


async def test_an_edit_within_an_edit_of_another_field_survives(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    async with users.edit(user.tkn) as outer:
        outer.username = "outer"
        async with users.edit(user.tkn) as inner:
            inner.visits = 1
    assert await users.get(user.tkn) == User(username="outer", visits=1)
