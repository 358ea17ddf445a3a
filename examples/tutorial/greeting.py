"""A page that greets its user by name. Run it: uvicorn greeting:app."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.middleware import Middleware

from ndb_models import SessionModel
from ndb_models.web import SessionMiddleware, WebSessions


class Visitor(SessionModel):
    name: str


sessions = WebSessions("memory://", Visitor, development=True)
app = FastAPI(lifespan=sessions.lifespan, middleware=[Middleware(SessionMiddleware, sessions=sessions)])


@app.post("/login")
async def login(request: Request, name: str) -> None:
    await sessions.login(request, Visitor(name=name))


@app.get("/")
async def greet(visitor: Annotated[Visitor, Depends(sessions.current)]) -> str:
    return f"Hello, {visitor.name}!"
