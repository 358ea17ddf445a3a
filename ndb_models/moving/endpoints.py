"""The interfaces of the sources and targets of a copy.

Sessions and keys are read and written in parts, so that memory does not grow with their number. Copying twice does no
harm: a store or a server keeps the entries that it already has, and a data set is written anew.
"""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from enum import Flag, auto
from typing import Protocol, TypeAlias

from ndb_models.stores.contract import SessionRecord
from ndb_models.types import SessionToken

Keys: TypeAlias = Mapping[str, bytes]
Lacking: TypeAlias = Callable[[Sequence[SessionToken]], Awaitable[Sequence[SessionToken]]]
"""Takes tokens, and returns those whose sessions the target does not have."""


class Kinds(Flag):
    """The kinds of data to copy: `KEYS`, `SESSIONS`, or both with `|`."""

    KEYS = auto()
    SESSIONS = auto()


class Source(Protocol):
    """A source of copied data. `kinds` are the kinds that it can give."""

    kinds: Kinds

    def keys(self) -> AsyncIterator[Keys]:
        """Yield the shared keys."""

    def sessions(self, lacking: Lacking) -> AsyncIterator[Sequence[SessionRecord]]:
        """Yield the live sessions that the target lacks. A session is whole, as of one moment; sessions differ in it.

        Sessions that the target has are not read. So a copy that was cut short catches up quickly when it runs again.
        """

    async def most_sessions(self) -> int | None:
        """Return an upper bound on the number of sessions; None if only counting them would tell."""

    async def aclose(self) -> None:
        """Close the place. Closing twice does no harm."""


class Target(Protocol):
    """A target of copied data. `kinds` are the kinds that it can take; `refusal` says why it takes no others."""

    kinds: Kinds
    refusal: str

    async def put_keys(self, keys: Keys) -> int | None:
        """Write the keys that the target lacks; return how many, or None where that cannot be known."""

    async def lacking(self, tokens: Sequence[SessionToken]) -> Sequence[SessionToken]:
        """Return those of the tokens whose sessions the target lacks."""

    async def put_sessions(self, records: Sequence[SessionRecord]) -> int:
        """Create the sessions that the target lacks, with fresh timers; return how many."""

    async def finish(self, kinds: Kinds) -> None:
        """Complete the copy, once all data of these kinds has been put."""

    async def aclose(self) -> None:
        """Close the place; unfinished data may be lost. Closing twice does no harm."""
