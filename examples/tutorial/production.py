"""The shop in production: the environment says where its sessions live. Run it: uvicorn production:app."""

import os
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from ndb_models import Expiry, Lookup, SessionModel
from ndb_models.web import Principal, WebSessions


class ShopSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(hours=24)), track=60):
    user_id: Annotated[int, Principal(), Lookup(limit=5)]
    username: str
    cart: dict[str, int] = {}


sessions = WebSessions(
    os.environ.get("SHOP_SESSIONS", "sqlite:///sessions.db"),
    ShopSession,
    token=os.environ.get("SHOP_TOKEN"),
    renew_every=timedelta(hours=1),
    development="SHOP_DEVELOPMENT" in os.environ,
)
app = FastAPI(middleware=[sessions.middleware])
app.add_route("/readyz", sessions.readyz)


@app.post("/login")
async def login(request: Request, user_id: int, username: str) -> None:
    await sessions.login(request, ShopSession(user_id=user_id, username=username))


@app.post("/cart/{item}")
async def add(item: str, user: Annotated[ShopSession, Depends(sessions.current)]) -> dict[str, int]:
    user.cart[item] = user.cart.get(item, 0) + 1
    return user.cart


@app.post("/logout")
async def logout(request: Request) -> bool:
    return await sessions.logout(request)
