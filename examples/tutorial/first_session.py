"""A first session: it is created, read, changed and ended."""

import asyncio
from datetime import timedelta

from ndb_models import Expiry, NdbClient, Repository, SessionModel


class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
    username: str
    cart: dict[str, int] = {}


async def main() -> None:
    async with NdbClient.connect("memory://") as client:
        users = Repository(client, UserSession)

        session = await users.create(UserSession(username="billy"))
        print("created:", session)

        async with users.edit(session.tkn) as edited:
            edited.cart["apple"] = 2
        print("read:", await users.get(session.tkn))

        print("ended:", await users.delete(session.tkn))
        print("read:", await users.get_or_none(session.tkn))


asyncio.run(main())
