"""What type checkers see of web sessions. Checked, and never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI, Request
from starlette.requests import HTTPConnection

from ndb_models import Repository, SessionModel
from ndb_models.web import CookieSettings, Device, Principal, SessionMiddleware, WebSessions


class UserSession(SessionModel, schema="typing.web"):
    user_id: Annotated[int | None, Principal()] = None


sessions = WebSessions("memory://", UserSession, cookie=CookieSettings(name="__Host-shop"))
app = FastAPI(lifespan=sessions.lifespan)
app.add_middleware(SessionMiddleware, sessions=sessions)


@app.get("/")
async def home(
    request: Request,
    session: Annotated[UserSession, Depends(sessions.current)],
    perhaps: Annotated[UserSession | None, Depends(sessions.optional)],
) -> None:
    assert_type(sessions, WebSessions[UserSession])
    repo: Repository[UserSession] = sessions.repo
    assert_type(await repo.get(1), UserSession)
    assert_type(session.user_id, int | None)
    assert_type(await sessions.current(request), UserSession)
    assert_type(await sessions.optional(request), UserSession | None)
    assert_type(await sessions.login(request, UserSession(), remember=True), UserSession)
    assert_type(await sessions.logout(request), bool)
    assert_type(await sessions.devices(request), list[Device[UserSession]])
    assert_type([each.session for each in await sessions.devices(request)], list[UserSession])
    assert_type(sessions.require_fresh(minutes=5), Callable[[HTTPConnection], Awaitable[UserSession]])
    assert perhaps is session
