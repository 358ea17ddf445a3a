"""What the page shows when sessions end under its eyes, and when the store refuses or answers in parts."""

from __future__ import annotations

import logging
from http import HTTPStatus

import pytest

from ndb_models import NdbClient, Repository
from ndb_models.dashboard import Dashboard
from ndb_models.dashboard.client_source import ClientSource
from ndb_models.dashboard.refusals import CallRefusedError
from ndb_models.dashboard.session_ids import SessionIds
from ndb_models.dashboard.sessions_view import SessionsView
from ndb_models.dashboard.sources import MOST_BYTES, MOST_NAMES, parsed
from ndb_models.dashboard.store_figures import StoreFigures
from ndb_models.errors import ResponseError
from ndb_models.protocol.statuses import Status
from ndb_models.schema.lookup import digest, index_prefix
from tests.conftest import VirtualClock
from tests.dashboard.models import Visitor
from tests.dashboard.test_application import attempt, by_header, person
from tests.interposed import InterposedClient

VISITOR = "DashboardVisitor"
OTHER = 16204359010587816757


@pytest.fixture
def client() -> InterposedClient:
    return InterposedClient()


@pytest.fixture
def view(client: InterposedClient) -> SessionsView:
    return SessionsView(ClientSource(client, {}), SessionIds(b"k" * 32))


async def visit(client: NdbClient) -> int:
    return (await Repository(client, Visitor).save(Visitor(user_id=7))).tkn or 0


async def name_of_the_one(view: SessionsView) -> str:
    (row,) = (await view.listed(VISITOR, None))["sessions"]
    return str(row["id"])


@pytest.mark.parametrize("command", ["SH_INFO", "SH_KEYS"])
async def test_a_session_that_ends_while_it_is_looked_at_is_gone(
    client: InterposedClient, view: SessionsView, command: str
) -> None:
    tkn = await visit(client)
    name = await name_of_the_one(view)
    client.before(command, lambda: client.sh_end(tkn))
    with pytest.raises(CallRefusedError, match="has ended") as refused:
        await view.session(name, reveal=False)
    assert refused.value.status == HTTPStatus.NOT_FOUND


async def test_a_session_that_loses_its_keys_between_two_reads_is_gone(
    client: InterposedClient, view: SessionsView
) -> None:
    await visit(client)
    name = await name_of_the_one(view)
    client.refuse("SH_PEEK", None, Status.SESSION_NOT_EXIST)
    with pytest.raises(CallRefusedError, match="has ended"):
        await view.session(name, reveal=False)


async def test_a_session_that_someone_else_ends_first_is_gone(client: InterposedClient, view: SessionsView) -> None:
    await visit(client)
    name = await name_of_the_one(view)
    client.refuse("SH_END", Status.SESSION_NOT_EXIST)
    with pytest.raises(CallRefusedError, match="has ended"):
        await view.end(name)


async def test_a_refused_end_is_no_ended_session(client: InterposedClient, view: SessionsView) -> None:
    await visit(client)
    name = await name_of_the_one(view)
    client.refuse("SH_END", Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError):
        await view.end(name)


async def test_values_too_large_for_one_answer_are_read_one_by_one(
    client: InterposedClient, view: SessionsView
) -> None:
    await visit(client)
    name = await name_of_the_one(view)
    whole, _ = await view.session(name, reveal=True)
    client.refuse("SH_PEEK", None, Status.VALUE_SIZE)
    in_parts, _ = await view.session(name, reveal=True)
    assert in_parts["fields"] == whole["fields"]


async def test_a_read_that_is_refused_for_another_reason_is_an_error(
    client: InterposedClient, view: SessionsView
) -> None:
    await visit(client)
    name = await name_of_the_one(view)
    client.refuse("SH_PEEK", None, Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError):
        await view.session(name, reveal=True)


async def test_schemas_are_not_counted_anew_for_every_visitor(client: InterposedClient, view: SessionsView) -> None:
    await visit(client)
    assert await view.schemas() == await view.schemas()
    assert client.asked.count("SH_LIST") == 1


async def test_schemas_of_a_store_with_many_sessions_are_counted_page_by_page(
    client: InterposedClient, view: SessionsView
) -> None:
    for _ in range(600):
        await client.sh_create_session()
    await visit(client)
    census = await view.schemas()
    assert (census["counted"], census["complete"]) == (1, True)
    assert client.asked.count("SH_LIST") == 2


async def test_a_value_whose_sets_of_entries_all_vanished_leads_to_no_session(
    client: InterposedClient, view: SessionsView
) -> None:
    """Each set that vanished has left its name behind. A page does not follow these names without end."""
    name = index_prefix(VISITOR, "user_id") + digest(b"7")
    await client.kv_set({name: OTHER, **{f"{name}:{number}": OTHER for number in range(1, 100)}})
    assert (await view.found(VISITOR, "user_id", "7"))["sessions"] == []
    assert client.asked.count("KV_GET") < 30


async def test_a_session_without_the_field_is_not_found_by_it(client: InterposedClient, view: SessionsView) -> None:
    tkn = await visit(client)
    await client.sh_rmv(["user_id"], tkn)
    assert (await view.found(VISITOR, "user_id", "7"))["sessions"] == []


async def test_a_session_that_is_being_upgraded_is_found_by_its_new_value(
    client: InterposedClient, view: SessionsView
) -> None:
    tkn = await visit(client)
    envelope = (await client.sh_peek(["__ndb__"], tkn))["__ndb__"]
    assert isinstance(envelope, dict)
    staged = {**envelope, "staged": "__ndb__:3:", "upgraded": True}
    await client.sh_set({"__ndb__:3:user_id": 7, "user_id": 8, "__ndb__": staged}, tkn)
    assert len((await view.found(VISITOR, "user_id", "7"))["sessions"]) == 1


def test_the_texts_of_a_page_have_an_upper_bound() -> None:
    half = b'"%s"' % (b"x" * (MOST_BYTES // 2))
    values, left_out = parsed({"a": half, "b": half, "c": b"1", "d": b"{"})
    assert values.keys() == {"a", "c"}
    assert left_out == ["b", "d"]


async def test_a_reserved_key_beyond_the_most_names_is_no_field(client: InterposedClient, view: SessionsView) -> None:
    tkn = await visit(client)
    name = await name_of_the_one(view)
    reserved = (await client.sh_peek(["__ndb__"], tkn))["__ndb__"]
    await client.sh_rmv(["__ndb__"], tkn)
    await client.sh_set({f"n{number}": number for number in range(MOST_NAMES)}, tkn)
    await client.sh_set({"__ndb__": reserved}, tkn)
    assert (await client.sh_keys(tkn)).index("__ndb__") >= MOST_NAMES
    document, _ = await view.session(name, reveal=False)
    assert [each["name"] for each in document["fields"] if each.get("leftOut")] != []
    assert "__ndb__" not in {each["name"] for each in document["fields"]}


async def test_figures_are_read_once_for_a_moment_and_sessions_are_counted_more_rarely(
    client: InterposedClient, clock: VirtualClock
) -> None:
    async def counting_takes_a_second() -> None:
        clock.move(1)

    client.before("SH_INFO_ALL", counting_takes_a_second, times=9)
    await visit(client)
    figures = StoreFigures(ClientSource(client, {}), clock=clock, monotonic=clock)
    first = await figures.since(0)
    assert first["series"]["sessions"] == [2]
    clock.move(-1)  # to the moment of the first reading
    assert (await figures.since(0))["series"] == first["series"]
    clock.move(7)
    assert (await figures.since(0))["series"]["sessions"] == [2, 2]
    assert client.asked.count("SH_INFO_ALL") == 1
    clock.move(60)
    await figures.since(0)
    assert client.asked.count("SH_INFO_ALL") == 2


async def test_a_store_that_refuses_is_told_and_the_reason_is_logged(
    client: InterposedClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.refuse("SH_LIST", Status.COMMAND_DISABLED)
    async with person(Dashboard(client, allow=by_header)) as browser:
        answer = await attempt(browser, "schemas", at="")
    assert answer.status_code == HTTPStatus.BAD_GATEWAY
    assert "admin's token" in answer.json()["message"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "SH_LIST" in record.getMessage()


async def test_an_answer_that_makes_no_sense_is_a_store_that_is_away(client: InterposedClient) -> None:
    client.answer("SH_LIST", b'{"SH_LIST_RSP":{"st":1,"tkns":[1]}}')
    async with person(Dashboard(client, allow=by_header)) as browser:
        answer = await attempt(browser, "schemas", at="")
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
