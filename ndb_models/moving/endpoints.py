"""The interfaces of what is copied: sources and targets.

Sessions and keys come and go in parts, so that their number does not matter. Copying twice does no harm: a store or a
server keeps the entries that it already has, and a data set is written anew.
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
"""Returns the tokens, among these, of the sessions that a target lacks."""


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
        """Yield the live sessions that are lacking. Each is whole and as of one moment, which is not the same for all.

        Sessions that the target has are not read. So a copy that was cut short is soon where it was.
        """

    async def most_sessions(self) -> int | None:
        """Return a number that the sessions do not exceed; None if that is not known without counting them."""

    async def aclose(self) -> None:
        """Close the place. Closing twice does no harm."""


class Target(Protocol):
    """A target of copied data. `kinds` are the kinds that it can take; `refusal` says why it takes no others."""

    kinds: Kinds
    refusal: str

    async def put_keys(self, keys: Keys) -> int | None:
        """Write the keys that the target lacks; return how many, or None where that cannot be known."""

    async def lacking(self, tokens: Sequence[SessionToken]) -> Sequence[SessionToken]:
        """Return the tokens, among these, of the sessions that the target lacks."""

    async def put_sessions(self, records: Sequence[SessionRecord]) -> int:
        """Create the sessions that the target lacks, with fresh timers; return how many."""

    async def finish(self, kinds: Kinds) -> None:
        """Complete the copy, once all data of these kinds has been put."""

    async def aclose(self) -> None:
        """Close the place; unfinished data may be lost. Closing twice does no harm."""
