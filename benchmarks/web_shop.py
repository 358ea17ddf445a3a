"""A shop with sessions, for `benchmarks.web_load`: `python -m benchmarks.web_shop PORT STORE-URI` runs it on uvicorn.

Each answer names the user of its session. With `?slow=SECONDS` an answer takes that long, after the change of the model
and before it is saved.
"""

# No `from __future__ import annotations`: FastAPI could not find a type that is local to a function.
import asyncio
import sys
from datetime import timedelta
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Request

from ndb_models import Expiry, Lookup, SessionModel
from ndb_models.web import Principal, WebSessions

DAY = Expiry(idle=timedelta(hours=1), absolute=timedelta(hours=24))


class Shopper(SessionModel, expiry=DAY, schema="benchmark-shopper"):
    """The session of one user in one browser."""

    user: Annotated[str, Principal(), Lookup()]
    role: Annotated[str, Principal()] = "customer"
    cart: dict[str, int] = {}


def shop(uri: str) -> FastAPI:
    """Return the application, with its sessions in the store at a URI."""
    sessions = WebSessions(uri, Shopper, development=True)
    app = FastAPI(middleware=[sessions.middleware])
    Session = Annotated[Shopper, Depends(sessions.current)]  # noqa: N806 - a type

    async def shown(session: Shopper, slow: float) -> Shopper:
        await asyncio.sleep(slow)
        return session

    @app.post("/login/{user}")
    async def login(request: Request, user: str) -> Shopper:
        return await sessions.login(request, Shopper(user=user))

    @app.get("/me")
    async def me(session: Session, slow: float = 0) -> Shopper:
        return await shown(session, slow)

    @app.post("/cart/{item}")
    async def add(session: Session, item: str, slow: float = 0) -> Shopper:
        session.cart[item] = 1
        return await shown(session, slow)

    @app.post("/role/{role}")
    async def take_role(session: Session, role: str, slow: float = 0) -> Shopper:
        session.role = role
        return await shown(session, slow)

    @app.post("/logout")
    async def logout(request: Request, session: Session) -> Shopper:
        await sessions.logout(request)
        return session

    return app


def main() -> None:
    """Run the shop until it is stopped."""
    # A connection that the server closes just as it is used again looks like a server that died.
    uvicorn.run(shop(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_keep_alive=600)


if __name__ == "__main__":
    main()
