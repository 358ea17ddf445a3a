"""Classes that take keys beyond their fields are looked up as any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeAlias

import pytest

from ndb_models import ConnectionLostError, Expiry, JsonValue, Lookup, NdbClient, Repository, SessionModel
from tests.lookup.truth import Scene
from tests.lookup.turns import MortalTransport, TransportClient


class Open(SessionModel, schema="lookup-open", extra="allow", expiry=Expiry(idle=60)):
    user_id: Annotated[int, Lookup()]
    email: Annotated[str | None, Lookup(unique=True)] = None


Doing: TypeAlias = Callable[[Repository[Open], Open], Awaitable[object]]

DOING: dict[str, Doing] = {
    "delete": lambda repo, session: repo.delete(session.tkn),
    "rotate": lambda repo, session: repo.rotate(session),
    "end all": lambda repo, _: repo.end_all_for(user_id=7),
}


async def test_one_that_expired_does_not_hide_the_others(scene: Scene) -> None:
    repo = Repository(scene.client, Open, clock=scene.clock)
    await repo.save(Open(user_id=7, email="a"))
    scene.clock.move(60)
    session = await repo.save(Open.model_validate({"user_id": 7, "theme": "dark"}))
    assert await repo.find(user_id=7) == [session]
    assert await repo.find_one(email="a") is None


@pytest.mark.parametrize("verb", DOING)
async def test_one_that_ended_amid_a_verb_does_not_hide_the_others(verb: str) -> None:
    lifetime, died = 0, True
    while died:
        scene = Scene()
        repo = Repository(scene.client, Open, clock=scene.clock)
        session = await repo.save(Open(user_id=7))
        transport = MortalTransport(scene.engine, lifetime)
        mortal = Repository(TransportClient(transport), Open, clock=scene.clock)
        try:
            await DOING[verb](mortal, await repo.get(session.tkn))
        except ConnectionLostError:
            other = await repo.save(Open(user_id=7))
            assert other in await repo.find(user_id=7)
        died = transport.dead
        lifetime += 1
    assert lifetime > 1


async def test_those_of_a_later_version_are_found_too(client: NdbClient) -> None:
    class Versioned(SessionModel, extra="allow", version=2):
        user_id: Annotated[int, Lookup()]

    @Versioned.upgrade(1)
    def _(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return keys

    repo = Repository(client, Versioned)
    session = await repo.save(Versioned.model_validate({"user_id": 7, "theme": "dark"}))
    assert await repo.find(user_id=7) == [session]
