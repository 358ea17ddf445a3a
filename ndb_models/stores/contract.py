"""The contract of a store.

A store keeps maps of keys: one shared map, and one for each session. The same verbs work on both. Their first argument
names the map: a session's token, or `SHARED`. A value is the UTF-8 text of one JSON value. A store keeps it byte for
byte and never looks inside. Keys may be given, and returned, as an `ObjectText`: a mapping like any other, but already
one text.

Every verb is atomic: it happens whole or not at all, and no other verb sees it half done. If the session of a map never
existed, or has ended, the verb raises `UnknownSessionError` and leaves the store unchanged.

Expiry is exact. Once a session's time has come, every verb finds it gone or emptied, whether or not it has been swept.
The time comes `expiry.duration` seconds after the timer was started. Then the session ends (`delete_session`), or it
loses its keys and its timer starts again, as often as it takes. Only `set`, `add`, `change` and `get` restart the
timer, and only if the session's `extend_on_set_add` or `extend_on_get` says so, at most once in `touch_every` seconds.
In between they leave the timer as it is, and a `get` writes nothing. `expire` restarts it if told to. If the clock is
set back, a session ends no later than its duration from then on. This is put right when it is next touched or swept.

The verbs on one map are plain functions, in `Verbs`. A `Store` decides where they run, and who waits for them: its
`read` and `write` carry out a function of the verbs. In memory that is at once, in a file it is in a thread and a
transaction. For a store elsewhere, each verb returns an awaitable, and the function must be the call of one verb.
"""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias, TypeVar

from ndb_models.errors import NdbError
from ndb_models.expectations import NO_EXPECTATIONS, Expected
from ndb_models.json_text import ObjectText
from ndb_models.stores.new_tokens import draw_token as draw_token
from ndb_models.stores.records import SessionInfo as SessionInfo
from ndb_models.stores.records import SessionPage as SessionPage
from ndb_models.stores.records import SessionRecord as SessionRecord
from ndb_models.stores.records import Statistics as Statistics
from ndb_models.types import NEVER as NEVER
from ndb_models.types import ExpirySettings as ExpirySettings
from ndb_models.types import SessionToken

T = TypeVar("T")

Scope: TypeAlias = SessionToken | None
"""Names a map of keys: a session's token, or `SHARED`."""

SHARED: Final = None


class UnknownSessionError(NdbError):
    """No session has this token: it never existed, has ended, or has expired."""


class Limit(Enum):
    """The limits that a store may have."""

    SESSIONS = "sessions"
    KEYS = "keys in a session"
    BYTES = "bytes of names and values, and of memory around them"


class LimitError(NdbError):
    """A change would exceed a limit of the store, which is unchanged. Attributes: `limit`, `most`."""

    def __init__(self, limit: Limit, most: int) -> None:
        self.limit = limit
        self.most = most
        super().__init__(f"the store keeps at most {most} {limit.value}")


class TooLargeError(NdbError):
    """The values to read are larger together than `most` bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(f"the values are larger together than {most} bytes")


NO_KEYS: Final[Mapping[str, bytes]] = MappingProxyType({})

Swaps: TypeAlias = Mapping[str, tuple[bytes, bytes]]
"""The values to replace, by key: the old one and the new one."""

NO_SWAPS: Final[Swaps] = MappingProxyType({})


class Verbs(Protocol):
    """The verbs on one map, or on one session. The module's docstring holds for all of them."""

    def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """Write these keys, over existing ones too; other keys stay."""

    def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """Write the keys that do not exist yet; existing keys stay as they are."""

    def get(self, scope: Scope, names: tuple[str, ...], most: int | None = None) -> ObjectText:
        """Return the keys with these names, in the order of the names. Missing keys are left out.

        Raises:
            TooLargeError: names and values are larger together than `most` bytes. A single key may be of any size, and
                so may keys that are stored as one text.
        """

    def peek(self, scope: Scope, names: tuple[str, ...], most: int | None = None) -> ObjectText:
        """Do the same as `get`, but never extend the expiry."""

    def get_all(self, scope: Scope) -> dict[str, bytes]:
        """Return all keys. Never extends the expiry."""

    def remove(self, scope: Scope, names: Iterable[str]) -> None:
        """Remove the keys with these names. Missing keys do no harm."""

    def change(
        self,
        scope: Scope,
        keys: Mapping[str, bytes],
        removed: Collection[str] = (),
        expected: Expected = NO_EXPECTATIONS,
    ) -> bool:
        """Write some keys and remove others, if the keys in `expected` have these values; tell whether they had.

        A key that is both written and removed is written. If a value differs, the session is unchanged, and its expiry
        is not extended. Otherwise this counts as `set`.
        """

    def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        """Remove all keys, then write these; return how many were removed. Never extends the expiry."""

    def count(self, scope: Scope) -> int:
        """Return how many keys there are."""

    def names(self, scope: Scope, most: int | None = None) -> list[str]:
        """Return the names of all keys, or of at most `most` keys, in no particular order."""

    def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        """Return the names that exist, in the given order. A repeated name is returned as often."""

    def new(self, expiry: ExpirySettings) -> SessionToken:
        """Create a session without keys under an unpredictable token, start its timer, and return the token."""

    def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        """Create a session with these keys and start its timer. If it exists, leave it alone and return False."""

    def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        """Change how a session expires, and swap values of its keys, if every value is still the old one.

        A value that is the new one already will do as well, so that this may be repeated. If a key has any other
        value, return False and leave the session unchanged. `restart` starts the timer. Without it, the session ends
        when it would have ended, or `expiry.duration` seconds from now if that is sooner; never later. A duration of 0
        removes the timer, with or without `restart`.
        """

    def end(self, token: SessionToken) -> bool:
        """End a session. Return False if it does not exist."""

    def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        """Return the tokens that name a session, in the given order. A repeated token is returned as often."""

    def info(self, token: SessionToken) -> SessionInfo:
        """Return facts about a session. Never extends the expiry."""


VERBS: Final = frozenset(name for name in vars(Verbs) if not name.startswith("_"))
"""The names of the verbs."""


class AwaitedVerbs(ABC):
    """Every verb of `Verbs`, awaited. Each is one step of its own."""

    @abstractmethod
    def read(self, work: Callable[[Verbs], T]) -> Awaitable[T]:
        """Carry out work that only reads, in one step. It may be carried out more than once."""

    @abstractmethod
    def write(self, work: Callable[[Verbs], T]) -> Awaitable[T]:
        """Carry out work in one step. If it fails, nothing is changed, and it may be carried out again."""

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """Work as `Verbs.set`."""
        written = _unshared(keys)
        await self.write(lambda verbs: verbs.set(scope, written))

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """Work as `Verbs.add`."""
        written = _unshared(keys)
        await self.write(lambda verbs: verbs.add(scope, written))

    async def get(self, scope: Scope, names: Iterable[str], most: int | None = None) -> ObjectText:
        """Work as `Verbs.get`."""
        asked = tuple(names)
        return await self.read(lambda verbs: verbs.get(scope, asked, most))

    async def peek(self, scope: Scope, names: Iterable[str], most: int | None = None) -> ObjectText:
        """Work as `Verbs.peek`."""
        asked = tuple(names)
        return await self.read(lambda verbs: verbs.peek(scope, asked, most))

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        """Work as `Verbs.get_all`."""
        return await self.read(lambda verbs: verbs.get_all(scope))

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        """Work as `Verbs.remove`."""
        removed = tuple(names)
        await self.write(lambda verbs: verbs.remove(scope, removed))

    async def change(
        self,
        scope: Scope,
        keys: Mapping[str, bytes],
        removed: Iterable[str] = (),
        expected: Expected = NO_EXPECTATIONS,
    ) -> bool:
        """Work as `Verbs.change`."""
        written, gone, compared = _unshared(keys), tuple(removed), dict(expected)
        return await self.write(lambda verbs: verbs.change(scope, written, gone, compared))

    async def clear(self, scope: Scope) -> int:
        """Remove all keys; return how many there were."""
        return await self.replace(scope, NO_KEYS)

    async def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        """Work as `Verbs.replace`."""
        written = _unshared(keys)
        return await self.write(lambda verbs: verbs.replace(scope, written))

    async def count(self, scope: Scope) -> int:
        """Work as `Verbs.count`."""
        return await self.read(lambda verbs: verbs.count(scope))

    async def names(self, scope: Scope, most: int | None = None) -> list[str]:
        """Work as `Verbs.names`."""
        return await self.read(lambda verbs: verbs.names(scope, most))

    async def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        """Work as `Verbs.contains`."""
        asked = tuple(names)
        return await self.read(lambda verbs: verbs.contains(scope, asked))

    async def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        """Work as `Verbs.create`."""
        written = _unshared(keys)
        return await self.write(lambda verbs: verbs.create(token, expiry, written))

    async def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        """Work as `Verbs.expire`."""
        wanted = dict(swaps)
        return await self.write(lambda verbs: verbs.expire(token, expiry, restart=restart, swaps=wanted))

    async def end(self, token: SessionToken) -> bool:
        """Work as `Verbs.end`."""
        return await self.write(lambda verbs: verbs.end(token))

    async def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        """Work as `Verbs.exist`."""
        asked = tuple(tokens)
        return await self.read(lambda verbs: verbs.exist(asked))

    async def info(self, token: SessionToken) -> SessionInfo:
        """Work as `Verbs.info`."""
        return await self.read(lambda verbs: verbs.info(token))


class Store(AwaitedVerbs):
    """Where the keys live, and who waits for them. The module's docstring holds for all methods.

    Attributes:
        verbs: the verbs for callers that need not wait; None if the store has to wait.
    """

    verbs: Verbs | None = None

    @abstractmethod
    async def end_all(self) -> int:
        """End all sessions; return how many there were. In a store elsewhere, others may create some meanwhile."""

    @abstractmethod
    async def totals(self) -> tuple[int, int]:
        """Return the number of sessions, and the number of all their keys, as of the moment of `export`."""

    @abstractmethod
    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        """Return all sessions, or the existing ones among `tokens`, each once, as of one moment.

        A store elsewhere returns each session as of a moment of its own. Then it returns each session once that lives
        all the time, and any of those that are created or end meanwhile.
        """

    @abstractmethod
    async def page(self, name: str, after: SessionToken | None, count: int, most: int) -> SessionPage:
        """Return a key of the next sessions, in an order of tokens that never changes. Never extends the expiry.

        A caller that begins without `after`, and goes on after `last` until it is None, reads each session that lives
        all the time exactly once, and no session twice. Of sessions that are created or end meanwhile, it may read any.

        Args:
            name: the name of the key. Sessions without it are passed over.
            after: a token that an earlier page ended with; None to begin.
            count: how many sessions are looked at.
            most: bytes. The page ends early where its values would be larger together. A single value may be.
        """

    @abstractmethod
    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        """Have `consume` read all sessions, or the existing ones among `tokens`, as of the moment of `export`.

        `consume` is called in a thread, with an iterator that reads from the store as it advances: the sessions need
        not all fit in memory. Return the result of `consume`, and let its errors through. A store may call it again if
        reading failed halfway.
        """

    @property
    def expired(self) -> int | None:
        """How often this store object found a session expired since it was opened; None if it does not count."""
        return None

    async def statistics(self) -> Statistics:
        """Return the store's figures. A store that counts no more than these need not override this."""
        return Statistics(*await self.totals(), self.expired)

    @abstractmethod
    async def sweep(self) -> None:
        """Free the room that expired sessions occupy. Every verb returns the same as without it."""

    async def check(self) -> None:
        """Return if the store can be read and keeps new writes. Room for writes is not checked.

        Raises:
            StoreError: new writes would be lost, or the store cannot be read.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close files and connections. Closing twice does no harm."""


def _unshared(keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return keys that the caller cannot change later."""
    return keys if type(keys) is ObjectText else dict(keys)
