"""Ending all sessions of somebody: logging out everywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ndb_models import InvalidArgumentError, NdbClient, NotSavedError, Repository, SessionGoneError
from tests.lookup.models import Login, Visit
from tests.lookup.truth import Scene
from tests.lookup.turns import MortalTransport, SteppedTransport, TransportClient


async def test_all_sessions_of_a_user_end_but_the_one_at_hand(logins: Repository[Login], client: NdbClient) -> None:
    current, *others = [await logins.save(Login(user_id=7)) for _ in range(3)]
    other = await logins.save(Login(user_id=8))
    assert await logins.end_all_for(user_id=7, but=current) == 2
    left = await client.sh_session_exists([session.tkn for session in (current, *others, other)])
    assert left == [current.tkn, other.tkn]
    assert await logins.end_all_for(user_id=7, but=current) == 0
    assert await logins.end_all_for(user_id=7) == 1
    assert await logins.find(user_id=7) == []


async def test_whoever_is_spared_may_be_a_session_a_token_or_several(logins: Repository[Login]) -> None:
    sessions = [await logins.save(Login(user_id=7)) for _ in range(4)]
    first, second, third, _ = sessions
    assert await logins.end_all_for(user_id=7, but=[first, second.tkn, third.tkn]) == 1
    assert await logins.end_all_for(user_id=7, but=iter((first, second))) == 1
    assert await logins.end_all_for(user_id=7, but=first.tkn) == 1
    assert await logins.end_all_for(user_id=7, but=()) == 1


@pytest.mark.parametrize("but", ["7", 1.5, -1, [None], True, b"x"])
async def test_who_cannot_be_spared_is_refused_and_nobody_ends(logins: Repository[Login], but: Any) -> None:
    await logins.save(Login(user_id=7))
    with pytest.raises(InvalidArgumentError):
        await logins.end_all_for(user_id=7, but=but)
    with pytest.raises(NotSavedError):
        await logins.end_all_for(user_id=7, but=Login(user_id=7))
    assert len(await logins.find(user_id=7)) == 1


async def test_several_values_end_those_that_have_all(visits: Repository[Visit]) -> None:
    for device in ("phone", "tablet", "phone"):
        await visits.save(Visit(user_id=7, device=device))
    assert await visits.end_all_for(user_id=7, device="phone") == 2
    assert await visits.find(user_id=7) == [Visit(user_id=7, device="tablet")]


async def test_a_session_that_does_not_fit_its_class_ends_with_the_others(
    visits: Repository[Visit], client: NdbClient
) -> None:
    session = await visits.save(Visit(user_id=7))
    await client.sh_set({"note": 5}, session.tkn)
    assert await visits.end_all_for(user_id=7) == 1
    assert await client.sh_session_exists([session.tkn]) == []


async def test_a_session_that_has_moved_away_is_left(logins: Repository[Login], client: NdbClient) -> None:
    session = await logins.save(Login(user_id=7))
    await client.sh_set({"user_id": 8}, session.tkn)
    assert await logins.end_all_for(user_id=7) == 0
    assert (await logins.get(session.tkn)).user_id == 8


async def test_a_creation_under_way_is_ended_and_fails(scene: Scene) -> None:
    transport = SteppedTransport(scene.engine)
    visits = Repository(TransportClient(transport), Visit, clock=scene.clock)
    creating = asyncio.ensure_future(visits.save(Visit(user_id=7)))
    while transport.commands[-2:] != ["KV_ADD", "KV_GET"]:  # until it is listed, and not written
        await asyncio.sleep(0)
        if transport.waiting:
            transport.step()
    assert await scene.visits.end_all_for(user_id=7) == 1
    while not creating.done():
        await asyncio.sleep(0)
        if transport.waiting:
            transport.step()
    with pytest.raises(SessionGoneError):
        await creating
    assert await scene.living("Visit") == {}


async def test_what_was_ended_before_the_connection_was_lost_stays_ended_and_the_rest_ends_later(scene: Scene) -> None:
    for _ in range(5):
        await scene.logins.save(Login(user_id=7))
    mortal = scene.repository(TransportClient(MortalTransport(scene.engine, 10)))
    with pytest.raises(ConnectionError):
        await mortal.end_all_for(user_id=7)
    assert await scene.logins.end_all_for(user_id=7) > 0
    assert await scene.living() == {}
