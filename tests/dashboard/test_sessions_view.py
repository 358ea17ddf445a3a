"""The sessions that the page shows, on each kind of store, and by each way to read one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest

from ndb_models import Expiry, NdbClient, Repository
from ndb_models.dashboard.client_source import ClientSource
from ndb_models.dashboard.documents import SchemaFacts
from ndb_models.dashboard.refusals import CallRefusedError
from ndb_models.dashboard.session_ids import SessionIds
from ndb_models.dashboard.sessions_view import MOST_ROWS, SessionsView
from ndb_models.dashboard.sources import MOST_BYTES, MOST_NAMES, SessionSource
from ndb_models.engine import Engine
from ndb_models.errors import UnsupportedError
from ndb_models.schema.lookup import digest, index_prefix
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.server.engine_source import EngineSource
from ndb_models.stores.opening import open_store
from ndb_models.types import JsonInput
from tests.dashboard.models import Ticket, Visitor
from tests.redis_uris import redis_uri

VISITOR: Final = "DashboardVisitor"
IDS: Final = SessionIds(b"k" * 32)


class Place:
    """A store with a client that writes to it, and a view of it."""

    def __init__(self, client: NdbClient, source: SessionSource) -> None:
        self.client = client
        self.source = source
        self.visitors = Repository(client, Visitor)
        self.view = self.seen_as(None)

    def seen_as(self, known: Mapping[str, SchemaFacts] | None) -> SessionsView:
        """Return a view of some schemas."""
        return SessionsView(self.source, IDS, known=known)

    async def visit(self, user: int = 7, **fields: Any) -> Visitor:
        """Store a session."""
        return await self.visitors.save(Visitor(user_id=user, **fields))

    async def found(self, field: str, text: str, schema: str = VISITOR) -> set[str]:
        """Return the names of the sessions that a person finds."""
        return {each["id"] for each in (await self.view.found(schema, field, text))["sessions"]}


@pytest.fixture(
    params=["engine, memory", "engine, sqlite", "client, memory", pytest.param("engine, redis", marks=pytest.mark.slow)]
)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    way, _, kind = request.param.partition(", ")
    uri = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'sessions.db'}"}.get(kind)
    engine = Engine(await open_store(uri or redis_uri("valkey")))
    async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
        yield Place(client, EngineSource(engine) if way == "engine" else ClientSource(client, {}))


def names(*sessions: Visitor | Ticket) -> set[str]:
    return {IDS.seal(each.tkn) for each in sessions}


async def test_schemas_are_counted_and_entries_of_the_index_are_none(place: Place) -> None:
    for _ in range(3):
        await place.visit()
    await Repository(place.client, Ticket, namespace="desk").save(Ticket(number="1"))
    await place.client.sh_create_session()
    found = await place.view.schemas()
    assert (found["counted"], found["complete"]) == (4, True)
    assert [(each["namespace"], each["name"], each["count"]) for each in found["schemas"]] == [
        (None, VISITOR, 3),
        ("desk", "DashboardTicket", 1),
    ]
    assert {each["lookups"] for each in found["schemas"]} == {None}


async def test_a_list_goes_on_until_it_has_shown_each_session_once(place: Place) -> None:
    visitors = [await place.visit(number) for number in range(MOST_ROWS + 7)]
    await Repository(place.client, Ticket).save(Ticket(number="1"))
    seen: list[str] = []
    after = None
    while True:
        listed = await place.view.listed(VISITOR, after)
        assert len(listed["sessions"]) <= MOST_ROWS
        seen += [each["id"] for each in listed["sessions"]]
        after = listed["next"]
        if after is None:
            break
    assert len(seen) == len(visitors)
    assert set(seen) == names(*visitors)


async def test_sessions_are_found_by_a_lookup_as_a_person_writes_it(place: Place) -> None:
    seven, eight = await place.visit(7, email="a@example.org"), await place.visit(8, email="7")
    assert await place.found("user_id", "7") == names(seven)
    assert await place.found("user_id", " 8 ".strip()) == names(eight)
    assert await place.found("email", "a@example.org") == names(seven)
    assert await place.found("email", '"a@example.org"') == names(seven)
    assert await place.found("email", "7") == names(eight)
    for field, text in (("user_id", "9"), ("nickname", "x"), ("none", "7"), ("email", "null"), ("email", "[")):
        assert await place.found(field, text) == set()


async def test_an_entry_is_a_hint_and_the_session_decides(place: Place) -> None:
    kept, ended, changed = [await place.visit(7) for _ in range(3)]
    await place.client.sh_end(ended.tkn)
    await place.client.sh_set({"user_id": 8}, changed.tkn)
    assert await place.found("user_id", "7") == names(kept)


async def test_a_set_of_entries_that_has_vanished_is_passed_over(place: Place) -> None:
    await place.visit(7)
    name = index_prefix(VISITOR, "user_id") + digest(b"7")
    entries = (await place.client.kv_get([name]))[name]
    assert isinstance(entries, int)
    await place.client.sh_end(entries)
    again = await place.visit(7)
    assert await place.found("user_id", "7") == names(again)


async def test_looking_never_extends_a_session(place: Place) -> None:
    visitor = await place.visit(7)
    await place.client.sh_expire(visitor.tkn, 1000, True, True, True)
    before = await place.source.facts(visitor.tkn)
    assert before is not None
    assert before.remaining is not None
    (name,) = names(visitor)
    for _ in range(3):
        await place.view.session(name, reveal=True)
        await place.view.listed(VISITOR, None)
        await place.found("user_id", "7")
    after = await place.source.facts(visitor.tkn)
    assert after is not None
    assert after.remaining is not None
    assert after.remaining <= before.remaining


async def test_a_session_is_shown_with_all_that_is_known_of_it(place: Place) -> None:
    visitor = await place.visit(7, profile={"access_token": "pear", "city": "Ulm"})
    (name,) = names(visitor)
    document, logged = await place.view.session(name, reveal=False)
    assert logged == (f"...{str(visitor.tkn)[-4:]}", VISITOR)
    assert (document["version"], document["namespace"], document["hasCredential"]) == (3, None, False)
    assert 0 < document["remaining"] <= 1800
    assert document["expiry"] == {
        "idle": 1800, "absolute": 604800, "extendedBy": ["reads", "writes"], "ends": True, "own": False,
    }  # fmt: skip
    assert document["created"] == document["authenticated"]
    assert document["keys"] == len(document["fields"]) == 6
    assert all(each["value"] is None for each in document["fields"])
    revealed, _ = await place.view.session(name, reveal=True)
    values = {each["name"]: each["value"] for each in revealed["fields"]}
    assert values["user_id"] == {"kind": "number", "text": "7", "is_cut": False}
    assert values["api_key"] is None
    assert "pear" not in str(values)
    assert "Ulm" in values["profile"]["text"]


async def test_where_the_model_is_known_its_secrets_are(place: Place) -> None:
    (name,) = names(await place.visit(7))
    view = place.seen_as({VISITOR: SchemaFacts(("user_id",), {"riddle"})})
    document, _ = await view.session(name, reveal=True)
    assert [each["name"] for each in document["fields"] if each["secret"]] == ["api_key", "riddle"]
    assert "the-type-says-so" not in str(document)


async def test_other_schemas_are_not_shown_where_some_are_known(place: Place) -> None:
    await place.visit(7)
    ticket = await Repository(place.client, Ticket).save(Ticket(number="1"))
    view = place.seen_as({VISITOR: SchemaFacts(("user_id", "email"))})
    assert [(each["name"], each["lookups"]) for each in (await view.schemas())["schemas"]] == [
        (VISITOR, ["user_id", "email"])
    ]
    (name,) = names(ticket)
    for asking in (
        view.listed("DashboardTicket", None),
        view.found("DashboardTicket", "number", "1"),
        view.session(name, reveal=True),
        view.end(name),
    ):
        with pytest.raises(CallRefusedError) as refused:
            await asking
        assert refused.value.status is HTTPStatus.NOT_FOUND
    assert await Repository(place.client, Ticket).exists(ticket.tkn)


async def test_a_session_without_a_schema_is_not_shown(place: Place) -> None:
    raw = (await place.client.sh_create_session()).tkn
    await place.client.sh_set({"a": "canary"}, raw)
    with pytest.raises(CallRefusedError, match="has ended"):
        await place.view.session(IDS.seal(raw), reveal=True)


async def test_an_absolute_end_that_comes_first_counts(place: Place) -> None:
    ticket = await Repository(place.client, Ticket).save(Ticket(number="1"))
    (name,) = names(ticket)
    document, _ = await place.view.session(name, reveal=False)
    assert 80 < document["remaining"] <= 90
    await Repository(place.client, Ticket).expire(ticket, None)
    document, _ = await place.view.session(name, reveal=False)
    assert (document["remaining"], document["deadline"], document["expiry"]["own"]) == (None, None, True)


async def test_a_large_session_is_shown_in_part(place: Place) -> None:
    visitor = await place.visit(7)
    large = {f"large{number}": "x" * (MOST_BYTES // 2) for number in range(3)}
    for key, value in large.items():
        await place.client.sh_set({key: value}, visitor.tkn)
    many = {f"n{number}": number for number in range(MOST_NAMES)}
    await place.client.sh_set(many, visitor.tkn)
    (name,) = names(visitor)
    document, _ = await place.view.session(name, reveal=True)
    left_out = [each["name"] for each in document["fields"] if each.get("leftOut")]
    assert left_out
    assert len(document["fields"]) >= MOST_NAMES - 1
    assert len(str(document)) < MOST_BYTES


async def test_a_session_that_was_ended_is_gone(place: Place) -> None:
    (name,) = names(await place.visit(7))
    assert (await place.view.schemas())["counted"] == 1
    assert (await place.view.end(name)).schema == VISITOR
    assert (await place.view.schemas())["counted"] == 0
    with pytest.raises(CallRefusedError, match="has ended"):
        await place.view.end(name)


async def test_an_upgrade_that_is_being_written_counts_as_far_as_it_is_committed(place: Place) -> None:
    visitor = await place.visit(7)
    envelope = (await place.client.sh_peek(["__ndb__"], visitor.tkn))["__ndb__"]
    assert isinstance(envelope, dict)
    staged = {**envelope, "staged": "__ndb__:3:", "upgraded": True}
    keys: dict[str, JsonInput] = {
        "__ndb__:3:nickname": "new",
        "email": {"__ndb__": "removed"},
        "__ndb__": staged,
        "user_id": 7,
    }
    await place.client.sh_set(keys, visitor.tkn)
    (name,) = names(visitor)
    document, _ = await place.view.session(name, reveal=True)
    values = {each["name"]: each["value"] for each in document["fields"]}
    assert values["nickname"]["text"] == "new"
    assert "email" not in values
    assert not any(key.startswith("__ndb__") for key in values)


async def test_a_nemesisdb_is_not_asked_for_what_it_cannot_do(nemesisdb_client: NdbClient) -> None:
    view = SessionsView(ClientSource(nemesisdb_client, {}), IDS)
    with pytest.raises(UnsupportedError):
        await view.schemas()


async def test_a_timer_that_keeps_the_session_is_told(place: Place) -> None:
    visitors = Repository(place.client, Visitor)
    visitor = await visitors.create(Visitor(user_id=1), expiry=Expiry(idle=timedelta(seconds=60)))
    await place.client.sh_expire(visitor.tkn, 60)
    (name,) = names(visitor)
    document, _ = await place.view.session(name, reveal=False)
    assert (document["expiry"]["ends"], document["expiry"]["extendedBy"]) == (False, [])
