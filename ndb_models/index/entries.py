"""Decides about index entries, without I/O.

- An entry is made before the write that makes it true. It can be false for `PENDING_SECONDS` for this reason alone, and
  then it will not become true any more.
- The entries of a unique value are claims, numbered from 0. The highest claim is never removed, only vacated, so the
  highest number never falls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from operator import attrgetter
from typing import Final, NamedTuple

from ndb_models.index.session_state import GONE, UNFINISHED, SeenSession
from ndb_models.index.stored_entries import VACANT as VACANT
from ndb_models.index.stored_entries import IndexEntry as IndexEntry
from ndb_models.index.stored_entries import entries_in as entries_in
from ndb_models.schema.lookup import LookupValue
from ndb_models.types import SessionToken

PENDING_SECONDS: Final = 120.0
"""Seconds after which the write that an entry was made for is done, or never will be."""


def is_pending(entry: IndexEntry, now: int) -> bool:
    """Return True if an entry is so young, at `now` in ms since 1970, that a process may be about to make it true."""
    return now - entry.made_at < PENDING_SECONDS * 1000


class Fate(Enum):
    """The decision on an entry after its session was read."""

    KEEP = "it is true, or may become true"
    REMOVE = "it is false, and stays so"
    END_CREATION = "it is false once the unfinished creation of its session is ended"


def fate_of(entry: IndexEntry, seen: SeenSession, value: LookupValue, now: int, *, at_once: bool) -> Fate:
    """Return the fate of an entry of a value.

    Args:
        entry: the entry.
        seen: its session, as it was seen after the entry was read.
        value: the value.
        now: in milliseconds since 1970.
        at_once: True if no other process is writing sessions, so that entries of any age may go.
    """
    if seen.has(value):
        return Fate.KEEP
    if seen.state is GONE:
        return Fate.REMOVE
    if is_pending(entry, now) and not at_once:
        return Fate.KEEP
    return Fate.END_CREATION if seen.state is UNFINISHED else Fate.REMOVE


_by_age: Final = attrgetter("made_at", "tkn")


def sessions_in_all(listings: Sequence[Sequence[IndexEntry]], *, claims: bool) -> list[SessionToken]:
    """Return the sessions that are in all lists of entries, each once.

    The oldest entries of the first list come first. Of claims, it is the highest.
    """
    if not listings:
        return []
    first, *others = listings
    ordered = reversed(first) if claims else sorted(first, key=_by_age)
    tokens = dict.fromkeys([entry.tkn for entry in ordered if entry.tkn != VACANT])
    for other in others:
        listed = {entry.tkn for entry in other}
        tokens = {tkn: None for tkn in tokens if tkn in listed}
    return [*tokens]


# Claims


def leads(claims: Sequence[IndexEntry], tkn: SessionToken, key: str | None = None) -> bool:
    """Return True if the highest claim is this session's, and has this number if one is given."""
    return bool(claims) and claims[-1].tkn == tkn and key in (None, claims[-1].key)


def next_number(claims: Sequence[IndexEntry]) -> str:
    """Return the number of the next claim."""
    return str(int(claims[-1].key) + 1) if claims else "0"


class OtherClaims(NamedTuple):
    """The claims to a value that stand in the way of a new one: void ones, and those of unfinished creations."""

    void: Sequence[IndexEntry]
    unfinished: Sequence[IndexEntry]


def holds(claim: IndexEntry, seen: SeenSession, value: LookupValue, now: int) -> bool:
    """Return True if the session of a claim has the value, or may have it in a moment.

    An unfinished creation does not hold a value: it can be refused.
    """
    if seen.state in (GONE, UNFINISHED):
        return False
    return seen.has(value) or is_pending(claim, now)


def sorted_out(claims: Sequence[IndexEntry], seen: Mapping[SessionToken, SeenSession]) -> OtherClaims:
    """Divide the claims that hold no value. `seen` has their sessions, except vacant ones and the claimant's own."""
    unfinished = [claim for claim in claims if claim.tkn in seen and seen[claim.tkn].state is UNFINISHED]
    return OtherClaims([claim for claim in claims if claim not in unfinished], unfinished)


class Release(NamedTuple):
    """How claims are given up: the claim to vacate, if any, and the numbers of those to remove."""

    vacate: IndexEntry | None
    remove: Sequence[str]


def release(claims: Sequence[IndexEntry], chosen: Callable[[IndexEntry], bool]) -> Release:
    """Return how to give up the chosen ones of all claims to a value."""
    given_up = [*filter(chosen, claims)]
    vacate = given_up.pop() if given_up and given_up[-1] is claims[-1] else None
    return Release(vacate, [claim.key for claim in given_up])


def later_claim(claims: Sequence[IndexEntry], key: str) -> IndexEntry | None:
    """Return the highest claim if it has a higher number than this one, otherwise None."""
    return claims[-1] if claims and int(claims[-1].key) > int(key) else None
