"""`sessions()`: which sessions are listed, how those are told that cannot be read, and where it is refused."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from ndb_models import (
    ForeignSessionError,
    InvalidArgumentError,
    NdbClient,
    Repository,
    ResponseError,
    SessionModel,
    StoredDataError,
    UnavailableError,
    UnsupportedError,
)
from ndb_models.engine import Engine
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.server.tokens import Role, Tokens
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.lookup.models import Visit
from tests.repository.models import Otp, ReadUser, User
from tests.repository.recording import RecordingEngine
from tests.repository.session_world import EngineClient


async def listed(repo: Repository[Any], page: int = 256) -> list[Any]:
    return [session async for session in repo.sessions(page=page)]


def names(sessions: list[Any]) -> list[str]:
    return sorted(session.username for session in sessions)


@pytest.mark.parametrize("page", [1, 3, 256, 4096])
async def test_all_sessions_of_the_model_are_listed_and_no_others(on_store: NdbClient, page: int) -> None:
    users, otps, visits = Repository(on_store, User), Repository(on_store, Otp), Repository(on_store, Visit)
    assert await listed(users, page) == []
    saved = [await users.save(User(username=f"user {number}", visits=number)) for number in range(5)]
    for number in range(4):
        await otps.save(Otp(code=number))
        await visits.save(Visit(user_id=number))  # its lookups are sessions too
    foreign = await on_store.sh_create_session()
    await on_store.sh_set({"username": "foreign"}, foreign.tkn)
    found = await listed(users, page)
    assert {user.tkn: user for user in found} == {user.tkn: user for user in saved}
    assert len(found) == 5
    assert {otp.code for otp in await listed(otps, page)} == {0, 1, 2, 3}
    assert {visit.user_id for visit in await listed(visits, page)} == {0, 1, 2, 3}


async def test_a_listed_session_can_be_changed_and_saved(users: Repository[User]) -> None:
    await users.save_many([User(username=f"user {number}") for number in range(20)])
    async for user in users.sessions(page=3):
        assert isinstance(user, User)
        user.visits += 1
        await users.save(user)
    assert [user.visits for user in await listed(users)] == [1] * 20


async def test_sessions_that_live_all_the_time_are_listed_once_while_others_come_and_go(client: NdbClient) -> None:
    users = Repository(client, User)
    staying = [await users.save(User(username=f"staying {number}")) for number in range(40)]
    passing = [await users.save(User(username="passing")) for _ in range(20)]
    tkns: list[int] = []
    async for user in users.sessions(page=4):
        assert isinstance(user, User)
        tkns.append(user.tkn)
        if passing:
            await users.delete(passing.pop().tkn)
            await users.save(User(username="new"))
    assert len(tkns) == len({*tkns})
    assert {user.tkn for user in staying} <= {*tkns}


async def test_a_session_that_ends_after_it_was_listed_is_left_out(
    watched: Repository[User], engine: RecordingEngine
) -> None:
    ended = await watched.save(User(username="ended"))
    await watched.save(User(username="staying"))
    engine.hold("SH_LIST", carried_out=True)
    listing = asyncio.create_task(listed(watched))
    await engine.waiting.wait()
    assert await Repository(EngineClient(engine), User).delete(ended.tkn)
    engine.release()
    assert names(await listing) == ["staying"]


async def test_expired_sessions_are_not_listed_and_listing_extends_none(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    users = Repository(on_store, ReadUser, clock=clock)
    await users.save(ReadUser(username="early"))
    clock.move(30)
    await users.save(ReadUser(username="late"))
    assert names(await listed(users)) == ["early", "late"]
    clock.move(30)
    assert names(await listed(users)) == ["late"]
    clock.move(30)
    assert await listed(users) == []


async def test_an_error_stands_in_place_of_a_session_that_cannot_be_read(client: NdbClient) -> None:
    users = Repository(client, User)
    spoilt, emptied, whole = [await users.save(User(username=f"user {number}")) for number in range(3)]
    await client.sh_set({"visits": "canary"}, spoilt.tkn)
    await client.sh_clear(emptied.tkn)
    copy = await client.sh_create_session()
    await client.sh_set(await client.sh_get(await client.sh_keys(whole.tkn), whole.tkn), copy.tkn)
    found = await listed(users)
    errors = [session for session in found if not isinstance(session, User)]
    assert {type(error) for error in errors} == {StoredDataError, ForeignSessionError}
    assert "canary" not in repr(errors)
    assert [session for session in found if isinstance(session, User)] == [whole]


async def test_a_session_that_does_not_fit_is_ended_where_reads_end_it(client: NdbClient) -> None:
    users = Repository(client, User, on_invalid="end")
    spoilt = await users.save(User(username="spoilt"))
    await client.sh_set({"visits": "canary"}, spoilt.tkn)
    assert await listed(users) == []
    assert await client.sh_session_exists([spoilt.tkn]) == []


async def test_a_lost_server_ends_the_listing() -> None:
    engine = Engine(MemoryStore())
    server = NdbServer(engine, ServerOptions(port=0))
    async with server, NdbClient.connect(server.uri, connect_wait=0.1) as client:
        users = Repository(client, User)
        await users.save_many([User(username=f"user {number}") for number in range(10)])
        listing = users.sessions(page=2)
        await anext(listing)
        await server.stop()
        with pytest.raises(UnavailableError):
            _ = [session async for session in listing]


async def test_a_listing_that_is_left_early_or_cancelled_leaves_nothing_behind(
    watched: Repository[User], engine: RecordingEngine
) -> None:
    await watched.save_many([User(username=f"user {number}") for number in range(10)])
    async for _ in watched.sessions(page=2):
        break
    engine.hold("SH_LIST")
    listing = asyncio.create_task(listed(watched))
    await engine.waiting.wait()
    listing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listing
    engine.release()
    assert len(await listed(watched, page=3)) == 10


@pytest.mark.parametrize("page", [0, -1, 4097, True, 1.0, "5", None])
async def test_a_page_of_another_size_is_refused(users: Repository[User], page: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="from 1 to 4096"):
        await listed(users, page)


async def test_a_page_costs_one_request_and_each_session_one_read(
    watched: Repository[User], engine: RecordingEngine
) -> None:
    await watched.save_many([User(username=f"user {number}") for number in range(3)])
    engine.commands()
    await listed(watched)
    requests = engine.requests()
    assert [name for name, _ in requests] == ["SH_LIST", "SH_PEEK", "SH_PEEK", "SH_PEEK"]
    assert requests[0][1] == {"key": RESERVED_KEY, "count": 256}


async def test_a_nemesisdb_refuses_to_list(nemesisdb_client: NdbClient) -> None:
    users = Repository(nemesisdb_client, User)
    await users.save(User(username="billy"))
    for _ in range(2):
        with pytest.raises(
            UnsupportedError, match=r"^sessions\(\) is not .*: it lists the server's sessions.* the command SH_LIST"
        ):
            await listed(users)


async def test_a_client_whose_token_is_for_data_may_not_list() -> None:
    data, admin = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    options = ServerOptions(port=0, tokens=Tokens([(Role.DATA, data), (Role.ADMIN, admin)]))
    async with NdbServer(Engine(MemoryStore()), options) as server:
        async with NdbClient.connect(server.uri, token=data) as client:
            await Repository(client, User).save(User(username="billy"))
            with pytest.raises(ResponseError) as caught:
                await listed(Repository(client, User))
            assert caught.value.status == 14
        async with NdbClient.connect(server.uri, token=admin) as client:
            assert names(await listed(Repository(client, User))) == ["billy"]


class Renamed(SessionModel, schema='person / "é" \\'):
    name: str


async def test_a_schema_of_any_name_is_listed(client: NdbClient) -> None:
    people = Repository(client, Renamed)
    await people.save(Renamed(name="billy"))
    assert [person.name for person in await listed(people)] == ["billy"]
