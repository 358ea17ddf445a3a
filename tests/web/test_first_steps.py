"""An application logs in, changes its session and logs out."""

from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from ndb_models import Expiry, SessionModel
from ndb_models.web import Principal, SessionMiddleware, WebSessions
from tests.web.browsers import Browser, max_age, set_cookie

WEEK = timedelta(days=7)


class ShopSession(SessionModel, schema="web.first-steps", expiry=Expiry(idle=timedelta(minutes=30), absolute=WEEK)):
    user: Annotated[int | None, Principal()] = None
    cart: dict[str, int] = {}


def shop(sessions: WebSessions[ShopSession]) -> FastAPI:
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(SessionMiddleware, sessions=sessions)

    @app.post("/login")
    async def login(request: Request, user: int) -> None:
        await sessions.login(request, ShopSession(user=user))

    @app.post("/cart/{item}")
    def add(item: str, session: Annotated[ShopSession, Depends(sessions.current)]) -> dict[str, int]:
        session.cart[item] = 1
        return session.cart

    @app.post("/logout")
    async def logout(request: Request) -> bool:
        return await sessions.logout(request)

    return app


async def test_a_user_logs_in_fills_a_cart_and_logs_out() -> None:
    sessions = WebSessions("memory://", ShopSession)
    async with sessions.lifespan(), Browser(shop(sessions)) as browser:
        refused = await browser.post("/cart/apple")
        assert refused.status_code == 401
        assert set_cookie(refused) is None
        assert refused.headers["vary"] == "Cookie"

        logged_in = await browser.post("/login?user=7")
        assert logged_in.status_code == 200
        assert WEEK.total_seconds() - 2 <= (max_age(logged_in) or 0) <= WEEK.total_seconds()
        assert (set_cookie(logged_in) or "").endswith("; Path=/; HttpOnly; Secure; SameSite=Lax")
        assert logged_in.headers["cache-control"] == "private"

        assert (await browser.post("/cart/apple")).json() == {"apple": 1}
        added = await browser.post("/cart/pear")
        assert added.json() == {"apple": 1, "pear": 1}
        assert set_cookie(added) is None

        logged_out = await browser.post("/logout")
        assert logged_out.json() is True
        assert browser.cookie is None
        assert (await browser.post("/cart/apple")).status_code == 401
