"""Records the last use of sessions in their reserved keys."""

from __future__ import annotations

import math
from typing import Final

from ndb_models.client import NdbClient
from ndb_models.errors import NdbError, ResponseError
from ndb_models.protocol.statuses import Status
from ndb_models.schema.envelope import read_envelope, rewritten
from ndb_models.schema.lifetime import Timer
from ndb_models.schema.tracking import is_use_due, with_use
from ndb_models.sessions.lifetimes import SH_EXPIRE, Lifetimes
from ndb_models.sessions.reading import Read
from ndb_models.types import SessionToken


class UseRecording:
    """Records uses in the background, at most once in `every` seconds for a session.

    A record is a compare-and-set of the reserved key. If another process changes the key first, its change stays, and
    the next use is recorded instead. A NemesisDB has no such request, so uses are not recorded there.

    Args:
        client: an open client.
        lifetimes: the lifetimes of the sessions.
        every: in seconds; None to record nothing.
    """

    def __init__(self, client: NdbClient, lifetimes: Lifetimes, every: int | None) -> None:
        self._client = client
        self._lifetimes = lifetimes
        self._clock = lifetimes.clock
        self._every: Final = None if every is None else every * 1000
        self._under_way: set[SessionToken] = set()
        # No use is recorded before this time, in milliseconds since 1970: recording has failed.
        self._resumes_at = -math.inf

    def note(self, tkn: SessionToken, read: Read) -> None:
        """Have the use of a session that was read recorded if that is due. Returns at once, and raises no error."""
        every, envelope = self._every, read.envelope
        if every is not None and envelope is not None:
            now = self._clock() * 1000
            if is_use_due(envelope, every, now):
                self._begin(tkn, read.reserved, every, now)

    def _begin(self, tkn: SessionToken, reserved: bytes, every: int, now: float) -> None:
        """Record a use in the background, unless one of this session is being recorded."""
        if tkn in self._under_way or self._resumes_at - every <= now < self._resumes_at:
            return
        envelope = read_envelope(reserved)  # with the token, which the common envelope leaves out
        if envelope is None or not self._client.may_know(SH_EXPIRE):
            return
        self._under_way.add(tkn)
        swap = reserved, rewritten(reserved, with_use(envelope, now))
        task = self._client.in_background(self._record(tkn, swap, every))
        task.add_done_callback(lambda _: self._under_way.discard(tkn))

    async def _record(self, tkn: SessionToken, swap: tuple[bytes, bytes], every: int) -> None:
        try:
            timer = Timer.told(await self._client.sh_info(tkn))
            await self._lifetimes.expire(tkn, timer, swap, restart=False)
        except NdbError as exc:
            if not (isinstance(exc, ResponseError) and exc.status == Status.SESSION_NOT_EXIST):
                self._resumes_at = self._lifetimes.now() + every
