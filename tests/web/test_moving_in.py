"""Users of an application that had Starlette's middleware stay logged in when it moves, and a logout is a logout."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import itsdangerous
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket
from starlette.middleware.sessions import SessionMiddleware as StarlettesMiddleware
from starlette.types import Message

from ndb_models import Expiry, InvalidArgumentError, Lookup, NdbClient, Repository, SessionModel
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from ndb_models.web import CookieSettings, Principal, SessionMiddleware, StarletteCookie, WebSessions
from ndb_models.web.adoption import AdoptedCookie
from tests.conftest import VirtualClock
from tests.web.browsers import Browser

SECRET: Final = "the secret of the old middleware"
DAY: Final = 86400


class MovedSession(SessionModel, schema="web.moved", extra="allow", expiry=Expiry(idle=DAY)):
    user: Annotated[str | None, Principal()] = None


class TypedMoved(SessionModel, schema="web.moved.typed"):
    user_id: Annotated[int, Principal(), Lookup()]
    cart: dict[str, int] = {}


class FurtherMoved(TypedMoved, schema="web.moved.further"):
    pass


class LimitedMoved(SessionModel, schema="web.moved.limited", expiry=Expiry(idle=DAY)):
    user_id: Annotated[int, Lookup(limit=1)]


class UniqueMoved(SessionModel, schema="web.moved.unique", expiry=Expiry(idle=DAY)):
    user_id: Annotated[int, Lookup(unique=True)]


def old_application() -> Any:
    """Return the application before it moved."""
    app = FastAPI()

    @app.post("/fill")
    async def fill(request: Request) -> None:
        request.session.update(await request.json())

    return StarlettesMiddleware(app, SECRET, https_only=True)


def application(sessions: WebSessions[Any]) -> FastAPI:
    """Return the application since it has moved."""
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(SessionMiddleware, sessions=sessions)

    @app.get("/me")
    async def me(session: Annotated[Any, Depends(sessions.current)]) -> Any:
        return session.model_dump()

    @app.post("/fail")
    async def fail(session: Annotated[Any, Depends(sessions.current)]) -> Any:
        raise ZeroDivisionError

    @app.post("/failing-login")
    async def failing_login(request: Request) -> Any:
        await sessions.login(request, sessions.model.model_validate({"user": "eve"}))
        raise HTTPException(422)

    @app.post("/login")
    async def login(request: Request) -> Any:
        await sessions.login(request, sessions.model.model_validate({"user": "eve"}))

    @app.get("/untouched")
    async def untouched() -> Any:
        return {}

    @app.post("/logout")
    async def logout(request: Request) -> bool:
        return await sessions.logout(request)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, late: bool = False) -> None:
        if late:
            await websocket.accept()
        session = await sessions.optional(websocket)
        if not late:
            await websocket.accept()
        await websocket.send_json(None if session is None else session.model_dump())
        await websocket.close()

    return app


async def old_cookie(**content: Any) -> str:
    """Return a cookie that the application set before it moved."""
    async with Browser(old_application()) as browser:
        await browser.post("/fill", json=content)
        return str(browser.cookies.get("session"))


def signed(content: bytes, at: float) -> str:
    class Signer(itsdangerous.TimestampSigner):
        def get_timestamp(self) -> int:
            return int(at)

    return Signer(SECRET).sign(b64encode(content)).decode()


@asynccontextmanager
async def moved(sessions: WebSessions[Any], *old: str) -> AsyncIterator[list[Browser]]:
    """Give browsers of the application since it has moved, with their cookies from before."""
    app = application(sessions)
    browsers = [Browser(app) for _ in old]
    for browser, cookie in zip(browsers, old, strict=True):
        browser.cookies.set("session", cookie, domain="shop.example", path="/")
    async with sessions.lifespan():
        yield browsers
        for browser in browsers:
            await browser.aclose()


def adopting(store: NdbClient | str = "memory://", **options: Any) -> WebSessions[MovedSession]:
    return WebSessions(store, MovedSession, adopt=StarletteCookie(SECRET, https_only=True), **options)


def names(browser: Browser) -> set[str]:
    return {cookie.name for cookie in browser.cookies.jar}


async def count(repo: Repository[Any]) -> int:
    """Return the number of sessions of a class."""
    return len([session async for session in repo.sessions()])


async def test_a_user_stays_logged_in_with_all_that_the_session_had(client: NdbClient) -> None:
    cookie = await old_cookie(user="ada", cart=[1, {"näme": None}])
    async with moved(adopting(client), cookie) as [browser]:
        first = await browser.get("/me")
        assert first.json() == {"user": "ada", "cart": [1, {"näme": None}]}
        assert names(browser) == {"__Host-session"}
        assert first.headers["cache-control"] == "private"
        ours, removed = first.headers.get_list("set-cookie")
        assert ours.startswith("__Host-session=")
        assert "Max-Age=" in ours
        assert removed.startswith("session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly")
        again = await browser.get("/me")
        assert again.json() == first.json()
        assert "set-cookie" not in again.headers


async def test_a_typed_session_is_made_of_what_fits_it() -> None:
    sessions = WebSessions("memory://", TypedMoved, adopt=StarletteCookie(SECRET))
    async with moved(sessions, await old_cookie(user_id=7, cart={"apple": 1}, other="dropped")) as [browser]:
        assert (await browser.get("/me")).json() == {"user_id": 7, "cart": {"apple": 1}}


async def test_to_model_makes_sessions_of_content_in_another_shape() -> None:
    def to_model(content: dict[str, Any]) -> TypedMoved | None:
        return TypedMoved(user_id=content["user"]["id"]) if "user" in content else None

    sessions = WebSessions("memory://", TypedMoved, adopt=StarletteCookie(SECRET, to_model=to_model))
    cookies = [await old_cookie(user={"id": 7}), await old_cookie(visits=1)]
    async with moved(sessions, *cookies) as [user, visitor]:
        assert (await user.get("/me")).json() == {"user_id": 7, "cart": {}}
        assert (await visitor.get("/me")).status_code == 401
        assert names(visitor) == {"session"}


@pytest.mark.parametrize(
    "to_model",
    [
        lambda content: content["missing"],
        lambda content: TypedMoved.model_validate(content),
        lambda content: 1 / 0,
        lambda content: "canary",
        lambda content: MovedSession(user="canary"),
        lambda content: FurtherMoved(user_id=7),
        None,
    ],
)
async def test_content_that_does_not_fit_is_no_session_and_no_error(
    to_model: Callable[[dict[str, Any]], Any] | None, client: NdbClient, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = WebSessions(client, TypedMoved, adopt=StarletteCookie(SECRET, to_model=to_model))
    async with moved(sessions, await old_cookie(user_id="canary")) as [browser]:
        for _ in range(3):
            assert (await browser.get("/me")).status_code == 401
        assert names(browser) == {"session"}  # a release that is mended may still carry it over
    assert await client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}
    messages = [record.getMessage() for record in caplog.records if record.name == "ndb_models.web"]
    assert len(messages) == 1
    assert "canary" not in messages[0]


async def test_a_tampered_or_expired_cookie_is_no_session_and_is_removed() -> None:
    genuine = await old_cookie(user="ada")
    old = signed(b'{"user": "ada"}', 1_000_000_000)
    nothing = [signed(b"nonsense", 1_700_000_000), "nonsense", "null", genuine[:-4] + "AAAA", old]
    async with moved(adopting(), *nothing) as browsers:
        for browser in browsers:
            assert (await browser.get("/me")).status_code == 401
            assert names(browser) == set()


async def test_a_request_that_touches_no_session_leaves_the_old_cookie(client: NdbClient) -> None:
    async with moved(adopting(client, request_session=False), await old_cookie(user="ada")) as [browser]:
        untouched = await browser.get("/untouched")
        assert "set-cookie" not in untouched.headers
        assert (await client.sh_info_all())["totalSessions"] == 0
        assert (await browser.get("/me")).json() == {"user": "ada"}


async def test_where_the_dict_is_wanted_the_first_request_brings_the_new_cookie() -> None:
    async with moved(adopting(), await old_cookie(user="ada")) as [browser]:
        await browser.get("/untouched")
        assert names(browser) == {"__Host-session"}
        assert (await browser.get("/me")).json() == {"user": "ada"}


# Once


async def test_after_the_logout_the_old_cookie_opens_nothing(client: NdbClient) -> None:
    cookie = await old_cookie(user="ada")
    sessions = adopting(client)
    async with moved(sessions, cookie, cookie, respelled(cookie)) as [browser, thief, other]:
        await browser.get("/me")
        assert (await browser.post("/logout")).json() is True
        for _ in range(2):
            for each in (thief, other):
                assert (await each.get("/me")).status_code == 401
                each.cookies.set("session", cookie, domain="shop.example", path="/")
        assert await count(sessions.repo) == 0
        assert await count(Repository(client, AdoptedCookie)) == 1


async def test_on_a_nemesisdb_users_move_and_log_out_too(nemesisdb_client: NdbClient) -> None:
    cookie = await old_cookie(user="ada", cart=["apple"])
    async with moved(adopting(nemesisdb_client), *[cookie] * 4) as [browser, *others, thief]:
        answers = await asyncio.gather(*(each.get("/me") for each in (browser, *others)))
        assert [answer.json() for answer in answers] == [{"user": "ada", "cart": ["apple"]}] * 3
        assert (await browser.post("/logout")).json() is True
        assert (await thief.get("/me")).status_code == 401


def respelled(cookie: str) -> str:
    """Return a cookie with another spelling of its signature, which the old middleware takes too."""
    assert itsdangerous.TimestampSigner(SECRET).unsign(cookie + "=") is not None
    return cookie + "="


async def test_for_the_grace_period_the_old_cookie_opens_the_same_session_and_no_longer(clock: VirtualClock) -> None:
    clock.now = 1_800_000_000.0
    cookie = signed(b'{"user": "ada"}', clock.now - 100)
    engine = Engine(MemoryStore(clock=clock))
    async with served(engine) as client, moved(adopting(client, clock=clock), *[cookie] * 3) as [one, lost, late]:
        assert (await one.get("/me")).json() == {"user": "ada"}
        clock.move(29)
        assert (await lost.get("/me")).json() == {"user": "ada"}
        assert lost.cookie == one.cookie
        assert names(lost) == {"__Host-session"}
        clock.move(2)
        assert (await late.get("/me")).status_code == 401
        assert names(late) == set()
        assert (await one.get("/me")).status_code == 200


async def test_the_note_of_an_old_cookie_ends_with_the_cookie(clock: VirtualClock) -> None:
    clock.now = 1_800_000_000.0
    cookie = signed(b'{"user": "ada"}', clock.now - 13 * DAY)
    engine = Engine(MemoryStore(clock=clock))
    async with served(engine) as client, moved(adopting(client, clock=clock), cookie, cookie) as [browser, thief]:
        await browser.get("/me")
        await browser.post("/logout")
        clock.move(DAY - 1)
        assert (await thief.get("/me")).status_code == 401
        assert await count(Repository(client, AdoptedCookie, clock=clock)) == 1
        clock.move(120)
        thief.cookies.set("session", cookie, domain="shop.example", path="/")
        assert (await thief.get("/me")).status_code == 401
        assert await count(Repository(client, AdoptedCookie, clock=clock)) == 0


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[NdbClient]:
    server = NdbServer(engine, ServerOptions(port=0))
    async with server, NdbClient.connect(server.uri) as client:
        yield client


async def test_requests_at_the_same_time_make_one_session(client: NdbClient) -> None:
    cookie = await old_cookie(user="ada")
    sessions = adopting(client)
    async with moved(sessions, *[cookie] * 8) as browsers:
        answers = await asyncio.gather(*(browser.get("/me") for browser in browsers))
        assert [answer.json() for answer in answers] == [{"user": "ada"}] * 8
        assert len({browser.cookie for browser in browsers}) == 1
        assert await count(sessions.repo) == 1


async def test_requests_at_the_same_time_do_not_end_each_others_session() -> None:
    cookie = await old_cookie(user_id=7)
    for model in (LimitedMoved, UniqueMoved):
        sessions: WebSessions[Any] = WebSessions("memory://", model, adopt=StarletteCookie(SECRET))
        async with moved(sessions, *[cookie] * 5) as browsers:
            answers = await asyncio.gather(*(browser.get("/me") for browser in browsers))
            assert [answer.status_code for answer in answers] == [200] * 5
            assert (await browsers[0].get("/me")).status_code == 200


async def test_a_user_with_another_session_of_a_unique_value_is_moved_once_that_has_ended() -> None:
    sessions: WebSessions[Any] = WebSessions("memory://", UniqueMoved, adopt=StarletteCookie(SECRET))
    cookie = await old_cookie(user_id=7)
    async with moved(sessions, cookie, cookie) as [browser, later]:
        other = await sessions.repo.save(UniqueMoved(user_id=7))
        assert (await browser.get("/me")).status_code == 401
        assert names(browser) == set()
        await sessions.repo.delete(other.tkn)
        assert (await later.get("/me")).json() == {"user_id": 7}


async def test_a_logout_alone_spends_the_old_cookie() -> None:
    cookie = await old_cookie(user="ada")
    async with moved(adopting(), cookie, cookie) as [browser, thief]:
        assert (await browser.post("/logout")).json() is True
        assert names(browser) == set()
        assert (await thief.get("/me")).status_code == 401


async def test_a_logout_spends_an_old_cookie_beside_ours() -> None:
    """An instance of the release before may set it while both run."""
    mine, theirs = await old_cookie(user="ada"), await old_cookie(user="ada", again=1)
    async with moved(adopting(), mine, theirs) as [browser, thief]:
        await browser.get("/me")
        browser.cookies.set("session", theirs, domain="shop.example", path="/")
        assert (await browser.get("/me")).json() == {"user": "ada"}
        assert names(browser) == {"__Host-session", "session"}
        await browser.post("/logout")
        assert names(browser) == set()
        assert (await thief.get("/me")).status_code == 401


async def test_a_request_that_fails_moves_the_user_all_the_same() -> None:
    async with moved(adopting(), *[await old_cookie(user=name) for name in ("ada", "bob")]) as [one, other]:
        assert (await one.post("/fail")).status_code == 500  # answered behind the middleware: without a cookie
        assert (await one.get("/me")).json() == {"user": "ada"}
        assert (await other.post("/failing-login")).status_code == 422
        assert names(other) == {"__Host-session"}
        assert (await other.get("/me")).json() == {"user": "bob"}


async def test_a_login_takes_the_place_of_the_session_that_was_moved(client: NdbClient) -> None:
    sessions = adopting(client)
    async with moved(sessions, await old_cookie(user="ada")) as [browser]:
        assert (await browser.post("/login")).status_code == 200
        assert names(browser) == {"__Host-session"}
        assert (await browser.get("/me")).json() == {"user": "eve"}
        assert await count(sessions.repo) == 1


async def test_a_move_that_died_halfway_is_done_by_a_later_request(clock: VirtualClock) -> None:
    clock.now = 1_800_000_000.0
    cookie = signed(b'{"user": "ada"}', clock.now)
    engine = Engine(MemoryStore(clock=clock))
    async with served(engine) as client:
        sessions = adopting(client, clock=clock)
        assert sessions.adoption is not None
        old = sessions.adoption.cookie.opened([(b"cookie", f"session={cookie}".encode())], clock.now)
        assert old is not None
        await Repository(client, AdoptedCookie, clock=clock).save(AdoptedCookie(digest=old.digest, at=clock.now))
        clock.move(11)
        async with moved(sessions, cookie) as [browser]:
            assert (await browser.get("/me")).json() == {"user": "ada"}


async def test_while_the_store_is_away_the_old_cookie_is_kept() -> None:
    server = NdbServer(Engine(MemoryStore()), ServerOptions(port=0))
    await server.start()
    async with NdbClient.connect(server.uri, connect_wait=0.1) as client:
        sessions, cookie = adopting(client), await old_cookie(user="ada")
        async with moved(sessions, cookie) as [browser]:
            await server.stop()
            away = await browser.get("/me")
            assert (away.status_code, "set-cookie" in away.headers) == (503, False)


async def test_the_store_holds_neither_the_cookie_nor_the_credential(client: NdbClient) -> None:
    cookie = await old_cookie(user="ada")
    async with moved(adopting(client), cookie) as [browser]:
        await browser.get("/me")
        notes = Repository(client, AdoptedCookie)
        [note] = [each async for each in notes.sessions()]
        assert isinstance(note, AdoptedCookie)
        stored = str(await notes.raw(note.tkn))
        for secret in (cookie, cookie.rpartition(".")[2], str(browser.cookie), str(browser.cookie)[11:]):
            assert secret not in stored


async def test_an_old_cookie_counts_for_the_csrf_check() -> None:
    async with moved(adopting(), await old_cookie(user="ada")) as [browser]:
        refused = await browser.post("/logout", headers={"origin": "https://evil.example"})
        assert refused.status_code == 403
        assert (await browser.get("/me")).json() == {"user": "ada"}


async def test_in_development_our_cookie_takes_the_place_of_one_with_the_same_name() -> None:
    sessions: WebSessions[Any] = WebSessions("memory://", MovedSession, development=True, adopt=StarletteCookie(SECRET))
    async with sessions.lifespan(), Browser(application(sessions), base_url="http://localhost") as browser:
        cookie = await old_cookie(user="ada")
        first = await browser.get("/me", headers={"cookie": f"session={cookie}"})
        assert first.json() == {"user": "ada"}
        [header] = first.headers.get_list("set-cookie")
        ours = header.partition(";")[0]
        assert ours.startswith("session=")
        assert (await browser.get("/me", headers={"cookie": ours})).json() == {"user": "ada"}
        tampered = await browser.get("/me", headers={"cookie": f"session={cookie}x"})
        assert tampered.status_code == 401
        assert len(tampered.headers.get_list("set-cookie")) == 1


async def test_a_cookie_with_our_name_and_a_domain_is_another_cookie() -> None:
    cookie = StarletteCookie(SECRET, cookie="app", domain="shop.example")
    sessions: WebSessions[Any] = WebSessions("memory://", MovedSession, cookie=CookieSettings(name="app"), adopt=cookie)
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        first = await browser.get("/me", headers={"cookie": f"app={await old_cookie(user='ada')}"})
        assert [header.partition("=")[0] for header in first.headers.get_list("set-cookie")] == ["app", "app"]
        assert "domain=shop.example" in first.headers.get_list("set-cookie")[1]


async def test_a_websocket_moves_a_user_as_it_is_accepted_and_not_later() -> None:
    cookies = [await old_cookie(user=name) for name in ("ada", "bob")]
    sessions = adopting(request_session=False)
    async with moved(sessions, *cookies) as browsers:
        app = application(sessions)
        early, late = await messages(app, cookies[0], b""), await messages(app, cookies[1], b"late=true")
        assert "ada" in early[1]["text"]
        assert [name for name, _ in early[0]["headers"]].count(b"set-cookie") == 2
        assert late[1]["text"] == "null"
        assert (await browsers[1].get("/me")).json() == {"user": "bob"}


async def messages(app: Any, cookie: str, query: bytes) -> list[Message]:
    """Return what an application sends to a WebSocket that says nothing."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"shop.example"), (b"cookie", f"session={cookie}".encode())]
    scope = {"type": "websocket", "scheme": "wss", "path": "/ws", "query_string": query, "headers": headers}
    await app(scope, receive, send)
    return sent


def test_anything_else_to_adopt_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgumentError, match="adopt="):
        WebSessions("memory://", MovedSession, adopt="secret")  # type: ignore[arg-type]  # the mistake
