"""A person at the page, without a browser."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from ndb_models.server import NdbServer
from tests.server.http_client import Answer, fetch

METHODS = {"reveal": "POST", "end": "POST", "login": "POST", "logout": "POST"}
CALLS = ("about", "figures", "schemas", "sessions", "session", "reveal", "end", "logout")


class Person:
    """Makes calls of the page, with the cookie of a login if there is one."""

    def __init__(self, server: NdbServer | int) -> None:
        self.server = server
        self.cookie: str | None = None

    async def fetch(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask for something below the page."""
        if self.cookie is not None:
            headers["Cookie"] = self.cookie
        return await fetch(self.server, f"/dashboard/{path}", method=method, **headers)

    async def call(self, name: str, *, method: str | None = None, **arguments: Any) -> Answer:
        """Make a call, as the page's script does."""
        return await self.call_with(name, {}, method=method, **arguments)

    async def call_with(
        self, name: str, headers: dict[str, str], *, method: str | None = None, **arguments: Any
    ) -> Answer:
        """Make a call with further headers."""
        headers = {"NDB-Dashboard": quote(json.dumps(arguments)), **headers}
        return await self.fetch(f"api/{name}", method=method or METHODS.get(name, "GET"), **headers)

    async def ask(self, name: str, **arguments: Any) -> Any:
        """Make a call that succeeds, and return what it answers."""
        answer = await self.call(name, **arguments)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    async def log_in(self, token: str, **headers: str) -> Answer:
        """Log in with a token, and keep the cookie."""
        answer = await self.call_with("login", {"Authorization": f"Bearer {token}", **headers})
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer


def message(answer: Answer) -> str:
    """Return the message of a refusal."""
    text: str = json.loads(answer.body)["message"]
    return text
