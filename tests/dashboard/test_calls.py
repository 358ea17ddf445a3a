"""The page over plain HTTP: who gets what, and what each mistake is answered with."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator

import pytest

from ndb_models import InvalidArgumentError, NdbClient, Repository
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.stores.memory import MemoryStore
from tests.dashboard.calls import CALLS, METHODS, Person, message
from tests.dashboard.models import Visitor
from tests.server.http_client import fetch
from tests.server.plain_client import plain

ADMIN, DATA = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
TOKENS = Tokens([(Role.ADMIN, ADMIN), (Role.DATA, DATA)])
FILES = ("", "dashboard.css", "dashboard.js", "charts.js", "icon.svg")


async def served(*, write: bool = False, tokens: Tokens | None = TOKENS) -> AsyncIterator[NdbServer]:
    options = ServerOptions(port=0, tokens=tokens, dashboard=True, dashboard_write=write)
    async with NdbServer(Engine(MemoryStore()), options) as server:
        yield server


@pytest.fixture
async def server() -> AsyncIterator[NdbServer]:
    async for server in served():
        yield server


@pytest.fixture
async def admin(server: NdbServer) -> Person:
    """Someone who has logged in."""
    person = Person(server)
    assert (await person.log_in(ADMIN)).status == 200
    return person


async def a_visitor(server: NdbServer) -> Visitor:
    async with NdbClient.connect(server.uri, token=DATA) as client:
        return await Repository(client, Visitor).save(Visitor(user_id=7, email="canary@example.org"))


async def its_name(admin: Person) -> str:
    """Return the name on the page of the only session."""
    (session,) = (await admin.ask("sessions", schema="DashboardVisitor"))["sessions"]
    name: str = session["id"]
    return name


async def test_without_the_option_there_is_no_page_and_the_answer_names_it() -> None:
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server:
        for path in ("/dashboard", "/dashboard/", "/dashboard/dashboard.js", "/dashboard/api/about"):
            answer = await fetch(server, path)
            assert answer.status == 404
            assert answer.body == "This server has no status page: start it with --dashboard.\n"
        assert (await fetch(server, "/dashboards")).status == 426
        async with NdbClient.connect(f"{server.uri}dashboard") as client:  # a client may name any path
            assert await client.kv_count() == 0


async def test_an_intruder_gets_the_empty_page_and_nothing_of_the_server(server: NdbServer) -> None:
    await a_visitor(server)
    intruder = Person(server)
    for cookie in (None, "ndb_dashboard=", f"ndb_dashboard={'A' * 64}", "ndb_dashboard=a; ndb_dashboard=b", "x"):
        intruder.cookie = cookie
        for name in (*CALLS, "no-such-call"):
            answer = await intruder.call(name, schema="DashboardVisitor", id="A" * 22)
            assert (answer.status, message(answer)) == (401, "Log in with an admin's token.")
        for path in FILES:
            assert (await intruder.fetch(path)).status == 200
    for token in (secrets.token_urlsafe(32), "", DATA, f"{ADMIN} ", ADMIN[:-1]):
        answer = await intruder.log_in(token)
        assert "set-cookie" not in answer.headers or token.strip() == ADMIN


async def test_a_token_for_data_does_not_log_in(server: NdbServer) -> None:
    answer = await Person(server).log_in(DATA)
    assert (answer.status, message(answer)) == (403, "This token is for data. The page is for admins.")


async def test_the_cookie_is_for_the_calls_alone_and_no_script_can_read_it(server: NdbServer) -> None:
    answer = await Person(server).log_in(ADMIN, Origin=f"http://127.0.0.1:{server.port}")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert (name, rest.split("; ")[1:]) == ("ndb_dashboard", ["Max-Age=28800", "HttpOnly", "SameSite=Strict"])
    assert ADMIN not in rest
    secure = await Person(server).log_in(ADMIN, Origin=f"https://127.0.0.1:{server.port}")
    assert re.fullmatch(r"__Secure-ndb_dashboard=.*; SameSite=Strict; Secure", secure.headers["set-cookie"])


async def test_wrong_tokens_of_one_address_are_limited(server: NdbServer) -> None:
    person = Person(server)
    statuses = [(await person.log_in(secrets.token_urlsafe(32))).status for _ in range(12)]
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    answer = await person.log_in(ADMIN)
    assert (answer.status, answer.headers["retry-after"]) == (429, "5")


async def test_who_logs_out_is_out_and_others_stay(server: NdbServer, admin: Person) -> None:
    other = Person(server)
    await other.log_in(ADMIN)
    answer = await admin.call("logout")
    assert answer.headers["set-cookie"].startswith("ndb_dashboard=; Max-Age=0")
    assert (await admin.call("about")).status == 401
    assert (await other.call("about")).status == 200


async def test_a_token_that_is_gone_ends_its_logins(server: NdbServer, admin: Person) -> None:
    server.reload(Tokens([(Role.ADMIN, secrets.token_urlsafe(32)), (Role.DATA, ADMIN)]))
    assert (await admin.call("about")).status == 401
    server.reload(TOKENS)
    assert (await admin.call("about")).status == 200


async def test_while_the_server_has_no_tokens_one_of_this_run_logs_in() -> None:
    async for server in served(tokens=None):
        assert server.page_uri == f"http://127.0.0.1:{server.port}/dashboard/"
        person = Person(server)
        assert (await person.call("about")).status == 401
        assert (await person.log_in(secrets.token_urlsafe(24))).status == 401
        assert server.page_token is not None
        assert (await person.log_in(server.page_token)).status == 200
        assert (await person.call("about")).status == 200
        server.reload(TOKENS)
        assert (await person.call("about")).status == 401
        assert (await person.log_in(ADMIN)).status == 200


async def test_every_answer_keeps_the_page_to_itself(admin: Person) -> None:
    paths = [*FILES, "nothing", "api/about", "api/nothing", "api/sessions"]
    for path in paths:
        headers = (await admin.fetch(path, **{"NDB-Dashboard": "%7B%7D"})).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_the_page_has_nothing_inline_and_names_no_other_host(server: NdbServer) -> None:
    person = Person(server)
    for path in FILES:
        text = (await person.fetch(path)).body
        assert not re.search(r"(?<!\S)//\w|https?://(?!www\.w3\.org/)", text), path
        assert not re.search(r"\son\w+=|style=|<style|<script[^>]*>[^<]|innerHTML|eval\(", text), path


async def test_the_page_is_found_without_its_last_slash(server: NdbServer) -> None:
    answer = await fetch(server, "/dashboard?a=1")
    assert (answer.status, answer.headers["location"]) == (308, "dashboard/")


async def test_files_are_read_alone(server: NdbServer) -> None:
    person = Person(server)
    head = await person.fetch("dashboard.js", method="HEAD")
    assert (head.status, head.body) == (200, "")
    assert int(head.headers["content-length"]) > 1000
    for path in FILES:
        answer = await person.fetch(path, method="POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    for path in ("..", "static/index.html", "../healthz", "%2e%2e/", "index.html"):
        assert (await person.fetch(path)).status == 404


async def test_each_call_has_one_method(admin: Person) -> None:
    for name in ("about", "figures", "schemas", "sessions", "session", "reveal", "end", "login", "logout"):
        right = METHODS.get(name, "GET")
        for method in {"GET", "POST", "PUT", "DELETE", "HEAD"} - {right}:
            answer = await admin.call(name, method=method)
            assert (answer.status, answer.headers["allow"]) == (405, right), (name, method)
    assert (await admin.call("nothing")).status == 404


async def test_a_call_of_another_site_is_refused(server: NdbServer, admin: Person) -> None:
    own = f"http://127.0.0.1:{server.port}"
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site", "Origin": own}):
        for name in ("about", "reveal", "end", "login", "logout"):
            answer = await admin.call_with(name, headers)
            assert (answer.status, message(answer)) == (403, "This call comes from a page of another site.")
    for headers in ({"Origin": own}, {"Sec-Fetch-Site": "same-origin"}, {}):
        assert (await admin.call_with("about", headers)).status == 200


@pytest.mark.parametrize(
    "arguments",
    ["", "%7B", "%5B%5D", "%7B%22id%22:7%7D", "%7B%22schema%22:%22a%22,%22more%22:1%7D", "%FF", "7", "%5B" * 1000],
)
async def test_wrong_arguments_are_refused_without_being_repeated(arguments: str, admin: Person) -> None:
    for name in ("sessions", "session"):
        answer = await admin.fetch(f"api/{name}", **{"NDB-Dashboard": arguments})
        assert (answer.status, message(answer)) == (400, "The header NDB-Dashboard holds wrong arguments.")
    answer = await admin.fetch("api/session")
    assert (answer.status, message(answer)) == (400, "The header NDB-Dashboard is missing or too long.")
    answer = await admin.fetch("api/session", **{"NDB-Dashboard": "x" * 5000})
    assert answer.status == 400


async def test_what_is_looked_for_needs_a_field_and_a_value(server: NdbServer, admin: Person) -> None:
    for field, value in (("", "7"), ("user_id", " "), ("x" * 201, "7"), ("user_id", "7" * 1001)):
        answer = await admin.call("sessions", schema="DashboardVisitor", field=field, value=value)
        assert (answer.status, message(answer)) == (400, "Give a field and a value to look for.")


async def test_a_name_of_no_session_is_told(server: NdbServer, admin: Person) -> None:
    await a_visitor(server)
    for name in ("session", "reveal"):
        answer = await admin.call(name, id="A" * 22)
        assert answer.status == 404
    assert (await admin.call("sessions", schema="DashboardVisitor", after="A" * 22)).status == 404


async def test_values_are_hidden_until_they_are_asked_for_and_that_is_logged(
    server: NdbServer, admin: Person, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = await a_visitor(server)
    name = await its_name(admin)
    answer = await admin.call("session", id=name)
    for canary in ("canary@example.org", "script", "the-type-says-so", "the-name-says-so", str(visitor.tkn)):
        assert canary not in answer.body
    assert "values" not in caplog.text
    with caplog.at_level(logging.WARNING):
        answer = await admin.call("reveal", id=name)
    assert "canary@example.org" in answer.body
    # The server knows no models: it goes by names.
    for canary in ("the-name-says-so", str(visitor.tkn)):
        assert canary not in answer.body
    (line,) = [record.getMessage() for record in caplog.records if "values" in record.getMessage()]
    shown = f"...{str(visitor.tkn)[-4:]}"
    assert line == f"an admin at 127.0.0.1 was shown the values of the session {shown} of 'DashboardVisitor'"


async def test_a_page_that_only_shows_ends_nothing(server: NdbServer, admin: Person) -> None:
    visitor = await a_visitor(server)
    answer = await admin.call("end", id=await its_name(admin))
    assert (answer.status, message(answer)) == (403, "This page only shows. It was started without writing.")
    assert (await admin.ask("about"))["write"] is False
    async with NdbClient.connect(server.uri, token=DATA) as client:
        assert await Repository(client, Visitor).exists(visitor.tkn)


async def test_a_page_that_may_write_ends_a_session_once_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    async for server in served(write=True):
        person = Person(server)
        await person.log_in(ADMIN)
        visitor = await a_visitor(server)
        name = await its_name(person)
        assert (await person.ask("end", id=name)) == {"ended": True}
        assert "has ended the session ..." in caplog.text
        assert str(visitor.tkn) not in caplog.text
        for call in ("end", "session"):
            answer = await person.call(call, id=name)
            assert (answer.status, message(answer)) == (404, "This session has ended.")
        async with NdbClient.connect(server.uri, token=DATA) as client:
            assert not await Repository(client, Visitor).exists(visitor.tkn)


async def test_no_token_is_logged_or_answered(server: NdbServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        person, wrong = Person(server), secrets.token_urlsafe(32)
        answers = [await person.log_in(wrong), await person.log_in(ADMIN), await person.call("about")]
    for token in (wrong, ADMIN, str(person.cookie)):
        assert token not in caplog.text
        assert all(token not in answer.body for answer in answers)
    assert "an admin at 127.0.0.1 has logged in" in caplog.text
    assert "a login to the status page was refused" in caplog.text


async def test_figures_move_with_what_clients_do(server: NdbServer, admin: Person) -> None:
    page = server._page  # noqa: SLF001 - to read figures now, not in two seconds
    assert page is not None
    about = await admin.ask("about")
    await admin.ask("figures")
    async with plain(server, additional_headers={"Authorization": f"Bearer {DATA}"}) as websocket:
        for _ in range(2):  # a request is counted after it was answered, and before the next one is
            await websocket.send('{"KV_COUNT":{}}')
            await websocket.recv()
        page.read()
        figures = await admin.ask("figures", after=0)
    assert {name for chart in about["charts"] for name, _ in chart["series"]} <= figures["series"].keys()
    assert figures["series"]["connections"][-1] == 1
    assert figures["facts"]["requests"] in (1, 2)
    assert figures["facts"]["workers"] is None
    assert await admin.ask("figures", after=figures["times"][-1]) | {"facts": None} == {
        "times": [],
        "series": {},
        "facts": None,
    }


def test_a_page_that_no_one_could_log_in_to_is_refused() -> None:
    for options, expected in (
        (ServerOptions(dashboard=True, tokens=Tokens([(Role.DATA, DATA)])), "no token is one's"),
        (ServerOptions(host="0.0.0.0", insecure=True, dashboard=True), "needs an admin's token"),
    ):
        with pytest.raises(InvalidArgumentError, match=expected):
            options.require_safe_page()
    with pytest.raises(InvalidArgumentError, match="set dashboard too"):
        ServerOptions(dashboard_write=True)


async def test_while_the_server_loads_the_page_waits() -> None:
    loaded = asyncio.Event()
    options = ServerOptions(port=0, tokens=TOKENS, dashboard=True)
    server = NdbServer(Engine(MemoryStore()), options, prepare=loaded.wait)
    starting = asyncio.create_task(server.start())
    while not server._background:  # noqa: ASYNC110, SLF001 - it listens then
        await asyncio.sleep(0)
    person = Person(server)
    answer = await person.log_in(ADMIN)
    assert (answer.status, message(answer)) == (503, "The server is not ready.")
    assert (await person.fetch("")).status == 200
    loaded.set()
    await starting
    assert (await person.log_in(ADMIN)).status == 200
    await server.stop()


async def test_a_client_still_connects_beside_the_page(server: NdbServer) -> None:
    async with NdbClient.connect(server.uri, token=ADMIN) as client:
        assert await client.kv_count() == 0
    assert json.loads((await Person(server).call("about")).body)["message"]
