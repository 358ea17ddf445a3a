"""The index when others change it between two requests of a repository, or the server refuses one."""

from __future__ import annotations

import json

import pytest

from ndb_models import DuplicateError, Repository
from ndb_models.engine import Engine
from ndb_models.errors import ProtocolError, ResponseError
from ndb_models.index.entries import PENDING_SECONDS
from ndb_models.protocol.statuses import Status
from ndb_models.schema.lookup import digest, index_prefix
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.interposed import InterposedClient
from tests.lookup.models import Login, Visit


@pytest.fixture
def client(clock: VirtualClock) -> InterposedClient:
    return InterposedClient(Engine(MemoryStore(clock=clock)))


async def entry_set(client: InterposedClient, schema: str, field: str, value: object) -> int:
    """Return the token of the session that holds the entries of a value."""
    name = index_prefix(schema, field) + digest(json.dumps(value).encode())
    tkn = (await client.kv_get([name]))[name]
    assert isinstance(tkn, int)
    return tkn


async def test_entries_that_the_server_refuses_to_read_are_an_error(client: InterposedClient) -> None:
    visits = Repository(client, Visit)
    await visits.save(Visit(user_id=7))
    client.refuse("SH_GET", Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError) as refused:
        await visits.find(user_id=7)
    assert refused.value.status == Status.COMMAND_DISABLED


async def test_a_set_of_entries_that_others_remove_at_once_is_an_error_and_leaves_no_session(
    client: InterposedClient,
) -> None:
    visits = Repository(client, Visit)
    client.before("KV_GET", client.kv_clear, times=99, skipped=1)
    client.refuse_all("SH_NEW_SET", Status.SESSION_NEW_FAIL)
    with pytest.raises(ProtocolError, match="shared key of the index"):
        await visits.save(Visit(user_id=7))
    client.wire.planned.clear()
    assert await visits.find(user_id=7) == []
    assert [each async for each in visits.sessions()] == []


async def test_an_entry_that_is_gone_at_every_look_does_not_hide_the_others(client: InterposedClient) -> None:
    visits = Repository(client, Visit)
    saved = await visits.save(Visit(user_id=7))
    entries = await entry_set(client, "lookup-visit", "user_id", 7)
    named = {"SH_KEYS_RSP": {"st": 1, "tkn": entries, "keys": [str(saved.tkn), "12345"]}}
    client.answer("SH_KEYS", *[json.dumps(named, separators=(",", ":")).encode()] * 99)
    assert await visits.find(user_id=7) == [saved]


async def test_a_change_that_took_so_long_that_another_has_the_value_is_taken_back(
    client: InterposedClient, clock: VirtualClock
) -> None:
    """A claim that is older than a creation may take counts as abandoned."""
    logins = Repository(client, Login, clock=clock)
    saved = await logins.save(Login(email="a"))
    others: list[Login] = []

    async def another_takes_it() -> None:
        if not others:
            others.append(Login(email="b"))
            clock.move(PENDING_SECONDS + 1)
            await Repository(client, Login, clock=clock).save(others[0])

    client.before("SH_CHANGE", another_takes_it)
    client.before("SH_SET", another_takes_it)
    with pytest.raises(DuplicateError):
        await logins.update(saved.tkn, email="b")
    assert others
    assert (await logins.get(saved.tkn)).email == "a"
    found = await logins.find_one(email="b")
    assert found is not None
    assert found.tkn == others[0].tkn


@pytest.mark.parametrize("stays", [True, False])
async def test_a_creation_that_others_overtake_fails_only_while_they_have_the_value(
    client: InterposedClient, stays: bool
) -> None:
    logins = Repository(client, Login)
    await logins.delete((await logins.save(Login(email="a"))).tkn)  # the value was claimed before, and is free
    others: list[Login] = []

    async def another_is_quicker() -> None:
        others.append(await Repository(client, Login).save(Login(email="a", note="quicker")))
        if not stays:
            await logins.delete(others[0].tkn)

    client.before("SH_ADD", another_is_quicker, skipped=1)  # after the claim, before the session is whole
    mine = Login(email="a", note="mine")
    if stays:
        with pytest.raises(DuplicateError):
            await logins.save(mine)
    else:
        await logins.save(mine)
    assert others
    found = await logins.find_one(email="a")
    assert found is not None
    assert found.note == ("quicker" if stays else "mine")
