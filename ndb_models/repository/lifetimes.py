"""How long the sessions of a class live: seeing to it that none that is read lives longer than its class allows.

The reserved key says how a session was told to expire, and the server keeps its timer. Both are changed by one request
that compares the reserved key first, so that they never say two things: of two who change them one finds out, and looks
again. A NemesisDB has no such request. There the deadline alone is kept, in the reserved key.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import InvalidArgumentError
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
from ndb_models.texts import ObjectText
from ndb_models.types import Clock, SessionToken
from ndb_models.wire.commands import COMMANDS, Command
from ndb_models.wire.prepared import Parameters, Prepared
from ndb_models.wire.statuses import OK_STATUS

SH_EXPIRE: Final = COMMANDS["SH_EXPIRE"]
SH_PEEK: Final = COMMANDS["SH_PEEK"]
_SH_GET: Final = COMMANDS["SH_GET"]
_SH_SET: Final = COMMANDS["SH_SET"]

_RESERVED: Final = Parameters(keys=(RESERVED_KEY,))

# For so many seconds a read waits until its session is brought under its class's expiry; then that goes on without it.
_PATIENCE: Final = 1.0

_locks: WeakKeyDictionary[NdbClient, WeakValueDictionary[SessionToken, asyncio.Lock]] = WeakKeyDictionary()


def lock_of(client: NdbClient, tkn: SessionToken) -> asyncio.Lock:
    """Return the lock under which this process reads a session's reserved key and writes it, as two requests."""
    return _locks.setdefault(client, WeakValueDictionary()).setdefault(tkn, asyncio.Lock())


class Lifetimes:
    """Knows how sessions of one class are to expire, and makes those that live longer do so.

    Args:
        client: an open client.
        expiry: of the class.
        versions: of which the class reads sessions. Others are left to the code that does.
        clock: tells the time in seconds since 1970.
    """

    def __init__(self, client: NdbClient, expiry: Expiry | None, versions: range, clock: Clock) -> None:
        self._client = client
        self._versions = versions
        self._clock = clock
        self.expiry: Expiry | None = expiry
        self.of_class: Lifetime = Lifetime(expiry)
        """That of a session of the class, but for its deadline."""
        absolute = expiry.absolute_seconds if expiry is not None else None
        self._has_deadline = absolute is not None
        self._longest = (absolute or 0) * 1000 + SKEW

    def now(self) -> float:
        """Return the time in milliseconds since 1970."""
        return self._clock() * 1000

    def begun(self, own: Expiry | None = None) -> Lifetime:
        """Return the lifetime of a session that begins now: its own if one is given, else that of the class."""
        if own is not None:
            return created_with(own, self.now(), own=True)
        return created_with(self.expiry, self.now()) if self._has_deadline else self.of_class

    def exceeds(self, envelope: Envelope) -> bool:
        """Tell whether a session may live longer than it should."""
        return envelope.version in self._versions and exceeds(envelope, self.expiry, self.now())

    def is_timely(self, deadline: int) -> bool:
        """Tell whether the absolute end of a session that expires as its class says is neither past nor too late."""
        now = self._clock() * 1000
        return now < deadline <= now + self._longest

    def is_settled(self, envelope: Envelope) -> bool:
        """Tell whether a session neither is past its absolute end nor may live longer than it should."""
        deadline = envelope.deadline
        if deadline is not None and deadline <= self._clock() * 1000:
            return False
        return not self.exceeds(envelope)

    async def bring_under(self, tkn: SessionToken, envelope: Envelope, reserved: bytes) -> tuple[Envelope, bytes]:
        """Let a session that `exceeds` live no longer than it should; return what its reserved key says then.

        Never extends it, and never raises an error of ours: what cannot be done now is left to the next read.

        Args:
            tkn: the session.
            envelope: what its reserved key says.
            reserved: the text of that.
        """
        envelope = read_envelope(reserved) or envelope  # with the token, which a seal leaves out
        if not self._client.may_know(SH_EXPIRE) and self._under_class(envelope).deadline == envelope.deadline:
            return envelope, reserved
        task = self._client.in_background(self._bring_under(tkn, envelope, reserved))
        await asyncio.wait([task], timeout=_PATIENCE)
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
            if done is False:  # another has been quicker
                return self._same_but_lifetime(envelope, await self._reserved(SH_PEEK, tkn))
        async with lock_of(self._client, tkn):
            return await self._bring_under_by_writing(tkn, envelope)

    async def _bring_under_by_writing(self, tkn: SessionToken, seen: Envelope) -> tuple[Envelope, bytes] | None:
        """Give a session its deadline where its timer cannot be changed, after a look at what is stored by now."""
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
        """Give a session the expiry of its class, unless it has its own; return what its reserved key is to be then.

        Where the timer cannot be changed it is not, and the reserved key is yet to be written. Return None if that was
        changed meanwhile; then nothing has changed.
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
        """Give a session another lifetime, which begins now; return what `expire` returns.

        Raises:
            InvalidArgumentError: it has no reserved key, which is where an absolute end beside an idle one is kept.
        """
        envelope = read_envelope(reserved)
        if envelope is not None:
            swap = reserved, rewritten(reserved, with_lifetime(envelope, lifetime))
            return await self.expire(tkn, Timer.of(lifetime.expiry), swap, restart=True)
        if lifetime.expiry is not None and lifetime.expiry.idle is not None and lifetime.deadline is not None:
            raise InvalidArgumentError("a session that another client wrote can have idle= or absolute=, not both")
        return await self.expire(tkn, Timer.of(lifetime.expiry), None, restart=True)

    def _under_class(self, envelope: Envelope) -> Envelope:
        """Return what the reserved key of a session is to say, as far as its timer does not matter."""
        return brought_under(envelope, Timer.of(self.expiry), self.expiry, self.now())[0]

    async def expire(
        self, tkn: SessionToken, timer: Timer, swap: tuple[bytes, bytes] | None, *, restart: bool
    ) -> bool | None:
        """Change a session's timer, and with it the reserved key if that is still the one given.

        Return False if it is not, and None if the server cannot do this; then nothing has changed.

        Raises:
            ResponseError: the server refuses, since the session has ended, say.
        """
        parameters = Parameters(expiry=timer.on_the_wire, restart=restart)
        keys = None if swap is None else ObjectText.joined({RESERVED_KEY: b"[%b,%b]" % swap})
        answer = await self._client.attempt(Prepared(SH_EXPIRE, tkn, parameters, keys))
        if answer is None:
            return None
        if answer["st"] != OK_STATUS:
            raise failure(SH_EXPIRE, answer)
        return bool(answer["done"])

    async def _reserved(self, command: Command, tkn: SessionToken) -> bytes:
        answer: Any = await self._client.perform(Prepared(command, tkn, _RESERVED))
        return answer["keys"].split().get(RESERVED_KEY, b"") if answer["st"] == OK_STATUS else b""

    @staticmethod
    def _same_but_lifetime(seen: Envelope, text: bytes) -> tuple[Envelope, bytes] | None:
        """Return what a reserved key says by now, if that is still about what was read, in how long it may live."""
        envelope = read_envelope(text)
        if envelope is None or with_lifetime(envelope, Lifetime(None)) != with_lifetime(seen, Lifetime(None)):
            return None
        return envelope, text
