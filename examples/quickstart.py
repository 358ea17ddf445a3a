"""A login session, from the cradle to the grave. Runs on the engine in this process; give a URI to use a server.

python examples/quickstart.py
python examples/quickstart.py ws://127.0.0.1:1987/
"""

import asyncio
import sys
from datetime import timedelta

from pydantic import EmailStr

from ndb_models import (
    Expiry,
    NdbClient,
    Repository,
    SessionGoneError,
    SessionModel,
    UnstorableError,
    format_token,
    parse_token,
)


class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
    """Who is logged in. Ends after half an hour without use."""

    username: str
    email: EmailStr
    roles: list[str] = []


async def main(uri: str = "memory://") -> None:
    async with NdbClient.connect(uri) as client:
        print(f"connected to {uri}: {await client.sv_info()}")
        repo = Repository(client, UserSession)

        print("\n1. Billy logs in: a model is saved, and becomes a session with a token.")
        session = await repo.save(UserSession(username="billy", email="billy@example.org"))
        print(f"   {session!r}")
        cookie = format_token(session.tkn)

        print("\n2. A request comes in with the token: the session is read back, validated, as the model that it is.")
        tkn = parse_token(cookie)  # None for whatever else a browser may send
        same = await repo.get(tkn) if tkn is not None else None
        print(f"   {same!r}, equal to what was saved: {same == session}")

        print("\n3. Two requests change it at the same time. Only what each changed is written: nothing is lost.")
        one, other = await repo.get(session.tkn), await repo.get(session.tkn)
        one.roles.append("admin")
        other.email = "billy@example.com"
        await asyncio.gather(repo.save(one), repo.save(other))
        print(f"   {await repo.get(session.tkn)!r}")

        print("\n4. What does not fit the model is refused, before anything is stored.")
        # The mistake that is shown here; a type checker would have found it.
        session.roles = "admin"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        try:
            await repo.save(session)
        except UnstorableError as exc:
            print(f"   {type(exc).__name__}: {exc}")

        print("\n5. Billy logs out. A session that has ended stays ended.")
        print(f"   deleted: {await repo.delete(session.tkn)}, and now it is {await repo.get_or_none(session.tkn)}")
        try:
            await repo.save(one)
        except SessionGoneError as exc:
            print(f"   {type(exc).__name__}: {exc}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
