"""What finding costs depends on what is found, not on what there is."""

from __future__ import annotations

import pytest

from ndb_models import NdbClient, Repository
from tests.lookup.models import Login, Visit
from tests.lookup.truth import Scene
from tests.lookup.turns import GatedTransport, TransportClient

USERS = 1000
SESSIONS = 10_000


@pytest.fixture
def counted(scene: Scene) -> GatedTransport:
    return GatedTransport(scene.engine)


@pytest.mark.slow
@pytest.mark.unmeasured
async def test_of_ten_thousand_sessions_those_of_a_user_take_a_frame_each(
    scene: Scene, counted: GatedTransport
) -> None:
    await scene.visits.save_many(Visit(user_id=number % USERS, device=f"{number}") for number in range(SESSIONS))
    repo = Repository(TransportClient(counted), Visit, clock=scene.clock)
    for user_id in (0, 17, USERS - 1):
        counted.commands.clear()
        assert len(await repo.find(user_id=user_id)) == SESSIONS // USERS
        assert counted.commands == ["KV_GET", "SH_KEYS", "SH_GET", *["SH_PEEK"] * (SESSIONS // USERS)]
    counted.commands.clear()
    assert await repo.find(user_id=USERS) == []
    assert counted.commands == ["KV_GET"]


async def test_the_same_on_memory(client: NdbClient) -> None:
    repo = Repository(client, Visit)
    await repo.save_many(Visit(user_id=number % 10) for number in range(100))
    assert [len(await repo.find(user_id=user_id)) for user_id in range(10)] == [10] * 10


async def test_saving_what_is_not_looked_up_costs_what_it_did(scene: Scene, counted: GatedTransport) -> None:
    repo = Repository(TransportClient(counted), Visit, clock=scene.clock)
    session = await repo.save(Visit(user_id=7))
    counted.commands.clear()
    session.note = "changed"
    await repo.save(session)
    await repo.get(session.tkn)
    assert counted.commands == ["SH_SET", "SH_GET"]


async def test_a_creation_costs_a_command_for_each_value_that_is_known_and_one_for_all(
    scene: Scene, counted: GatedTransport
) -> None:
    await scene.visits.save(Visit(user_id=7))
    repo = Repository(TransportClient(counted), Visit, clock=scene.clock)
    await repo.save(Visit(user_id=7))
    assert counted.commands == ["KV_GET", "SH_NEW_SET", "SH_SET", "SH_SET", "SH_SET"]


async def test_values_that_were_never_there_cost_a_command_each_and_three_together(
    scene: Scene, counted: GatedTransport
) -> None:
    repo = Repository(TransportClient(counted), Visit, clock=scene.clock)
    await repo.save(Visit(user_id=7))
    new_sessions = ["SH_NEW_SET"] * 3
    assert counted.commands == ["KV_GET", *new_sessions, "KV_ADD", "KV_GET", "SH_SET"]


async def test_a_unique_value_that_was_never_there_costs_as_much(scene: Scene, counted: GatedTransport) -> None:
    repo = Repository(TransportClient(counted), Login, clock=scene.clock)
    await repo.save(Login(email="a"))
    assert counted.commands == ["KV_GET", "SH_NEW_SET", "SH_NEW_SET", "KV_ADD", "KV_GET", "SH_ADD", "SH_PEEK"]


async def test_ending_all_removes_each_entry_once(scene: Scene, counted: GatedTransport) -> None:
    await scene.visits.save(Visit(user_id=7))
    repo = Repository(TransportClient(counted), Visit, clock=scene.clock)
    assert await repo.end_all_for(user_id=7) == 1
    listing = ["KV_GET", "SH_KEYS", "SH_GET"]
    assert counted.commands == [*listing, "SH_PEEK", "SH_END", "KV_GET", "SH_RMV", "KV_GET", "SH_RMV"]
