"""A page that greets its user by name. Run it: uvicorn greeting:app."""

from fastapi import FastAPI, Request

from ndb_models.web import SessionModel, WebSessions


class Visitor(SessionModel):
    name: str


sessions = WebSessions("memory://", Visitor, development=True)
app = FastAPI(middleware=[sessions.middleware])


@app.api_route("/", methods=["GET", "POST"], include_in_schema=False)
async def greet(request: Request, new: Visitor | None = None) -> str:
    visitor = await sessions.login(request, new) if new else await sessions.current(request)
    return f"Hello, {visitor.name}!"
