"""When sessions expire, and what of them: exact on every store, swept or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from ndb_models.stores.contract import (
    NEVER,
    SHARED,
    ExpirySettings,
    SessionInfo,
    SessionRecord,
    Store,
    UnknownSessionError,
)
from tests.conftest import VirtualClock
from tests.stores.conftest import TOKEN
from tests.stores.verbs import ALL, ALL_BUT_GETTING, ALL_BUT_WRITING, GETTING, ON_A_MAP, WRITING

ENDING = ExpirySettings(60, delete_session=True)
STAYING = ExpirySettings(60, delete_session=False)
A_MOMENT = 1 / 1024
WHOLE_SECONDS = 0
"""What is left of `A_MOMENT` in the protocol."""

Create = Callable[[ExpirySettings], Awaitable[None]]


@pytest.fixture
def create(store: Store) -> Create:
    """Creates the session `TOKEN` with one key."""

    async def create_with_a_key(settings: ExpirySettings) -> None:
        assert await store.create(TOKEN, settings, {"a": b"1"})

    return create_with_a_key


@pytest.fixture(params=[False, True], ids=["unswept", "swept"])
def swept(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def remaining(store: Store) -> float | None:
    return (await store.info(TOKEN)).remaining


class TestAnEndingSession:
    async def test_it_lives_until_the_last_moment(self, store: Store, clock: VirtualClock, create: Create) -> None:
        await create(ENDING)
        clock.move(60 - A_MOMENT)
        assert await store.get_all(TOKEN) == {"a": b"1"}
        assert await store.info(TOKEN) in [SessionInfo(1, ENDING, left) for left in (A_MOMENT, WHOLE_SECONDS)]

    async def test_it_is_gone_for_every_verb_from_then_on(
        self, store: Store, clock: VirtualClock, create: Create, swept: bool
    ) -> None:
        await create(ENDING)
        clock.move(60)
        if swept:
            await store.sweep()
        for verb in ON_A_MAP.values():
            with pytest.raises(UnknownSessionError):
                await verb(store, TOKEN)
        with pytest.raises(UnknownSessionError):
            await store.info(TOKEN)
        assert await store.exist([TOKEN]) == []
        assert await store.export([TOKEN]) == []
        assert not await store.end(TOKEN)

    @pytest.mark.parametrize("verb", ALL)
    async def test_whichever_verb_comes_first_finds_it_gone(
        self, store: Store, clock: VirtualClock, create: Create, verb: str
    ) -> None:
        await create(ExpirySettings(60, delete_session=True, extend_on_set_add=True, extend_on_get=True))
        clock.move(60)
        try:
            await ALL[verb](store, TOKEN)
        except UnknownSessionError:
            assert verb in ON_A_MAP or verb == "info"
        assert await store.exist([TOKEN]) == []

    async def test_it_counts_no_more(self, store: Store, clock: VirtualClock, create: Create, swept: bool) -> None:
        await create(ENDING)
        clock.move(60)
        if swept:
            await store.sweep()
        assert await store.totals() == (0, 0)
        assert await store.export() == []
        assert await store.end_all() == 0

    async def test_its_token_may_be_created_again(self, store: Store, clock: VirtualClock, create: Create) -> None:
        await create(ENDING)
        clock.move(60)
        assert await store.create(TOKEN, NEVER)
        clock.move(60)
        assert await store.info(TOKEN) == SessionInfo(0, NEVER, None)

    async def test_its_token_may_be_restored(self, store: Store, clock: VirtualClock, create: Create) -> None:
        await create(ENDING)
        clock.move(60)
        await create(ENDING)
        assert await store.info(TOKEN) == SessionInfo(1, ENDING, 60)

    async def test_its_end_does_not_end_another_of_its_token(
        self, store: Store, clock: VirtualClock, create: Create
    ) -> None:
        await create(ENDING)
        clock.move(30)
        await store.end(TOKEN)
        await create(ENDING)
        clock.move(59)
        await store.sweep()
        assert await store.info(TOKEN) == SessionInfo(1, ENDING, 1)


class TestAStayingSession:
    async def test_it_keeps_its_keys_until_the_last_moment(
        self, store: Store, clock: VirtualClock, create: Create
    ) -> None:
        await create(STAYING)
        clock.move(60 - A_MOMENT)
        assert await store.info(TOKEN) in [SessionInfo(1, STAYING, left) for left in (A_MOMENT, WHOLE_SECONDS)]

    async def test_it_is_emptied_and_its_timer_starts_again(
        self, store: Store, clock: VirtualClock, create: Create, swept: bool
    ) -> None:
        await create(STAYING)
        clock.move(60)
        if swept:
            await store.sweep()
        assert await store.info(TOKEN) == SessionInfo(0, STAYING, 60)
        assert await store.get_all(TOKEN) == {}
        assert await store.totals() == (1, 0)

    @pytest.mark.parametrize("verb", ON_A_MAP)
    async def test_whichever_verb_comes_first_finds_it_empty(
        self, store: Store, clock: VirtualClock, create: Create, verb: str
    ) -> None:
        await create(STAYING)
        clock.move(60)
        found = await ON_A_MAP[verb](store, TOKEN)
        assert found in (None, {}, [], 0, False)
        assert "a" not in await store.names(TOKEN) or verb == "set"

    async def test_the_timer_keeps_its_beat_however_late_one_looks(
        self, store: Store, clock: VirtualClock, create: Create, swept: bool
    ) -> None:
        await create(STAYING)
        clock.move(5 * 60 + 13)
        if swept:
            await store.sweep()
        assert await remaining(store) == 47
        clock.move(47)
        assert await remaining(store) == 60

    async def test_what_is_written_in_a_later_period_lives_until_that_period_ends(
        self, store: Store, clock: VirtualClock, create: Create
    ) -> None:
        await create(STAYING)
        for _ in range(3):
            clock.move(90)
            await store.set(TOKEN, {"b": b"2"})
            clock.move(30 - A_MOMENT)
            assert await store.get_all(TOKEN) == {"b": b"2"}
            clock.move(A_MOMENT)
            assert await store.get_all(TOKEN) == {}

    async def test_it_exists_until_it_is_ended(
        self, store: Store, clock: VirtualClock, create: Create, swept: bool
    ) -> None:
        await create(STAYING)
        clock.move(1000)
        if swept:
            await store.sweep()
        assert await store.exist([TOKEN]) == [TOKEN]
        assert not await store.create(TOKEN, NEVER)
        assert not await store.create(TOKEN, NEVER, {"b": b"2"})
        assert await store.export() == [SessionRecord(TOKEN, STAYING, {})]
        assert await store.end(TOKEN)
        assert await store.exist([TOKEN]) == []

    async def test_end_all_counts_it(self, store: Store, clock: VirtualClock, create: Create) -> None:
        await create(STAYING)
        clock.move(1000)
        assert await store.end_all() == 1


@pytest.mark.parametrize("delete_session", [True, False])
class TestExtending:
    """A timer that is started anew runs for the whole duration from that moment."""

    @pytest.mark.parametrize("verb", WRITING)
    async def test_set_and_add_extend_where_the_session_says_so(
        self, store: Store, clock: VirtualClock, create: Create, verb: str, delete_session: bool
    ) -> None:
        await create(ExpirySettings(60, delete_session, extend_on_set_add=True))
        clock.move(59)
        await WRITING[verb](store, TOKEN)
        assert await remaining(store) == 60
        clock.move(59)
        assert await store.contains(TOKEN, ["a"]) == ["a"]
        clock.move(1)
        assert (await store.totals())[1] == 0

    @pytest.mark.parametrize("verb", GETTING)
    async def test_get_extends_where_the_session_says_so(
        self, store: Store, clock: VirtualClock, create: Create, verb: str, delete_session: bool
    ) -> None:
        await create(ExpirySettings(60, delete_session, extend_on_get=True))
        clock.move(59)
        await GETTING[verb](store, TOKEN)
        assert await remaining(store) == 60
        clock.move(60)
        assert (await store.totals())[1] == 0

    @pytest.mark.parametrize("verb", ALL_BUT_WRITING)
    async def test_only_set_and_add_extend_a_session_that_is_extended_by_these(
        self, store: Store, clock: VirtualClock, create: Create, verb: str, delete_session: bool
    ) -> None:
        await create(ExpirySettings(60, delete_session, extend_on_set_add=True))
        clock.move(59)
        await ALL_BUT_WRITING[verb](store, TOKEN)
        assert await remaining(store) == 1

    @pytest.mark.parametrize("verb", ALL_BUT_GETTING)
    async def test_only_get_extends_a_session_that_is_extended_by_this(
        self, store: Store, clock: VirtualClock, create: Create, verb: str, delete_session: bool
    ) -> None:
        await create(ExpirySettings(60, delete_session, extend_on_get=True))
        clock.move(59)
        await ALL_BUT_GETTING[verb](store, TOKEN)
        assert await remaining(store) == 1

    async def test_no_verb_extends_a_session_that_does_not_say_so(
        self, store: Store, clock: VirtualClock, create: Create, delete_session: bool
    ) -> None:
        await create(ExpirySettings(60, delete_session))
        clock.move(59)
        for verb in ALL.values():
            await verb(store, TOKEN)
        assert await remaining(store) == 1

    async def test_a_verb_extends_even_where_it_finds_nothing_to_do(
        self, store: Store, clock: VirtualClock, create: Create, delete_session: bool
    ) -> None:
        await create(ExpirySettings(60, delete_session, extend_on_set_add=True, extend_on_get=True))
        clock.move(50)
        await store.add(TOKEN, {"a": b"2"})
        assert await remaining(store) == 60
        clock.move(50)
        await store.get(TOKEN, ["missing"])
        assert await remaining(store) == 60

    async def test_a_change_that_is_not_made_extends_nothing(
        self, store: Store, clock: VirtualClock, create: Create, delete_session: bool
    ) -> None:
        await create(ExpirySettings(60, delete_session, extend_on_set_add=True, extend_on_get=True))
        clock.move(50)
        assert not await store.change(TOKEN, {"a": b"2"}, expected={"a": b"2"})
        assert await remaining(store) == 10
        assert await store.change(TOKEN, {"a": b"2"}, expected={"a": b"1"})
        assert await remaining(store) == 60

    async def test_a_change_expects_nothing_of_keys_that_have_expired(
        self, store: Store, clock: VirtualClock, create: Create, delete_session: bool
    ) -> None:
        await create(ExpirySettings(60, delete_session, extend_on_set_add=True))
        clock.move(60)
        if delete_session:
            with pytest.raises(UnknownSessionError):
                await store.change(TOKEN, {"a": b"2"}, expected={"a": b"2"})
        else:
            assert not await store.change(TOKEN, {"a": b"2"}, expected={"a": b"1"})
            assert await store.change(TOKEN, {"b": b"2"}, expected={"a": None})
            assert await store.get_all(TOKEN) == {"b": b"2"}

    async def test_sweeping_between_changes_nothing(
        self, store: Store, clock: VirtualClock, create: Create, delete_session: bool
    ) -> None:
        await create(ExpirySettings(60, delete_session, extend_on_get=True))
        for _ in range(5):
            clock.move(59)
            await store.sweep()
            assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
        assert await remaining(store) == 60


@pytest.mark.parametrize("delete_session", [True, False])
async def test_what_never_expires_outlives_everything(
    store: Store, clock: VirtualClock, create: Create, delete_session: bool
) -> None:
    await create(ExpirySettings(0, delete_session, extend_on_set_add=True, extend_on_get=True))
    await store.set(TOKEN, {"a": b"1"})
    await store.set(SHARED, {"a": b"1"})
    clock.move(10**9)
    await store.sweep()
    assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
    assert await store.get_all(SHARED) == {"a": b"1"}
    assert await remaining(store) is None


async def test_the_longest_duration_is_no_exception(store: Store, clock: VirtualClock, create: Create) -> None:
    settings = ExpirySettings(2**64 - 1, delete_session=True, extend_on_set_add=True)
    await create(settings)
    clock.move(10**9)
    await store.set(TOKEN, {"b": b"2"})
    info = await store.info(TOKEN)
    assert (info.key_count, info.expiry) == (2, settings)
    assert info.remaining == pytest.approx(2**64, rel=1e-3)


async def test_a_restored_session_starts_its_timer_afresh(store: Store, clock: VirtualClock, create: Create) -> None:
    await create(ENDING)
    clock.move(59)
    (record,) = await store.export()
    await store.end(TOKEN)
    await store.create(record.token, record.expiry, record.keys)
    assert await remaining(store) == 60


async def test_sessions_expire_each_in_its_own_time(store: Store, clock: VirtualClock) -> None:
    for seconds in (3, 1, 5, 2, 4):
        await store.create(seconds, ExpirySettings(seconds, delete_session=True))
    for second in range(5):
        assert await store.exist(range(1, 6)) == list(range(second + 1, 6))
        assert await store.totals() == (5 - second, 0)
        clock.move(1)
    assert await store.totals() == (0, 0)
