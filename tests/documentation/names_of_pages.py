"""What pages use and do not define: the models, the repository and the requests that their readers have already."""

from __future__ import annotations

from typing import Final

_A_REPOSITORY: Final = """
from datetime import datetime, timedelta
from typing import Annotated
from ndb_models import *

class UserSession(SessionModel, schema="of the page"):
    username: str = "billy"
    email: str = ""
    roles: list[str] = []

client = NdbClient("memory://")
repo = Repository(client, UserSession)
session = await repo.save(UserSession())
tkn = session.tkn
"""

_A_REQUEST: Final = """
from types import SimpleNamespace
from starlette.responses import Response
from ndb_models import format_token

request = SimpleNamespace(cookies={})
response = Response()
"""

NAMES: Final = {
    "connection.md": {1: "from ndb_models import *\nclass Login(SessionModel):\n    user: str"},
    "credentials.md": {
        1: f"{_A_REPOSITORY}{_A_REQUEST}request.cookies['__Host-session'] = str(await repo.issue(session))"
    },
    "redis.md": {1: _A_REPOSITORY},
    "repository.md": {
        1: f"import logging\n{_A_REPOSITORY}{_A_REQUEST}",
        2: "data = {'username': 'billy', 'email': 'b@example.com', 'roles': []}\ntkn = session.tkn",
    },
    "verbs.md": {1: _A_REPOSITORY},
    "repeated_and_cancelled.md": {1: f"import asyncio\n{_A_REPOSITORY}"},
    "server_differences.md": {1: "from ndb_models import *"},
    "concurrent_changes.md": {1: _A_REPOSITORY},
    "knowing_sessions.md": {1: _A_REPOSITORY},
    "session_expiry.md": {1: _A_REPOSITORY},
    "stored_values.md": {1: _A_REPOSITORY},
    "sqlite.md": {1: _A_REPOSITORY},
    "web.md": {2: "session = await sessions.repo.save(UserSession())"},
    "websockets.md": {
        1: """
from fastapi import FastAPI, WebSocket
from ndb_models import SessionModel
from ndb_models.web import WebSessions

class UserSession(SessionModel):
    name: str

sessions = WebSessions("memory://", UserSession)
app = FastAPI()
"""
    },
}
"""Code to run before the blocks of a page, by the name of the page and the number of the block."""
