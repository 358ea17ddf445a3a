"""What a repository does when others change a session between two of its requests, or the server refuses one."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from ndb_models import Expiry, Lookup, Repository, SessionGoneError, SessionModel
from ndb_models.engine import Engine
from ndb_models.errors import ForeignSessionError, ProtocolError, ResponseError, UnsupportedError
from ndb_models.protocol.statuses import Status
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.interposed import InterposedClient
from tests.repository.expiring import NoteView, declared, timer
from tests.repository.models import User

IDLE = Expiry(idle=3600)


class Open(SessionModel, schema="changed-open", extra="allow"):
    """Has keys of any names."""


class Listed(SessionModel, schema="changed-listed", expiry=IDLE):
    user: Annotated[str, Lookup()]


class Paced(SessionModel, schema="changed-paced", expiry=Expiry(idle=3600, touch_every=60)):
    user: Annotated[str, Lookup()] = "billy"


class Tracked(SessionModel, schema="changed-tracked", track=1, expiry=IDLE):
    name: str = ""


@pytest.fixture
def client() -> InterposedClient:
    return InterposedClient()


async def touched(client: InterposedClient, tkn: int, number: int) -> None:
    """Change the reserved key of a session as another process does that records a use."""
    reserved: Any = (await client.sh_peek([RESERVED_KEY], tkn))[RESERVED_KEY]
    await client.sh_set({RESERVED_KEY: {**reserved, "used": number}}, tkn)


class Meanwhile:
    """Changes the reserved key of a session each time that it is called."""

    def __init__(self, client: InterposedClient) -> None:
        self.client = client
        self.tkn = 0
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1
        await touched(self.client, self.tkn, 1_700_000_000_000 + self.count)


async def test_an_expiry_that_others_change_again_and_again_is_not_changed_for_ever(client: InterposedClient) -> None:
    users = Repository(client, User)
    saved = await users.save(User(username="b"))
    meanwhile = Meanwhile(client)
    meanwhile.tkn = saved.tkn or 0
    client.before("SH_EXPIRE", meanwhile, times=99)
    with pytest.raises(ProtocolError, match="again and again"):
        await users.expire(saved, IDLE)
    assert 1 < meanwhile.count < 99
    told = await timer(client, meanwhile.tkn)
    assert told is not None
    assert told["duration"] != IDLE.duration


async def test_a_credential_that_others_renew_again_and_again_is_not_renewed_for_ever(client: InterposedClient) -> None:
    users = Repository(client, User)
    saved = await users.save(User(username="b"))
    meanwhile = Meanwhile(client)
    meanwhile.tkn = saved.tkn or 0
    client.before("SH_CHANGE", meanwhile, times=99)
    with pytest.raises(ProtocolError, match="again and again"):
        await users.issue(saved)
    assert 1 < meanwhile.count < 99


async def test_an_upgrade_that_others_overtake_again_and_again_is_not_tried_for_ever(client: InterposedClient) -> None:
    first = declared(IDLE)
    saved = await Repository(client, first).save(first())
    second = declared(IDLE, version=2)
    meanwhile = Meanwhile(client)
    meanwhile.tkn = saved.tkn or 0
    repo = Repository(client, second)
    read = await repo.get(meanwhile.tkn)
    read.note = "changed"
    client.before("SH_KEYS", meanwhile, times=99)
    with pytest.raises(ProtocolError, match="again and again"):
        await repo.save(read)
    assert 1 < meanwhile.count < 99
    assert (await client.sh_get(["note"], meanwhile.tkn))["note"] == ""


async def test_a_session_of_an_open_class_is_read_in_parts_that_belong_to_one_session(client: InterposedClient) -> None:
    repo = Repository(client, Open)
    saved = await repo.save(Open.model_validate({f"key{number}": "x" * 40 for number in range(20)}))
    client.max_payload = 300
    assert await repo.get(saved.tkn) == saved
    answers = [
        {"SH_GET_RSP": {"st": 1, "keys": {"key1": "x", RESERVED_KEY: {"schema": "changed-open", "tkn": tkn}}}}
        for tkn in (saved.tkn, 7)
    ]
    client.answer("SH_GET", *(json.dumps(answer, separators=(",", ":")).encode() for answer in answers))
    with pytest.raises((ProtocolError, ForeignSessionError)):
        await repo.get(saved.tkn)


async def test_a_session_is_read_whole_by_as_many_sets_of_names_as_there_are(client: InterposedClient) -> None:
    """Sessions of an open class may each have other names: what is kept of them stays small, and right."""
    repo = Repository(client, Open)
    for number in range(50):
        saved = await repo.save(Open.model_validate({f"key{number}": number}))
        assert await repo.get(saved.tkn) == saved


async def test_a_creation_without_room_for_it_and_its_entries_keeps_how_the_session_expires(
    client: InterposedClient,
) -> None:
    repo = Repository(client, Paced)
    await repo.save(Paced())
    client.refuse("SH_NEW_SET", Status.SESSION_NEW_FAIL)
    saved = await repo.save(Paced())
    told = await timer(client, saved.tkn or 0)
    assert told is not None
    assert (told["duration"], told["touchEvery"]) == (3600, 60)


async def test_a_refused_creation_leaves_neither_session_nor_entries(client: InterposedClient) -> None:
    repo = Repository(client, Listed)
    client.refuse("SH_NEW_SET", None, Status.VALUE_SIZE)
    with pytest.raises(ResponseError) as refused:
        await repo.save(Listed(user="billy"))
    assert refused.value.status == Status.VALUE_SIZE
    await client.to_the_end(client.sv_info())
    assert await repo.find(user="billy") == []
    assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_new_session_without_a_token_is_no_session(client: InterposedClient) -> None:
    repo = Repository(client, Listed)
    client.refuse("SH_NEW_SET", Status.SESSION_NEW_FAIL)
    client.answer("SH_NEW", b'{"SH_NEW_RSP":{"st":1,"tkn":"1"}}')
    with pytest.raises(ProtocolError):
        await repo.save(Listed(user="billy"))


async def test_a_session_gets_the_limit_of_its_class_where_a_server_forgot_how_to_change_a_timer(
    clock: VirtualClock,
) -> None:
    """The server was replaced by an older one: the limit is written into the session instead."""
    client = InterposedClient(Engine(MemoryStore(clock=clock)))
    endless = declared(None)
    saved = await Repository(client, endless, clock=clock).save(endless())
    limited = declared(Expiry(absolute=600))
    client.refuse("SH_EXPIRE", Status.COMMAND_NOT_EXIST)
    repo = Repository(client, limited, clock=clock)
    await repo.get(saved.tkn)
    clock.move(601)
    with pytest.raises(SessionGoneError):
        await repo.get(saved.tkn)


async def test_a_session_that_another_process_has_limited_meanwhile_is_read_with_that_limit(
    clock: VirtualClock,
) -> None:
    client = InterposedClient(Engine(MemoryStore(clock=clock)))
    endless = declared(None)
    saved = await Repository(client, endless, clock=clock).save(endless())
    limited = declared(Expiry(absolute=600))
    other = Repository(client, limited, clock=clock)
    client.refuse("SH_EXPIRE", Status.COMMAND_NOT_EXIST)
    client.before("SH_GET", lambda: other.get(saved.tkn), skipped=1)
    repo = Repository(client, limited, clock=clock)
    await repo.get(saved.tkn)
    clock.move(601)
    with pytest.raises(SessionGoneError):
        await repo.get(saved.tkn)


async def test_a_view_reads_what_is_left_of_a_session_in_parts(client: InterposedClient) -> None:
    class Wide(BaseModel):
        note: str
        user: str

    model = declared(IDLE)
    saved = await Repository(client, model).save(model(note="x"))
    repo = Repository(client, model)
    assert await repo.project(saved.tkn, NoteView) == NoteView(note="x")
    client.max_payload = 200
    assert await repo.project(saved.tkn, Wide) == Wide(note="x", user="billy")


async def test_uses_are_not_recorded_where_the_server_cannot_compare(clock: VirtualClock) -> None:
    client = InterposedClient(Engine(MemoryStore(clock=clock)))
    repo = Repository(client, Tracked, clock=clock)
    saved = await repo.save(Tracked())
    client.refuse_all("SH_EXPIRE", Status.COMMAND_NOT_EXIST)
    with pytest.raises(UnsupportedError):
        await client.sh_expire(saved.tkn, 60)
    asked = client.asked.count("SH_EXPIRE")
    clock.move(100)
    await repo.get(saved.tkn)
    assert client.asked.count("SH_EXPIRE") == asked


async def test_a_list_of_sessions_stops_at_an_error_of_the_store(client: InterposedClient) -> None:
    users = Repository(client, User)
    await users.save(User(username="b"))
    client.refuse_all("SH_PEEK", Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError):
        [each async for each in users.sessions()]
