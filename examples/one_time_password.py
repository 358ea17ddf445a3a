"""A one-time password: a session that expires by itself, and is used up by its first use.

Takes about a second: it waits until a password has expired.

    python examples/one_time_password.py
"""

import asyncio
import secrets
import sys

from ndb_models import Expiry, NdbClient, Repository, SessionModel, format_token, parse_token


class OneTimePassword(SessionModel, expiry=Expiry(absolute=1)):
    """A code that was sent to somebody. Nothing makes it live longer, and it ends on time on every server."""

    username: str
    code: str


async def redeem(passwords: Repository[OneTimePassword], sent: str, code: str) -> str:
    """Return whom a code logs in, and the token that came with it. A code works once, and only while it lives."""
    tkn = parse_token(sent)
    password = await passwords.get_or_none(tkn) if tkn is not None else None
    if tkn is None or password is None:
        return "no such password: it has expired, or was used"
    if not secrets.compare_digest(password.code, code):
        return "wrong code"
    # Of two who redeem it at the same time, one ends the session and the other finds it gone.
    if not await passwords.delete(tkn):
        return "no such password: it was just used"
    return f"welcome, {password.username}"


async def main(uri: str = "memory://") -> None:
    async with NdbClient.connect(uri) as client:
        passwords = Repository(client, OneTimePassword)

        password = await passwords.save(OneTimePassword(username="billy", code="402913"))
        link = format_token(password.tkn)
        print("wrong code:  ", await redeem(passwords, link, "000000"))
        print("right code:  ", await redeem(passwords, link, "402913"))
        print("second time: ", await redeem(passwords, link, "402913"))

        password = await passwords.save(OneTimePassword(username="billy", code="771204"))
        link = format_token(password.tkn)
        await asyncio.sleep(1.1)
        print("too late:    ", await redeem(passwords, link, "771204"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
