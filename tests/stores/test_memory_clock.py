"""The store in memory on a clock that was wrong: nothing lives longer than its duration from when it is put right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from ndb_models.stores.contract import ExpirySettings, Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from tests.conftest import VirtualClock

HOUR = 3600.0
OFF = [HOUR, 10 * 365 * 24 * HOUR]
TOKEN = 5
FIXED = ExpirySettings(60, delete_session=True)
EXTENDING = ExpirySettings(60, delete_session=True, extend_on_set_add=True, extend_on_get=True)
STAYING = ExpirySettings(60)

TOUCHES: dict[str, Callable[[Store], Awaitable[object]]] = {
    "get": lambda store: store.get(TOKEN, ["a"]),
    "peek": lambda store: store.peek(TOKEN, ["a"]),
    "set": lambda store: store.set(TOKEN, {"a": b"2"}),
    "count": lambda store: store.count(TOKEN),
    "info": lambda store: store.info(TOKEN),
    "exist": lambda store: store.exist([TOKEN]),
    "export": lambda store: store.export(),
    "sweep": lambda store: store.sweep(),
    "create": lambda store: store.create(6, FIXED),
}


@pytest.fixture(params=["memory", "bounded"])
def store(request: pytest.FixtureRequest, clock: VirtualClock) -> Store:
    if request.param == "memory":
        return MemoryStore(clock=clock)
    return MemoryStore(StoreLimits(sessions=100), clock=clock)


@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("settings", [FIXED, EXTENDING, STAYING])
@pytest.mark.parametrize("touch", TOUCHES)
async def test_a_clock_that_is_set_back_makes_no_session_live_longer(
    store: Store, clock: VirtualClock, off: float, settings: ExpirySettings, touch: str
) -> None:
    clock.move(off)
    await store.create(TOKEN, settings, {"a": b"1"})
    clock.move(-off)
    await TOUCHES[touch](store)
    left = (await store.info(TOKEN)).remaining
    assert left == 60
    clock.move(60)
    await store.sweep()
    assert await store.exist([TOKEN]) == ([TOKEN] if settings is STAYING else [])
    assert (await store.totals())[1] == 0


@pytest.mark.parametrize("off", OFF)
async def test_what_was_extended_on_the_wrong_clock_is_swept_in_time(
    store: Store, clock: VirtualClock, off: float
) -> None:
    await store.create(TOKEN, EXTENDING, {"a": b"1"})
    clock.move(59)
    clock.move(off)
    await store.create(6, EXTENDING)
    await store.get(6, [])
    clock.move(-off)
    for _ in range(3):
        await store.sweep()
        clock.move(60)
    await store.sweep()
    assert await store.totals() == (0, 0)


@pytest.mark.parametrize("off", OFF)
async def test_many_that_were_created_on_the_wrong_clock_are_freed_by_creations(
    clock: VirtualClock, off: float
) -> None:
    store = MemoryStore(StoreLimits(size=100_000), clock=clock)
    clock.move(off)
    for token in range(50):
        await store.create(token, FIXED, {"a": b"1"})
    clock.move(-off)
    await store.create(1000, FIXED)
    clock.move(61)
    await store.create(1001, FIXED)
    statistics = await store.statistics()
    assert (statistics.sessions, statistics.expired) == (1, 51)
    assert statistics.size is not None
    assert statistics.size < 1000


@pytest.mark.parametrize("off", OFF)
async def test_a_clock_that_was_behind_and_is_set_right_lets_sessions_expire(
    store: Store, clock: VirtualClock, off: float
) -> None:
    await store.create(TOKEN, EXTENDING, {"a": b"1"})
    clock.move(off)
    assert await store.exist([TOKEN]) == []
