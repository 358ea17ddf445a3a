"""The shop in production: the environment says where its sessions live. Run it: uvicorn production:app."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from ndb_models import Expiry, Lookup, NdbClient, SessionModel
from ndb_models.web import Principal, WebSessions


class ShopSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(hours=24)), track=60):
    user_id: Annotated[int, Principal(), Lookup(limit=5)]
    username: str
    cart: dict[str, int] = {}


client = NdbClient(
    os.environ.get("SHOP_SESSIONS", "sqlite:///sessions.db"),
    token=os.environ.get("SHOP_TOKEN"),
    connect_wait=1,  # in an outage, answer 503 after a second
)
sessions = WebSessions(
    client, ShopSession, renew_every=timedelta(hours=1), development="SHOP_DEVELOPMENT" in os.environ
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with client:
        yield


app = FastAPI(lifespan=lifespan, middleware=[sessions.middleware])
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
