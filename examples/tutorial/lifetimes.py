"""Sessions that end: by time, or by a logout. Run it: uvicorn lifetimes:app."""

from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from ndb_models import Expiry, SessionModel
from ndb_models.web import WebSessions


class Visitor(SessionModel, expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(days=7))):
    name: str
    visits: int = 0


sessions = WebSessions("sqlite:///sessions.db", Visitor, development=True)
app = FastAPI(middleware=[sessions.middleware])


@app.post("/login")
async def login(request: Request, name: str) -> None:
    await sessions.login(request, Visitor(name=name))


@app.get("/")
async def greet(visitor: Annotated[Visitor, Depends(sessions.current)]) -> str:
    visitor.visits += 1
    return f"Hello, {visitor.name}! Visit {visitor.visits}."


@app.post("/logout")
async def logout(request: Request) -> bool:
    return await sessions.logout(request)
