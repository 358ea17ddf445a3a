"""Limits each session that is read to the lifetime that its class allows.

The reserved key says how a session expires, and the server keeps its timer. One request changes both, after comparing
the reserved key. So the two never disagree: if two processes change them, one fails the comparison and looks again. A
NemesisDB has no such request. There only the deadline is kept, in the reserved key.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import InvalidArgumentError
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS, Command
from ndb_models.protocol.prepared import Parameters, Prepared, reading_answer
from ndb_models.protocol.statuses import OK_STATUS
from ndb_models.schema.envelope import RESERVED_KEY, Envelope, read_envelope, rewritten
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.lifetime import (
    SKEW,
    Lifetime,
    Timer,
    brought_under,
    carried_over,
    created_with,
    exceeds,
    is_told,
    with_lifetime,
)
from ndb_models.schema.tracking import tracking_carried_over, tracking_of_new
from ndb_models.sessions.locks import RESERVED_KEYS
from ndb_models.types import Clock, SessionToken

SH_EXPIRE: Final = COMMANDS["SH_EXPIRE"]
SH_PEEK: Final = COMMANDS["SH_PEEK"]
_SH_GET: Final = COMMANDS["SH_GET"]
_SH_SET: Final = COMMANDS["SH_SET"]

_RESERVED: Final = Parameters(keys=(RESERVED_KEY,))

# Seconds that a read waits for its session to be limited. The work then goes on in the background.
_TIMEOUT: Final = 1.0


class Lifetimes:
    """Knows how sessions of one class expire, and limits sessions that would live longer.

    Args:
        client: an open client.
        expiry: the expiry of the class.
        versions: the versions that the class reads. Sessions of other versions are left to the code that reads them.
        clock: tells the time in seconds since 1970.
        tracks: True if the class tracks its sessions.
    """

    def __init__(
        self, client: NdbClient, expiry: Expiry | None, versions: range, clock: Clock, *, tracks: bool = False
    ) -> None:
        self._client = client
        self._versions = versions
        self.clock: Clock = clock
        self._tracks = tracks
        self.expiry: Expiry | None = expiry
        self.of_class: Lifetime = Lifetime(expiry)
        """The lifetime of a session of the class, without a deadline."""
        absolute = expiry.absolute_seconds if expiry is not None else None
        self._has_deadline = absolute is not None
        self._longest = (absolute or 0) * 1000 + SKEW

    def now(self) -> float:
        """Return the time in milliseconds since 1970."""
        return self.clock() * 1000

    def begun(self, own: Expiry | None = None) -> Lifetime:
        """Return the lifetime of a session that begins now: its own if given, otherwise that of the class."""
        if own is not None:
            lifetime = created_with(own, self.now(), own=True)
        else:
            lifetime = created_with(self.expiry, self.now()) if self._has_deadline else self.of_class
        return lifetime._replace(tracking=tracking_of_new(self.now())) if self._tracks else lifetime

    def moved(self, lifetime: Lifetime, envelope: Envelope | None, *, logs_in: bool) -> Lifetime:
        """Return a lifetime with the records that a session takes along to a new token, if the class tracks them."""
        if not self._tracks:
            return lifetime
        return lifetime._replace(tracking=tracking_carried_over(envelope, self.now(), logs_in=logs_in))

    def exceeds(self, envelope: Envelope) -> bool:
        """Return True if a session may live longer than it should."""
        return envelope.version in self._versions and exceeds(envelope, self.expiry, self.now())

    def is_timely(self, deadline: int) -> bool:
        """Return True if a deadline is neither past nor later than the class's expiry allows."""
        now = self.clock() * 1000
        return now < deadline <= now + self._longest

    def is_settled(self, envelope: Envelope) -> bool:
        """Return True if a session is not past its deadline, and cannot live longer than it should."""
        deadline = envelope.deadline
        if deadline is not None and deadline <= self.clock() * 1000:
            return False
        return not self.exceeds(envelope)

    async def bring_under(self, tkn: SessionToken, envelope: Envelope, reserved: bytes) -> tuple[Envelope, bytes]:
        """Limit a session that `exceeds` its lifetime. Return its reserved key afterwards, parsed and as text.

        Never extends the session, and never raises an `NdbError`. A change that cannot be made now is left to the next
        read.

        Args:
            tkn: the session.
            envelope: the reserved key, parsed.
            reserved: the text of the reserved key.
        """
        envelope = read_envelope(reserved) or envelope  # with the token, which the common envelope leaves out
        if not self._client.may_know(SH_EXPIRE) and self._under_class(envelope).deadline == envelope.deadline:
            return envelope, reserved
        task = self._client.in_background(self._bring_under(tkn, envelope, reserved))
        await asyncio.wait([task], timeout=_TIMEOUT)
        return (task.result() if task.done() else None) or (envelope, reserved)

    async def _bring_under(
        self, tkn: SessionToken, envelope: Envelope, reserved: bytes
    ) -> tuple[Envelope, bytes] | None:
        if self._client.may_know(SH_EXPIRE):
            timer = Timer.told(await self._client.sh_info(tkn))
            new, timer = brought_under(envelope, timer, self.expiry, self.now())
            text = rewritten(reserved, new)
            done = await self.expire(tkn, timer, (reserved, text), restart=False)
            if done:
                return new, text
            if done is False:  # another process was quicker
                return self._same_but_lifetime(envelope, await self._reserved(SH_PEEK, tkn))
        async with RESERVED_KEYS.holding(self._client, tkn):
            return await self._bring_under_by_writing(tkn, envelope)

    async def _bring_under_by_writing(self, tkn: SessionToken, seen: Envelope) -> tuple[Envelope, bytes] | None:
        """Write a deadline if the timer cannot be changed, after a fresh look at the reserved key."""
        now = self._same_but_lifetime(seen, await self._reserved(_SH_GET, tkn))
        if now is None:
            return None
        envelope, reserved = now
        new = self._under_class(envelope)
        if new.deadline == envelope.deadline:
            return now
        new = msgspec.structs.replace(envelope, absolute=new.absolute, deadline=new.deadline)
        text = rewritten(reserved, new)
        await self._client.perform(Prepared(_SH_SET, tkn, values=ObjectText.joined({RESERVED_KEY: text})))
        return new, text

    async def renew(self, tkn: SessionToken, envelope: Envelope, reserved: bytes) -> tuple[Envelope, bytes] | None:
        """Give a session the expiry of its class, unless it has its own. Return the resulting reserved key.

        If the server cannot change the timer, the timer stays, and the caller has to write the reserved key. Returns
        None if the reserved key was changed meanwhile; the session is then unchanged.
        """
        if envelope.own or not is_told(envelope, self.expiry):
            return envelope, reserved
        lifetime = carried_over(envelope, None, self.expiry, self.now())
        new = with_lifetime(envelope, lifetime)
        if new == envelope:
            return envelope, reserved
        text = rewritten(reserved, new)
        done = await self.expire(tkn, Timer.of(self.expiry), (reserved, text), restart=True)
        if done is None:
            new = msgspec.structs.replace(envelope, absolute=new.absolute, deadline=new.deadline)
            return new, rewritten(reserved, new)
        return (new, text) if done else None

    async def change(self, tkn: SessionToken, reserved: bytes, lifetime: Lifetime) -> bool | None:
        """Give a session another lifetime, which begins now. Returns as `expire`.

        Raises:
            InvalidArgumentError: the lifetime has an idle and an absolute part, and the session has no reserved key to
                keep the deadline in.
        """
        envelope = read_envelope(reserved)
        if envelope is not None:
            swap = reserved, rewritten(reserved, with_lifetime(envelope, lifetime))
            return await self.expire(tkn, Timer.of(lifetime.expiry), swap, restart=True)
        if lifetime.expiry is not None and lifetime.expiry.idle is not None and lifetime.deadline is not None:
            raise InvalidArgumentError("a session that another client wrote can have idle= or absolute=, not both")
        return await self.expire(tkn, Timer.of(lifetime.expiry), None, restart=True)

    def _under_class(self, envelope: Envelope) -> Envelope:
        """Return the reserved key of a session limited to its class, ignoring its timer."""
        return brought_under(envelope, Timer.of(self.expiry), self.expiry, self.now())[0]

    async def expire(
        self, tkn: SessionToken, timer: Timer, swap: tuple[bytes, bytes] | None, *, restart: bool
    ) -> bool | None:
        """Change a session's timer, and its reserved key if that is still the given one.

        Returns False if the reserved key is another one, and None if the server has no such request. In both cases the
        session is unchanged.

        Raises:
            ResponseError: the server refuses, for example because the session has ended.
        """
        parameters = Parameters(expiry=timer, restart=restart)
        keys = None if swap is None else ObjectText.joined({RESERVED_KEY: b"[%b,%b]" % swap})
        answer = await self._client.attempt(Prepared(SH_EXPIRE, tkn, parameters, keys))
        if answer is None:
            return None
        if answer["st"] != OK_STATUS:
            raise failure(SH_EXPIRE, answer)
        return bool(answer["done"])

    async def _reserved(self, command: Command, tkn: SessionToken) -> bytes:
        answer: Any = await self._client.perform(Prepared(command, tkn, _RESERVED))
        if answer["st"] != OK_STATUS:
            return b""
        with reading_answer(command):
            reserved: bytes = answer["keys"].get(RESERVED_KEY, b"")
        return reserved

    @staticmethod
    def _same_but_lifetime(seen: Envelope, text: bytes) -> tuple[Envelope, bytes] | None:
        """Return a reserved key, parsed and as text, if only its lifetime differs from the one seen."""
        envelope = read_envelope(text)
        if envelope is None or with_lifetime(envelope, Lifetime(None)) != with_lifetime(seen, Lifetime(None)):
            return None
        return envelope, text
