"""The timers of a repository's sessions, as the server keeps them."""

from __future__ import annotations

import math

from ndb_models.client import NdbClient
from ndb_models.errors import SessionExpiredError
from ndb_models.schema.lifetime import Timer
from ndb_models.sessions.key_reading import KeyReading
from ndb_models.sessions.lifetimes import Lifetimes
from ndb_models.sessions.writing import check_token
from ndb_models.types import SessionToken


class SessionTimers(KeyReading):
    """Reads the timers of sessions.

    Args:
        client: an open client.
        model: the name of the class, for errors.
        lifetimes: the lifetimes of the sessions.
    """

    def __init__(self, client: NdbClient, model: str, lifetimes: Lifetimes) -> None:
        super().__init__(client, model)
        self.lifetimes: Lifetimes = lifetimes

    async def timer(self, tkn: SessionToken) -> Timer:
        """Return the server's timer of a session."""
        return Timer.told(await self.of_session(tkn, self._client.sh_info(tkn)))

    async def remaining(self, tkn: SessionToken, deadline: int | None) -> float | None:
        """Return the seconds that a session has left if it is not used, or None if it never ends.

        Raises:
            SessionExpiredError: the session is past its expiry, and the server has not swept it yet.
        """
        check_token(tkn)
        info = await self.of_session(tkn, self._client.sh_info(tkn))
        expiry = info.get("expiry")
        left = expiry.get("remaining") if isinstance(expiry, dict) else None
        seconds = float(left) if isinstance(left, int) else math.inf
        if seconds < 0:
            raise SessionExpiredError(self._name, tkn)
        if deadline is not None:
            seconds = min(seconds, max(0.0, (deadline - self.lifetimes.now()) / 1000))
        return None if seconds == math.inf else seconds
