"""Places to copy from and to: what each can give and take.

Sessions and keys come and go in parts, so that it does not matter how many there are. A place leaves alone what it
has: what is copied twice is there once.
"""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import Flag, auto
from typing import Protocol, TypeAlias

from ndb_models.stores.contract import SessionRecord

Keys: TypeAlias = Mapping[str, bytes]


class Kinds(Flag):
    """What there is to copy."""

    KEYS = auto()
    SESSIONS = auto()


class Source(Protocol):
    """Where things are copied from. `kinds` are those that it can give."""

    kinds: Kinds

    def keys(self) -> AsyncIterator[Keys]:
        """Yield the shared keys."""

    def sessions(self) -> AsyncIterator[Sequence[SessionRecord]]:
        """Yield the sessions that are alive, each whole and as of one moment; not all as of the same."""

    async def aclose(self) -> None:
        """Let go. Closing twice does no harm."""


class Target(Protocol):
    """Where things are copied to. `kinds` are those that it can take; `refusal` says why not the others."""

    kinds: Kinds
    refusal: str

    async def put_keys(self, keys: Keys) -> int | None:
        """Write those of these keys that are not there; return how many, None where that cannot be known."""

    async def put_sessions(self, records: Sequence[SessionRecord]) -> int:
        """Create those of these sessions that are not there, their timers started afresh; return how many."""

    async def finish(self, kinds: Kinds) -> None:
        """Do what remains to be done when everything of these kinds is there."""

    async def aclose(self) -> None:
        """Let go; what was not finished may be lost. Closing twice does no harm."""
