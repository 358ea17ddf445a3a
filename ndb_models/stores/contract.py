"""What a store promises.

A store keeps maps of keys: one that all share, and one for each session. Both are worked by the same verbs, whose first
argument says which map: a session's token, or `SHARED`. A value is the UTF-8 text of one JSON value; a store keeps it
to the byte and never looks inside. Keys may be given, and returned, as an `ObjectText`: a mapping like any other, which
is one text already.

Every verb is atomic: it is carried out whole or not at all, and no other verb sees it half done. A verb on the map of a
session that does not exist, or no longer, raises `UnknownSessionError` and changes nothing.

Expiry is exact: a session whose time has come is gone, or emptied, for every verb from then on, whether or not it
has been swept. At `expiry.duration` seconds after its timer was started, a session ends (`delete_session`), or it loses
its keys and its timer starts again, as often as it takes. Only `set`, `add` and `get` start the timer anew, and only
where the session's `extend_on_set_add` or `extend_on_get` say so; and `expire`, if it is told to. If the clock is set
back, a session ends no later than its duration from then on: this is put right when it is next touched or swept.

The server steps a request to its end outside of any task where nothing has to be waited for. A verb must therefore not
need the current task before its first await that is not done at once.
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
"""Which map of keys: that of a session, or the one that all share."""

SHARED: Final = None


class UnknownSessionError(LookupError):
    """No session has this token: it never was, or has ended, or expired."""


class Limit(Enum):
    """What a store may have a limit of."""

    SESSIONS = "sessions"
    KEYS = "keys in a session"
    BYTES = "bytes of names and values, and of memory around them"


class LimitError(Exception):
    """What was to be stored is beyond a limit of the store; nothing has changed. Attributes: `limit`, `most`."""

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
"""Values to be replaced, by their keys: the old one, and the new one."""

NO_SWAPS: Final[Swaps] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session from outside. `remaining` in seconds, None for one that never expires."""

    key_count: int
    expiry: ExpirySettings
    remaining: float | None


class SessionRecord(msgspec.Struct, frozen=True, gc=False):
    """A session whole, as it is saved and restored. There may be many: the collector of garbage passes over them."""

    token: SessionToken
    expiry: ExpirySettings
    keys: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"<SessionRecord of {len(self.keys)} keys>"


class Statistics(NamedTuple):
    """What a store tells of itself, for those who watch it; None for what it does not count.

    `expired` counts how often a session was found to have expired since the store was opened; `size` is in bytes of
    memory, counted by a store in memory that has limits.
    """

    sessions: int
    keys: int
    expired: int | None = None
    size: int | None = None


class ImmediateVerbs(Protocol):
    """What is asked most of a store, without waiting."""

    def get_now(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Do what `Store.get` does."""

    def create_now(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes]) -> bool:
        """Do what `Store.create` does."""


class Store(Protocol):
    """The verbs. See the module for what holds for all of them."""

    @property
    def immediate(self) -> ImmediateVerbs | None:
        """How to ask without waiting; None where the store has to wait, or has more to do."""
        return None

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """Write these keys over what is there; the others stay."""

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """Write those of these keys that are not there yet."""

    async def get(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the keys of these names, in the order of the names; those that are missing are left out."""

    async def peek(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Do what `get` does. Never extends the expiry."""

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        """Return all keys. Never extends the expiry."""

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        """Remove the keys of these names; those that are missing do no harm."""

    async def swap(self, scope: Scope, name: str, old: bytes, new: bytes) -> bool:
        """Replace the key's value if it is still `old`; tell whether it was. Never extends the expiry."""

    async def clear(self, scope: Scope) -> int:
        """Remove all keys; return how many there were."""

    async def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        """Remove all keys, then write these; return how many were removed. Never extends the expiry."""

    async def count(self, scope: Scope) -> int:
        """Return how many keys there are."""

    async def names(self, scope: Scope, most: int | None = None) -> list[str]:
        """Return the names of all keys, or of so many at the most, in no particular order."""

    async def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        """Return those of these names that are there, in their order, repeated where they are repeated."""

    async def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        """Create a session with these keys and start its timer. Return False, and leave it alone, if it exists."""

    async def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        """Change how a session expires, and replace values of its keys, if all of these are still the old ones.

        A value that is the new one already does as well, so that this may be repeated. Return False if another is
        there; then nothing has changed. `restart` starts the timer. Without it, the session ends when it would have
        ended, or `expiry.duration` seconds from now if that is sooner; never later. A duration of 0 takes the timer
        away, with and without `restart`.
        """

    async def end(self, token: SessionToken) -> bool:
        """End a session. Return False if there is none."""

    async def end_all(self) -> int:
        """End all sessions; return how many there were."""

    async def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        """Return those of these tokens that name a session, in their order, repeated where they are repeated."""

    async def info(self, token: SessionToken) -> SessionInfo:
        """Return a session from outside. Never extends the expiry."""

    async def totals(self) -> tuple[int, int]:
        """Return how many sessions there are, and how many keys they hold together."""

    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        """Return all sessions, or those of these tokens that exist, each once, as of one moment."""

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        """Have `consume` read all sessions, or those of these tokens that exist, each once, as of one moment.

        It is called in a thread, with an iterator that reads on as it goes on: they need not all be in memory. Return
        what it returns, and raise what it raises. A store may call it again if it could not read on.
        """

    async def statistics(self) -> Statistics:
        """Return what the store tells of itself. A store that counts no more than `totals` leaves this as it is."""
        return Statistics(*await self.totals())

    async def sweep(self) -> None:
        """Free what expired sessions occupy. Nothing that can be seen changes."""

    async def check(self) -> None:
        """Return if the store can be read, and what is written to it is kept. Room to write is not looked at.

        Raises:
            StoreError: what would be written now would be lost, or nothing can be read.
        """
        return

    async def aclose(self) -> None:
        """Let go of files and connections. Closing twice does no harm."""
