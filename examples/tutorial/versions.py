"""A session that changed: version 2 reads what version 1 stored. Run it: uvicorn versions:app."""

from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from ndb_models import Expiry, JsonValue, Lookup, SessionModel
from ndb_models.web import Principal, WebSessions


class UserSession(
    SessionModel,
    version=2,
    expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(days=7)),
    track=timedelta(minutes=1),
):
    user_id: Annotated[int, Principal(), Lookup(limit=5)]
    username: str
    browser: str = ""
    cart: dict[str, int] = {}


@UserSession.upgrade(1)
def name_became_username(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    keys["username"] = keys.pop("name")
    return keys


sessions = WebSessions("sqlite:///sessions.db", UserSession, development=True)
app = FastAPI(middleware=[sessions.middleware])


@app.post("/login")
async def login(request: Request, user_id: int, username: str) -> None:
    browser = request.headers.get("user-agent", "")[:100]
    await sessions.login(request, UserSession(user_id=user_id, username=username, browser=browser))


@app.get("/")
async def greet(user: Annotated[UserSession, Depends(sessions.current)]) -> str:
    return f"Hello, {user.username}!"


@app.post("/cart/{item}")
async def add(item: str, user: Annotated[UserSession, Depends(sessions.current)]) -> dict[str, int]:
    user.cart[item] = user.cart.get(item, 0) + 1
    return user.cart


@app.post("/logout")
async def logout(request: Request) -> bool:
    return await sessions.logout(request)
