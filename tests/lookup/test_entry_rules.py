"""Decisions about index entries, without a store."""

from __future__ import annotations

import pytest

from ndb_models import JsonValue
from ndb_models.index.entries import (
    PENDING_SECONDS,
    VACANT,
    Fate,
    IndexEntry,
    entries_in,
    fate_of,
    holds,
    later_claim,
    leads,
    next_number,
    release,
    sessions_in_all,
    sorted_out,
)
from ndb_models.index.session_state import GONE, LIVING, OTHER, UNFINISHED, SeenSession, SessionState
from ndb_models.schema.lookup import LookupValue, digest

NOW = 1_000_000_000
OLD = int(NOW - PENDING_SECONDS * 1000)
VALUE = LookupValue("email", "the name", digest(b'"a"'))


def seen(state: SessionState, text: bytes = b'"b"') -> SeenSession:
    return SeenSession(7, state, {"email": text} if state is LIVING else {})


@pytest.mark.parametrize(
    ("session", "made_at", "at_once", "fate"),
    [
        (seen(LIVING, b'"a"'), OLD, True, Fate.KEEP),
        (seen(LIVING), OLD, False, Fate.REMOVE),
        (seen(LIVING), OLD + 1, False, Fate.KEEP),
        (seen(LIVING), OLD + 1, True, Fate.REMOVE),
        (seen(GONE), NOW, False, Fate.REMOVE),
        (seen(UNFINISHED), NOW, False, Fate.KEEP),
        (seen(UNFINISHED), OLD, False, Fate.END_CREATION),
        (seen(UNFINISHED), NOW, True, Fate.END_CREATION),
        (seen(OTHER), NOW, False, Fate.KEEP),
        (seen(OTHER), OLD, False, Fate.REMOVE),
    ],
)
def test_an_entry_goes_once_it_cannot_become_true(
    session: SeenSession, made_at: int, at_once: bool, fate: Fate
) -> None:
    assert fate_of(IndexEntry("7", 7, made_at), session, VALUE, NOW, at_once=at_once) is fate


@pytest.mark.parametrize(
    ("session", "made_at", "held"),
    [
        (seen(LIVING, b'"a"'), OLD, True),
        (seen(LIVING), OLD, False),
        (seen(LIVING), NOW, True),
        (seen(GONE), NOW, False),
        (seen(UNFINISHED), NOW, False),
        (seen(OTHER), NOW, True),
        (seen(OTHER), OLD, False),
    ],
)
def test_a_claim_holds_a_value_that_its_session_has_or_may_take_in_a_moment(
    session: SeenSession, made_at: int, held: bool
) -> None:
    assert holds(IndexEntry("0", 7, made_at), session, VALUE, NOW) is held


def test_claims_are_numbered_from_0_and_the_highest_leads() -> None:
    one, two = IndexEntry("9", 7, NOW), IndexEntry("10", 8, NOW)
    assert (next_number([]), next_number([one, two])) == ("0", "11")
    assert not leads([], 7)
    assert not leads([one, two], 7)
    assert leads([one, two], 8)
    assert leads([one, two], 8, "10")
    assert not leads([one, two], 8, "9")
    assert later_claim([one, two], "9") == two
    assert later_claim([one, two], "10") is None
    assert later_claim([], "0") is None


def test_the_highest_claim_is_vacated_and_others_are_removed() -> None:
    claims = [IndexEntry(f"{number}", tkn, NOW) for number, tkn in enumerate((7, 8, 7))]
    assert release(claims, lambda claim: claim.tkn == 7) == (claims[2], ["0"])
    assert release(claims, lambda claim: claim.tkn == 8) == (None, ["1"])
    assert release(claims, lambda claim: claim.tkn == 9) == (None, [])
    assert claims[2].vacated() == IndexEntry("2", VACANT, NOW)


def test_unfinished_creations_are_kept_apart_from_void_claims() -> None:
    claims = [IndexEntry("0", VACANT, NOW), IndexEntry("1", 7, NOW), IndexEntry("2", 8, NOW), IndexEntry("3", 9, NOW)]
    others = sorted_out(claims, {7: seen(UNFINISHED), 8: seen(GONE)})
    assert others == ([claims[0], claims[2], claims[3]], [claims[1]])


def test_sessions_of_all_lists_come_in_the_order_of_the_first() -> None:
    first = [IndexEntry("1", 1, 30), IndexEntry("2", 2, 10), IndexEntry("3", VACANT, 5), IndexEntry("4", 4, 20)]
    second = [IndexEntry("4", 4, 1), IndexEntry("1", 1, 2)]
    assert sessions_in_all([], claims=False) == []
    assert sessions_in_all([first], claims=False) == [2, 4, 1]
    assert sessions_in_all([first], claims=True) == [4, 2, 1]
    assert sessions_in_all([first, second], claims=False) == [4, 1]


def test_keys_that_are_no_entries_are_skipped() -> None:
    keys: dict[str, JsonValue] = {
        "10": [7, 5],
        "9": [8, 6],
        "x": [7, 5],
        "1": 7,
        "2": [7],
        "3": ["7", 5],
        "4": [7, "5"],
        "5": [-1, 5],
    }
    assert entries_in({**keys, "\u0663": [7, 5], "6": [7, 5, 5]}) == [IndexEntry("9", 8, 6), IndexEntry("10", 7, 5)]
