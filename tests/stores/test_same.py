"""Whatever is done in whatever order, at whatever times: every store answers as the one in memory does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndb_models.expectations import TextDigest
from ndb_models.stores.contract import SHARED, ExpirySettings, Scope, SessionInfo, SessionRecord, Store
from ndb_models.stores.contract import UnknownSessionError as Unknown
from tests.conftest import VirtualClock
from tests.stores.conftest import STORES, WAYS, open_memory

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

Step: TypeAlias = Callable[[Store, VirtualClock], Awaitable[object]]
"""Does one thing; returns what came of it."""

TOKENS = st.sampled_from([0, 1, 2**63, 2**64 - 1])
SCOPES: st.SearchStrategy[Scope] = st.one_of(st.just(SHARED), TOKENS, TOKENS, TOKENS)
NAMES = st.lists(st.sampled_from(["", "a", "A", "b", "\u00e9", "e\u0301", "nul\0"]), max_size=4)
VALUES = st.sampled_from([b"1", b"1.0", b'"\\u0000"', b"null", b"[1 ]"])
KEYS = st.builds(lambda names, value: dict.fromkeys(names, value), NAMES, VALUES)
SETTINGS = st.builds(
    ExpirySettings,
    *(st.sampled_from([0, 1, 7, 60]), st.booleans(), st.booleans(), st.booleans(), st.sampled_from([0, 0, 1, 3, 30])),
)


def moving(seconds: float) -> Step:
    async def move(_store: Store, clock: VirtualClock) -> None:
        clock.move(seconds)

    return move


def doing(verb: Callable[..., Awaitable[object]]) -> Callable[..., Step]:
    """Make of a verb, and what it is given, a step."""

    def with_arguments(*arguments: object) -> Step:
        async def do(store: Store, _clock: VirtualClock) -> object:
            try:
                return comparable(await verb(store, *arguments))
            except Unknown:
                return Unknown

        return do

    return with_arguments


def comparable(outcome: object) -> object:
    """What has no order is put into one; times are compared as far as floats can be."""
    if isinstance(outcome, SessionInfo) and outcome.remaining is not None:
        return outcome.key_count, outcome.expiry, round(outcome.remaining, 6)
    if isinstance(outcome, list):
        return sorted(outcome, key=lambda each: (repr(each), each.token if isinstance(each, SessionRecord) else 0))
    return outcome


STEPS = st.one_of(
    st.builds(moving, st.sampled_from([0.5, 1.0, 6.5, 59.875, 60.0, 133.0])),
    st.builds(doing(lambda store, *given: store.set(*given)), SCOPES, KEYS),
    st.builds(doing(lambda store, *given: store.add(*given)), SCOPES, KEYS),
    st.builds(doing(lambda store, *given: store.get(*given)), SCOPES, NAMES),
    st.builds(doing(lambda store, *given: store.get_all(*given)), SCOPES),
    st.builds(doing(lambda store, *given: store.remove(*given)), SCOPES, NAMES),
    st.builds(
        doing(lambda store, *given: store.change(*given)),
        SCOPES,
        KEYS,
        NAMES,
        st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), VALUES, VALUES.map(TextDigest.of)), max_size=2),
    ),
    st.builds(doing(lambda store, *given: store.replace(*given)), SCOPES, KEYS),
    st.builds(doing(lambda store, *given: store.count(*given)), SCOPES),
    st.builds(doing(lambda store, *given: store.names(*given)), SCOPES),
    st.builds(doing(lambda store, *given: store.contains(*given)), SCOPES, NAMES),
    st.builds(doing(lambda store, *given: store.create(*given)), TOKENS, SETTINGS),
    st.builds(doing(lambda store, *given: store.create(*given)), TOKENS, SETTINGS, KEYS),
    st.builds(doing(lambda store, *given: store.end(*given)), TOKENS),
    st.builds(doing(lambda store: store.end_all())),
    st.builds(doing(lambda store, *given: store.exist(*given)), st.lists(TOKENS)),
    st.builds(doing(lambda store, *given: store.info(*given)), TOKENS),
    st.builds(doing(lambda store: store.totals())),
    st.builds(doing(lambda store: store.export())),
    st.builds(doing(lambda store: store.sweep())),
)


async def outcomes(way: str, steps: Sequence[Step], directory: Path) -> list[object]:
    clock = VirtualClock()
    async with WAYS[way](directory, clock) as store:
        return [await step(store, clock) for step in steps]


@pytest.mark.parametrize("way", [name for name in STORES if STORES[name] is not open_memory])
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=60))
def test_a_store_answers_as_the_one_in_memory_does(way: str, steps: list[Step]) -> None:
    with TemporaryDirectory() as directory:
        expected = asyncio.run(outcomes("memory", steps, Path(directory)))
        assert asyncio.run(outcomes(way, steps, Path(directory))) == expected
