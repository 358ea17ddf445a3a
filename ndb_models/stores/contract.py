"""The contract of a store.

A store keeps maps of keys: one shared map, and one for each session. The same verbs work on both. Their first argument
names the map: a session's token, or `SHARED`. A value is the UTF-8 text of one JSON value. A store keeps it byte for
byte and never looks inside. Keys may be given, and returned, as an `ObjectText`: a mapping like any other, but already
one text.

Every verb is atomic: it happens whole or not at all, and no other verb sees it half done. If the session of a map never
existed, or has ended, the verb raises `UnknownSessionError` and leaves the store unchanged.

Expiry is exact. Once a session's time has come, every verb finds it gone or emptied, whether or not it has been swept.
The time comes `expiry.duration` seconds after the timer was started. Then the session ends (`delete_session`), or it
loses its keys and its timer starts again, as often as it takes. Only `set`, `add` and `get` restart the timer, and only
if the session's `extend_on_set_add` or `extend_on_get` says so. `expire` restarts it if told to. If the clock is set
back, a session ends no later than its duration from then on. This is put right when it is next touched or swept.

The server runs a request outside of any task as long as the request need not wait. A verb must therefore not need the
current task before its first await that suspends.
"""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from ndb_models.types import SessionToken

T = TypeVar("T")

Scope: TypeAlias = SessionToken | None
"""Names a map of keys: a session's token, or `SHARED`."""

SHARED: Final = None


class UnknownSessionError(LookupError):
    """No session has this token: it never existed, has ended, or has expired."""


class Limit(Enum):
    """The limits that a store may have."""

    SESSIONS = "sessions"
    KEYS = "keys in a session"
    BYTES = "bytes of names and values, and of memory around them"


class LimitError(Exception):
    """A change would exceed a limit of the store, which is unchanged. Attributes: `limit`, `most`."""

    def __init__(self, limit: Limit, most: int) -> None:
        self.limit = limit
        self.most = most
        super().__init__(f"the store keeps at most {most} {limit.value}")


class ExpirySettings(NamedTuple):
    """How a session expires: `duration` in seconds; 0 is never."""

    duration: int = 0
    delete_session: bool = False
    extend_on_set_add: bool = False
    extend_on_get: bool = False


NEVER: Final = ExpirySettings()

NO_KEYS: Final[Mapping[str, bytes]] = MappingProxyType({})

Swaps: TypeAlias = Mapping[str, tuple[bytes, bytes]]
"""The values to replace, by key: the old one and the new one."""

NO_SWAPS: Final[Swaps] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Facts about a session. `remaining` is in seconds, None for a session that never expires."""

    key_count: int
    expiry: ExpirySettings
    remaining: float | None


class SessionRecord(msgspec.Struct, frozen=True, gc=False):
    """A whole session, as it is saved and restored. There may be many, so the garbage collector skips them."""

    token: SessionToken
    expiry: ExpirySettings
    keys: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"<SessionRecord of {len(self.keys)} keys>"


class Statistics(NamedTuple):
    """A store's figures for monitoring; None for a figure that it does not count.

    `expired` counts how often a session was found expired since the store was opened. `size` is in bytes of memory;
    only a store in memory with limits counts it.
    """

    sessions: int
    keys: int
    expired: int | None = None
    size: int | None = None


class ImmediateVerbs(Protocol):
    """The most frequent verbs, without waiting."""

    def get_now(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Do the same as `Store.get`."""

    def create_now(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes]) -> bool:
        """Do the same as `Store.create`."""


class Store(Protocol):
    """The verbs. The module's docstring holds for all of them."""

    @property
    def immediate(self) -> ImmediateVerbs | None:
        """The verbs that need no waiting; None if the store has to wait, or if its verbs do more."""
        return None

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """Write these keys, over existing ones too; other keys stay."""

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """Write the keys that do not exist yet; existing keys stay as they are."""

    async def get(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the keys with these names, in the order of the names. Missing keys are left out."""

    async def peek(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Do the same as `get`, but never extend the expiry."""

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        """Return all keys. Never extends the expiry."""

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        """Remove the keys with these names. Missing keys do no harm."""

    async def swap(self, scope: Scope, name: str, old: bytes, new: bytes) -> bool:
        """Replace the key's value if it is still `old`; tell whether it was. Never extends the expiry."""

    async def clear(self, scope: Scope) -> int:
        """Remove all keys; return how many there were."""

    async def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        """Remove all keys, then write these; return how many were removed. Never extends the expiry."""

    async def count(self, scope: Scope) -> int:
        """Return how many keys there are."""

    async def names(self, scope: Scope, most: int | None = None) -> list[str]:
        """Return the names of all keys, or of at most `most` keys, in no particular order."""

    async def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        """Return the names that exist, in the given order. A repeated name is returned as often."""

    async def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        """Create a session with these keys and start its timer. If it exists, leave it alone and return False."""

    async def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        """Change how a session expires, and swap values of its keys, if every value is still the old one.

        A value that is the new one already will do as well, so that this may be repeated. If a key has any other
        value, return False and leave the session unchanged. `restart` starts the timer. Without it, the session ends
        when it would have ended, or `expiry.duration` seconds from now if that is sooner; never later. A duration of 0
        removes the timer, with or without `restart`.
        """

    async def end(self, token: SessionToken) -> bool:
        """End a session. Return False if it does not exist."""

    async def end_all(self) -> int:
        """End all sessions; return how many there were."""

    async def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        """Return the tokens that name a session, in the given order. A repeated token is returned as often."""

    async def info(self, token: SessionToken) -> SessionInfo:
        """Return facts about a session. Never extends the expiry."""

    async def totals(self) -> tuple[int, int]:
        """Return the number of sessions, and the number of all their keys."""

    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        """Return all sessions, or the existing ones among `tokens`, each once, as of one moment."""

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        """Have `consume` read all sessions, or the existing ones among `tokens`, each once, as of one moment.

        `consume` is called in a thread, with an iterator that reads from the store as it advances: the sessions need
        not all fit in memory. Return the result of `consume`, and let its errors through. A store may call it again if
        reading failed halfway.
        """

    async def statistics(self) -> Statistics:
        """Return the store's figures. A store that counts no more than `totals` need not override this."""
        return Statistics(*await self.totals())

    async def sweep(self) -> None:
        """Free the room that expired sessions occupy. Every verb returns the same as without it."""

    async def check(self) -> None:
        """Return if the store can be read and keeps new writes. Room for writes is not checked.

        Raises:
            StoreError: new writes would be lost, or the store cannot be read.
        """
        return

    async def aclose(self) -> None:
        """Close files and connections. Closing twice does no harm."""
