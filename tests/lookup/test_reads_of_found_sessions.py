"""Finding reads each session as `get` does, and decides by what it read then."""

from __future__ import annotations

import gc
import logging
from typing import Annotated

import pytest
from pydantic import BeforeValidator, field_validator

from ndb_models import Expiry, InvalidArgumentError, Lookup, NdbClient, Repository, SessionModel
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from tests.lookup.models import Visit
from tests.lookup.truth import Scene
from tests.lookup.turns import SteppedTransport, TransportClient, Turns


class Coded(SessionModel, schema="lookup-coded"):
    """Reads a field otherwise than it is stored, if another client wrote it."""

    code: Annotated[str, Lookup()]

    @field_validator("code")
    @classmethod
    def lowered(cls, code: str) -> str:
        return code.lower()


class Sized(SessionModel, schema="lookup-sized"):
    size: Annotated[int, BeforeValidator(lambda size: size), Lookup()]


class Timed(SessionModel, schema="lookup-timed", expiry=Expiry(idle=60, absolute=600)):
    user_id: Annotated[int, Lookup()]


async def test_all_listed_sessions_are_asked_for_at_once_where_the_store_waits(scene: Scene) -> None:
    await scene.visits.save_many(Visit(user_id=7) for _ in range(10))
    transport = SteppedTransport(scene.engine)
    repo = Repository(TransportClient(transport), Visit, clock=scene.clock)
    turns = Turns([transport], [repo.find(user_id=7)])
    for _ in ("KV_GET", "SH_KEYS", "SH_GET"):
        await turns.ready()
        assert len(transport.waiting) == 1
        turns.step(0)
    await turns.ready()
    assert len(transport.waiting) == 10
    while not turns.over:
        if await turns.ready():
            turns.step(0)
    (found,) = await turns.results()
    assert found == [Visit(user_id=7)] * 10
    assert transport.commands == ["KV_GET", "SH_KEYS", "SH_GET", *["SH_PEEK"] * 10]


async def test_a_found_model_knows_what_is_stored(visits: Repository[Visit], client: NdbClient) -> None:
    session = await visits.save(Visit(user_id=7, note="old"))
    (found,) = await visits.find(user_id=7)
    await client.sh_set({"device": "tablet"}, session.tkn)
    found.note = "new"
    await visits.save(found)
    assert await visits.get(session.tkn) == Visit(user_id=7, device="tablet", note="new")


@pytest.mark.parametrize("stored", ["7", " 7 ", 7.0])
async def test_a_value_in_another_form_is_found_as_the_class_reads_it(
    visits: Repository[Visit], client: NdbClient, stored: str | float
) -> None:
    """The class is lax, so that another client's string or float is an integer to it."""
    session = await visits.save(Visit(user_id=7))
    await client.sh_set({"user_id": stored}, session.tkn)
    assert [found.user_id for found in await visits.find(user_id=7)] == [7]
    assert await visits.find(user_id=8) == []


async def test_one_value_of_several_that_is_stored_no_more_is_enough(
    visits: Repository[Visit], client: NdbClient
) -> None:
    session = await visits.save(Visit(user_id=7, device="phone"))
    assert [found.tkn for found in await visits.find(device="phone", user_id=7)] == [session.tkn]
    await client.sh_set({"device": "tablet"}, session.tkn)
    assert await visits.find(device="phone", user_id=7) == []


async def test_a_validator_decides_whether_a_session_has_the_value(client: NdbClient) -> None:
    repo = Repository(client, Coded)
    session = await repo.save(Coded(code="abc"))
    await client.sh_set({"code": "ABC"}, session.tkn)
    assert [found.code for found in await repo.find(code="abc")] == ["abc"]
    await client.sh_set({"code": "other"}, session.tkn)
    assert await repo.find(code="abc") == []


async def test_a_value_to_look_for_is_validated_by_the_field(visits: Repository[Visit], client: NdbClient) -> None:
    session = await visits.save(Visit(user_id=7))
    assert [found.tkn for found in await visits.find(user_id="7")] == [session.tkn]  # type: ignore[ndb-value]  # lax, as the class
    with pytest.raises(InvalidArgumentError, match=r"Visit\.user_id"):
        await visits.find(user_id="seven")  # type: ignore[ndb-value]  # the mistake
    sized = Repository(client, Sized)
    await sized.save(Sized(size=5))
    assert await sized.find(size=5) == [Sized(size=5)]
    with pytest.raises(InvalidArgumentError, match=r"Sized\.size"):
        await sized.find(size="large")  # type: ignore[ndb-value]  # the mistake


async def test_a_session_past_its_deadline_is_ended_and_not_found(scene: Scene) -> None:
    repo = Repository(scene.client, Timed, clock=scene.clock)
    session = await repo.save(Timed(user_id=7))
    for _ in range(19):
        scene.clock.move(30)
        assert [found.tkn for found in await repo.find(user_id=7)] == [session.tkn]  # which extends it
    scene.clock.move(30)
    assert await repo.find(user_id=7) == []
    assert await scene.client.sh_session_exists([session.tkn]) == []


async def test_the_extension_of_what_was_found_reaches_the_server_if_the_client_is_closed_at_once(scene: Scene) -> None:
    session = await Repository(scene.client, Timed, clock=scene.clock).save(Timed(user_id=7))
    async with NdbServer(scene.engine, ServerOptions(port=0)) as server:
        scene.clock.move(30)
        async with NdbClient.connect(server.uri) as client:
            assert len(await Repository(client, Timed, clock=scene.clock).find(user_id=7)) == 1
    assert await Repository(scene.client, Timed, clock=scene.clock).ttl(session.tkn) == 60


async def test_an_extension_that_fails_is_no_matter_of_the_reader(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The server goes away between a read and the extension that it causes."""
    await Repository(scene.client, Timed, clock=scene.clock).save(Timed(user_id=7))
    async with NdbServer(scene.engine, ServerOptions(port=0)) as server:
        client = await NdbClient.connect(server.uri, reconnect=False)
        repo = Repository(client, Timed, clock=scene.clock)
        found = await repo.find(user_id=7)
    await client.close()
    gc.collect()
    assert len(found) == 1
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_requests_for_names_are_logged_by_name_and_sizes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ndb_models.client")
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, Visit)
        await repo.save(Visit(user_id=7))
        await repo.find(user_id=7)
    assert "SH_KEYS: 0 bytes of values sent, 0 received" in caplog.messages
