"""A user sees where she is logged in, and logs another device out. Run it: uvicorn devices_app:app."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from ndb_models import Expiry, Lookup, SessionModel
from ndb_models.web import Principal, WebSessions


class UserSession(
    SessionModel,
    expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(days=7)),
    track=timedelta(minutes=1),
):
    user_id: Annotated[int, Principal(), Lookup(limit=5)]
    name: str
    browser: str = ""


class DeviceView(BaseModel):
    id: str | None
    browser: str
    used: datetime | None
    current: bool


sessions = WebSessions("sqlite:///sessions.db", UserSession, development=True)
app = FastAPI(middleware=[sessions.middleware])


@app.post("/login")
async def login(request: Request, user_id: int, name: str) -> None:
    browser = request.headers.get("user-agent", "")[:100]
    await sessions.login(request, UserSession(user_id=user_id, name=name, browser=browser))


@app.get("/")
async def greet(user: Annotated[UserSession, Depends(sessions.current)]) -> str:
    return f"Hello, {user.name}!"


@app.get("/devices")
async def devices(request: Request) -> list[DeviceView]:
    return [
        DeviceView(id=device.public_id, browser=device.session.browser, used=device.used, current=device.is_current)
        for device in await sessions.devices(request)
    ]


@app.post("/devices/{public_id}/end")
async def end_device(request: Request, public_id: str) -> None:
    if not await sessions.revoke(request, public_id):
        raise HTTPException(404, "no such device")


@app.post("/logout-others")
async def logout_others(request: Request) -> int:
    return await sessions.logout_others(request)
