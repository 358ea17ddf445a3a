"""A page of devices: where a user is logged in, and a button that ends one of these sessions.

The page names sessions by public ids, which open nothing. The browser holds a credential: the session stores only the
digest of its secret. A user may be logged in on three devices; the fourth login ends the oldest one.
"""

import asyncio
from datetime import timedelta
from typing import Annotated

from ndb_models import Expiry, Lookup, NdbClient, Repository, SessionModel


class Login(SessionModel, expiry=Expiry(idle=timedelta(days=30), touch_every=timedelta(hours=1)), track=60):
    """A login on a device."""

    user_id: Annotated[int, Lookup(limit=3)]
    device: str


async def show_devices(logins: Repository[Login], current: Login) -> dict[str, str]:
    """Print the devices of a user, the latest login first. Return the public ids by device."""
    ids: dict[str, str] = {}
    for login in await logins.find(user_id=current.user_id, extend=False, order="newest"):
        described = await logins.describe(login, current=current)
        assert described.public_id is not None
        ids[login.device] = described.public_id
        print(f"  {login.device}{' (this device)' if described.is_current else ''}")
    return ids


async def log_out(logins: Repository[Login], current: Login, public_id: str) -> bool:
    """End the session with this public id, if it is one of the same user."""
    for login in await logins.find(user_id=current.user_id, extend=False):
        if (await logins.describe(login)).public_id == public_id:
            return await logins.delete(login.tkn)
    return False


async def main() -> None:
    """Log in on four devices, look at the page, and log out one of them."""
    async with NdbClient.connect("memory://") as client:
        logins = Repository(client, Login)
        cookie = ""
        for device in ("desktop", "tablet", "phone", "laptop"):
            login = await logins.create(Login(user_id=7, device=device))
            cookie = str(await logins.issue(login))
            await asyncio.sleep(0.01)
        current = await logins.authenticate(cookie)
        assert current is not None
        print("logged in on:")
        ids = await show_devices(logins, current)
        await log_out(logins, current, ids["phone"])
        print("after logging out the phone:")
        await show_devices(logins, current)
        print("a tampered cookie opens:", await logins.authenticate(cookie[:-1] + ("A" if cookie[-1] != "A" else "B")))


if __name__ == "__main__":
    asyncio.run(main())
