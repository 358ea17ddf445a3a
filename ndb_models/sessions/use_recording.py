"""Records the last use of sessions in their reserved keys."""

from __future__ import annotations

import math
from typing import Final

from ndb_models.client import NdbClient
from ndb_models.errors import NdbError, ResponseError
from ndb_models.protocol.statuses import Status
from ndb_models.schema.envelope import Envelope, rewritten
from ndb_models.schema.lifetime import Timer
from ndb_models.schema.tracking import is_use_due, with_use
from ndb_models.sessions.lifetimes import SH_EXPIRE, Lifetimes
from ndb_models.types import SessionToken


class UseRecording:
    """Records uses in the background, at most once in `every` seconds for a session.

    A record is a compare-and-set of the reserved key. If another process changes the key first, it stays as that left
    it, and the next use is due again. A NemesisDB has no such request, and nothing is recorded there.

    Args:
        client: an open client.
        lifetimes: the lifetimes of the sessions.
        every: in seconds.
    """

    def __init__(self, client: NdbClient, lifetimes: Lifetimes, every: int) -> None:
        self._client = client
        self._lifetimes = lifetimes
        self._every: Final = every * 1000
        self._under_way: set[SessionToken] = set()
        # After a failure nothing is recorded until then, in milliseconds since 1970.
        self._resumes_at = -math.inf

    def note(self, tkn: SessionToken, envelope: Envelope, reserved: bytes) -> None:
        """Have a use of a session recorded if that is due. Returns at once, and raises no error.

        Args:
            tkn: the session.
            envelope: its reserved key, parsed.
            reserved: the text of its reserved key.
        """
        now = self._lifetimes.now()
        if tkn in self._under_way or not is_use_due(envelope, self._every, now):
            return
        if self._resumes_at - self._every <= now < self._resumes_at or not self._client.may_know(SH_EXPIRE):
            return
        self._under_way.add(tkn)
        swap = reserved, rewritten(reserved, with_use(envelope, now))
        task = self._client.in_background(self._record(tkn, swap))
        task.add_done_callback(lambda _: self._under_way.discard(tkn))

    async def _record(self, tkn: SessionToken, swap: tuple[bytes, bytes]) -> None:
        try:
            timer = Timer.told(await self._client.sh_info(tkn))
            await self._lifetimes.expire(tkn, timer, swap, restart=False)
        except NdbError as exc:
            if not (isinstance(exc, ResponseError) and exc.status == Status.SESSION_NOT_EXIST):
                self._resumes_at = self._lifetimes.now() + self._every
