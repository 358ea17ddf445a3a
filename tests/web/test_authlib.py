"""Authlib's Starlette client runs unchanged on sessions of ours: a login at another provider, there and back."""

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import httpx2
import pytest
from authlib.integrations.base_client.errors import MismatchingStateError  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.starlette_client import OAuth  # type: ignore[import-untyped]  # as above
from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse

from ndb_models import Expiry, SessionModel
from ndb_models.web import Principal, SessionMiddleware, WebSessions
from tests.web.browsers import Browser

PROVIDER: Final = "https://provider.example"


class OAuthSession(SessionModel, schema="web.authlib", extra="allow", expiry=Expiry(idle=600)):
    user: Annotated[str | None, Principal()] = None


def provider() -> FastAPI:
    """Return a provider of logins that lets everyone in, and insists on PKCE."""
    app = FastAPI()
    challenges: dict[str, str] = {}

    @app.get("/authorize")
    async def authorize(redirect_uri: str, state: str, code_challenge: str) -> RedirectResponse:
        code = f"code-{len(challenges)}"
        challenges[code] = code_challenge
        return RedirectResponse(f"{redirect_uri}?{urlencode({'code': code, 'state': state})}")

    @app.post("/token")
    async def token(code: Annotated[str, Form()], code_verifier: Annotated[str, Form()]) -> Any:
        digest = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).decode().rstrip("=")
        if challenges.pop(code, None) != digest:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return {"access_token": "for-ada", "token_type": "Bearer", "expires_in": 3600}

    @app.get("/me")
    async def me(request: Request) -> Any:
        assert request.headers["authorization"] == "Bearer for-ada"
        return {"login": "ada"}

    return app


def shop(sessions: WebSessions[OAuthSession], logins: FastAPI) -> FastAPI:
    oauth: Any = OAuth()
    oauth.register(
        "provider",
        client_id="shop",
        client_secret="secret",
        authorize_url=f"{PROVIDER}/authorize",
        access_token_url=f"{PROVIDER}/token",
        api_base_url=f"{PROVIDER}/",
        client_kwargs={"code_challenge_method": "S256", "transport": httpx2.ASGITransport(logins)},
    )
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(SessionMiddleware, sessions=sessions)

    @app.get("/login")
    async def login(request: Request) -> Any:
        return await oauth.provider.authorize_redirect(request, "https://shop.example/callback")

    @app.get("/callback")
    async def callback(request: Request) -> Any:
        token = await oauth.provider.authorize_access_token(request)
        profile = await oauth.provider.get("me", token=token)
        request.session["user"] = profile.json()["login"]
        return request.session

    @app.get("/me")
    async def me(request: Request) -> Any:
        return request.session

    return app


@pytest.fixture
def logins() -> FastAPI:
    return provider()


@pytest.fixture(params=["memory://", "sqlite"])
async def browser(request: pytest.FixtureRequest, logins: FastAPI, tmp_path: Any) -> AsyncIterator[Browser]:
    store = request.param if request.param != "sqlite" else f"sqlite:///{tmp_path}/sessions.db"
    sessions = WebSessions(store, OAuthSession)
    async with sessions.lifespan(), Browser(shop(sessions, logins), raises=True) as browser:
        yield browser


async def back_from_provider(logins: FastAPI, there: httpx.Response) -> str:
    """Go to the provider as a browser does, and return where it sends the browser."""
    assert there.status_code == 302
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(logins)) as browser:
        return str((await browser.get(there.headers["location"])).headers["location"])


async def test_a_user_logs_in_at_another_provider(browser: Browser, logins: FastAPI) -> None:
    there = await browser.get("/login")
    before = browser.cookie
    assert before is not None
    state = parse_qs(urlsplit(there.headers["location"]).query)["state"][0]
    assert f"_state_provider_{state}" in (await browser.get("/me")).json()

    logged_in = await browser.get(await back_from_provider(logins, there))
    assert logged_in.json() == {"user": "ada"}
    assert (await browser.get("/me")).json() == {"user": "ada"}
    assert browser.cookie != before
    browser.cookie = before
    assert (await browser.get("/me")).json() == {}


async def test_a_second_login_takes_the_place_of_one_that_was_begun(browser: Browser, logins: FastAPI) -> None:
    await browser.get("/login")
    there = await browser.get("/login")
    assert len((await browser.get("/me")).json()) == 1
    assert (await browser.get(await back_from_provider(logins, there))).json() == {"user": "ada"}


async def test_the_answer_to_another_browsers_login_is_refused(browser: Browser, logins: FastAPI) -> None:
    back = await back_from_provider(logins, await browser.get("/login"))
    victim_cookie = browser.cookie
    browser.cookie = None
    with pytest.raises(MismatchingStateError):
        await browser.get(back)
    assert browser.cookie is None
    browser.cookie = victim_cookie
    assert (await browser.get(back)).json() == {"user": "ada"}
    with pytest.raises(MismatchingStateError):  # a state is used once
        await browser.get(back)
