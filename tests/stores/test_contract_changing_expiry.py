"""Reading without extending, and changing how a session expires: on every store."""

from __future__ import annotations

import pytest

from ndb_models.stores.contract import NEVER, SHARED, ExpirySettings, Scope, Store, UnknownSessionError
from tests.conftest import VirtualClock
from tests.stores.conftest import TOKEN

EXTENDING = ExpirySettings(60, delete_session=True, extend_on_set_add=True, extend_on_get=True)
FIXED = ExpirySettings(60, delete_session=True)
SHORT = ExpirySettings(10, delete_session=True)
LONG = ExpirySettings(100, delete_session=True)
TEN_YEARS = 10 * 365 * 24 * 3600.0


async def remaining(store: Store) -> float | None:
    return (await store.info(TOKEN)).remaining


async def test_peeking_reads_as_getting_does(store: Store, scope: Scope) -> None:
    await store.set(scope, {"a": b"1", "b": b'"x"'})
    for names in (["a", "b"], ["b", "a"], ["b", "nothing"], []):
        assert dict(await store.peek(scope, names)) == dict(await store.get(scope, names))


async def test_peeking_never_extends(store: Store, clock: VirtualClock) -> None:
    await store.create(TOKEN, EXTENDING, {"a": b"1"})
    clock.move(59)
    assert dict(await store.peek(TOKEN, ["a"])) == {"a": b"1"}
    assert await remaining(store) == 1
    clock.move(1)
    with pytest.raises(UnknownSessionError):
        await store.peek(TOKEN, ["a"])


async def test_an_emptied_session_is_peeked_at_as_empty(store: Store, clock: VirtualClock) -> None:
    await store.create(TOKEN, ExpirySettings(60), {"a": b"1"})
    clock.move(60)
    assert dict(await store.peek(TOKEN, ["a"])) == {}


@pytest.mark.parametrize("before", [NEVER, FIXED, EXTENDING, LONG])
@pytest.mark.parametrize("after", [NEVER, SHORT, EXTENDING, LONG])
async def test_another_expiry_starts_the_timer(
    store: Store, clock: VirtualClock, before: ExpirySettings, after: ExpirySettings
) -> None:
    await store.create(TOKEN, before, {"a": b"1"})
    clock.move(59)
    assert await store.expire(TOKEN, after)
    info = await store.info(TOKEN)
    assert (info.key_count, info.expiry, info.remaining) == (1, after, after.duration or None)
    if not after.duration:
        clock.move(TEN_YEARS)
        assert await store.exist([TOKEN]) == [TOKEN]
        return
    clock.move(after.duration - 1)
    assert await store.exist([TOKEN]) == [TOKEN]
    clock.move(1)
    await store.sweep()
    assert await store.totals() == (0, 0)


@pytest.mark.parametrize(("after", "left"), [(SHORT, 1), (LONG, 1), (ExpirySettings(1, delete_session=True), 1)])
async def test_without_a_restart_it_never_ends_later(
    store: Store, clock: VirtualClock, after: ExpirySettings, left: float
) -> None:
    await store.create(TOKEN, EXTENDING, {"a": b"1"})
    clock.move(59)
    assert await store.expire(TOKEN, after, restart=False)
    assert await remaining(store) == left


async def test_without_a_restart_what_never_ended_ends_after_the_duration(store: Store, clock: VirtualClock) -> None:
    await store.create(TOKEN, NEVER, {"a": b"1"})
    clock.move(59)
    assert await store.expire(TOKEN, SHORT, restart=False)
    assert await remaining(store) == 10
    clock.move(10)
    await store.sweep()
    assert await store.totals() == (0, 0)


@pytest.mark.parametrize("before", [FIXED, ExpirySettings(60)])
async def test_an_expiry_of_never_takes_the_timer_away_also_without_a_restart(
    store: Store, clock: VirtualClock, before: ExpirySettings
) -> None:
    await store.create(TOKEN, before, {"a": b"1"})
    clock.move(59)
    assert await store.expire(TOKEN, NEVER, restart=False)
    clock.move(TEN_YEARS)
    assert dict(await store.get(TOKEN, ["a"])) == {"a": b"1"}
    assert await remaining(store) is None


async def test_what_is_not_there_gets_no_expiry(store: Store, clock: VirtualClock) -> None:
    with pytest.raises(UnknownSessionError):
        await store.expire(TOKEN, LONG)
    await store.create(TOKEN, SHORT)
    clock.move(10)
    with pytest.raises(UnknownSessionError):
        await store.expire(TOKEN, LONG)
    assert await store.totals() == (0, 0)


async def test_values_are_replaced_with_the_expiry_if_they_are_the_old_ones(store: Store) -> None:
    await store.create(TOKEN, FIXED, {"a": b"1", "b": b'"x"', "c": b"3"})
    assert await store.expire(TOKEN, LONG, swaps={"a": (b"1", b"[1]"), "c": (b"3", b"4")})
    assert await store.get_all(TOKEN) == {"a": b"[1]", "b": b'"x"', "c": b"4"}
    assert dict(await store.get(TOKEN, ["a", "b", "c"])) == {"a": b"[1]", "b": b'"x"', "c": b"4"}
    assert (await store.info(TOKEN)).expiry == LONG


async def test_nothing_changes_if_one_value_is_another(store: Store, clock: VirtualClock) -> None:
    await store.create(TOKEN, FIXED, {"a": b"1", "b": b"2"})
    clock.move(20)
    for swaps in ({"a": (b"1", b"3"), "b": (b"9", b"4")}, {"a": (b"1", b"3"), "gone": (b"1", b"2")}):
        assert not await store.expire(TOKEN, LONG, swaps=swaps)
        assert await store.get_all(TOKEN) == {"a": b"1", "b": b"2"}
        assert (await store.info(TOKEN)).expiry == FIXED
        assert await remaining(store) == 40


async def test_changing_again_what_is_changed_already_does_no_harm(store: Store) -> None:
    await store.create(TOKEN, FIXED, {"a": b"1"})
    for _ in range(2):
        assert await store.expire(TOKEN, LONG, swaps={"a": (b"1", b"2")})
        assert await store.get_all(TOKEN) == {"a": b"2"}


async def test_the_longest_duration_is_kept(store: Store, clock: VirtualClock) -> None:
    longest = ExpirySettings(2**64 - 1, delete_session=True, extend_on_set_add=True, extend_on_get=True)
    await store.create(TOKEN, longest, {"a": b"1"})
    clock.move(TEN_YEARS)
    assert dict(await store.get(TOKEN, ["a"])) == {"a": b"1"}
    await store.set(TOKEN, {"a": b"2"})
    await store.sweep()
    info = await store.info(TOKEN)
    assert info.expiry == longest
    assert info.remaining is not None
    assert info.remaining >= 2**64 - 2**12
    assert await store.expire(TOKEN, SHORT)
    assert await remaining(store) == 10


async def test_the_shared_map_has_nothing_to_extend(store: Store) -> None:
    await store.set(SHARED, {"a": b"1"})
    assert dict(await store.peek(SHARED, ["a"])) == {"a": b"1"}
