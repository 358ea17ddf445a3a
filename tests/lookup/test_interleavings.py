"""What two or three do at once, one command at a time in every order that matters, and with one of them dying anywhere.

Most of what can go wrong between two goes wrong with few switches from one to the other, so orders with up to three are
tried one by one; what needs more of them, or three parties, or a death, is tried at random. NDB_INTERLEAVINGS=10000
tries so many at random, and leaves none of the others out.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ndb_models import DuplicateError, NdbError, Repository, SessionGoneError
from ndb_models.index.entries import PENDING_SECONDS
from tests.lookup.models import Login
from tests.lookup.truth import Scene
from tests.lookup.turns import SteppedTransport, TransportClient, Turns

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

# More of them, at random, and none left out where few switches are tried.
THOROUGH = os.environ.get("NDB_INTERLEAVINGS")
EXAMPLES = int(THOROUGH or 300)

Doing: TypeAlias = Callable[[Repository[Login], int, int], Awaitable[object]]
"""What a party does, in a scene of two sessions: the first has the e-mail address "a" and user 7, the second none."""


async def rotate(repo: Repository[Login], first: int, _: int) -> None:
    await repo.rotate(await repo.get(first))


async def there_and_back(repo: Repository[Login], first: int, _: int) -> None:
    await repo.update(first, email="b", user_id=8)
    await repo.update(first, email="a", user_id=7)


PARTIES: dict[str, Doing] = {
    "create a": lambda repo, *_: repo.create(Login(email="a", user_id=7)),
    "create b": lambda repo, *_: repo.create(Login(email="b", user_id=7)),
    "create large b": lambda repo, *_: repo.create(Login(email="b", user_id=7, note="n" * 900)),
    "first to b": lambda repo, first, _: repo.update(first, email="b", user_id=8),
    "first to a": lambda repo, first, _: repo.update(first, email="a", user_id=7),
    "first there and back": there_and_back,
    "first to none": lambda repo, first, _: repo.update(first, email=None, user_id=None),
    "second to b": lambda repo, _, second: repo.update(second, email="b", user_id=8),
    "second to a": lambda repo, _, second: repo.update(second, email="a", user_id=7),
    "delete first": lambda repo, first, _: repo.delete(first),
    "rotate first": rotate,
    "find": lambda repo, *_: repo.find(user_id=7),
    "find one b": lambda repo, *_: repo.find_one(email="b"),
    "end all": lambda repo, *_: repo.end_all_for(user_id=7),
    "reindex": lambda repo, *_: repo.reindex(),
}

Choose: TypeAlias = Callable[[Sequence[int]], tuple[str, int]]
"""Says what happens next, of the parties that are ready: which one steps, or dies."""


async def play(parties: Sequence[str], choose: Choose, *, taken: bool = True) -> tuple[Scene, list[object]]:
    """Let parties do what they do, and return what came of it. `taken`: of "b" there is an entry that is long false."""
    scene = Scene()
    first = await scene.logins.save(Login(email="a", user_id=7))
    second = await scene.logins.save(Login())
    if taken:
        gone = await scene.logins.save(Login(email="b", user_id=8))
        await scene.client.sh_end(gone.tkn)
        scene.clock.move(PENDING_SECONDS)
    transports = [SteppedTransport(scene.engine) for _ in parties]
    repos = [scene.repository(TransportClient(transport, max_payload=1024)) for transport in transports]
    doing = [PARTIES[name](repo, first.tkn, second.tkn) for name, repo in zip(parties, repos, strict=True)]
    turns = Turns(transports, [_awaited(each) for each in doing])
    while ready := await turns.ready():
        what, party = choose(ready)
        if what == "die":
            turns.kill(party)
        else:
            turns.step(party)
    return scene, await turns.results()


async def _awaited(doing: Awaitable[object]) -> object:
    return await doing


def switching(first: int, steps: Sequence[int]) -> Choose:
    """Begin with a party, and go on to the other one after each of these numbers of steps."""
    left = list(steps)
    current = first

    def choose(ready: Sequence[int]) -> tuple[str, int]:
        nonlocal current
        if current not in ready or (left and left[0] == 0):
            if current in ready:
                left.pop(0)
            current = ready[(ready.index(current) + 1) % len(ready)] if current in ready else ready[0]
        if left:
            left[0] -= 1
        return "step", current

    return choose


def unplayed(orders: Iterable[Callable[[], Choose]]) -> Iterator[Choose]:
    """Yield what to choose by, but for orders that come to the same as one that was played before.

    They do if a party is done before its steps are over: any further steps change nothing.
    """
    ready_after: dict[tuple[int, ...], tuple[int, ...]] = {}

    def noting(choose: Choose) -> Choose:
        done: tuple[int, ...] = ()

        def choose_and_note(ready: Sequence[int]) -> tuple[str, int]:
            nonlocal done
            ready_after[done] = tuple(ready)
            what, party = choose(ready)
            done = (*done, party)
            ready_after.setdefault(done, ())
            return what, party

        return choose_and_note

    def is_played(choose: Choose) -> bool:
        done: tuple[int, ...] = ()
        while ready := ready_after.get(done):
            done = (*done, choose(ready)[1])
        return done in ready_after

    for order in orders:
        if not is_played(order()):
            yield noting(order())


def schedules(longest: int, every: int = 1) -> Iterator[Choose]:
    """Yield all orders of two parties with one, two and three switches between them."""
    counts = range(1, longest, 1 if THOROUGH else every)
    steps = [steps for switches in (1, 2) for steps in itertools.product(counts, repeat=switches)]
    steps += [(one, two, two) for one in counts for two in counts]
    return unplayed(partial(switching, first, each) for first in (0, 1) for each in steps)


async def outcome(parties: Sequence[str], choose: Choose, *, taken: bool) -> list[object]:
    """Play, and check that the index says the truth afterwards."""
    scene, results = await play(parties, choose, taken=taken)
    for result in results:
        assert not isinstance(result, BaseException) or isinstance(result, NdbError), result
    await scene.check()
    await scene.logins.reindex()
    await scene.check()
    return results


@pytest.mark.parametrize("taken", [False, True], ids=["never taken", "taken by the dead"])
async def test_of_two_creations_that_want_a_value_exactly_one_has_it(taken: bool) -> None:
    for order in schedules(14, every=2 if taken else 3):
        results = await outcome(["create b", "create large b"], order, taken=taken)
        assert [type(result) for result in results if isinstance(result, NdbError)] == [DuplicateError]


def in_this_order(turns: Sequence[tuple[int, int]]) -> Choose:
    """Let parties do so many steps each, in this order, and then finish one after the other."""
    queue = [party for party, steps in turns for _ in range(steps)]

    def choose(ready: Sequence[int]) -> tuple[str, int]:
        while queue:
            party = queue.pop(0)
            if party in ready:
                return "step", party
        return "step", ready[0]

    return choose


def turns_of_three() -> Iterator[Callable[[], Choose]]:
    """Yield orders in which each of three does some steps, and the last two of them then all the others."""
    counts = range(7, 17, 1 if THOROUGH else 3)
    for (one, two, three), first in itertools.product(itertools.product(counts, repeat=3), range(3)):
        second, third = (first + 1) % 3, (first + 2) % 3
        turns = ((first, one), (second, two), (third, three), (second, 20), (third, 20))
        yield partial(in_this_order, turns)


@pytest.mark.parametrize(
    "parties",
    [
        ("create b", "create b", "create b"),
        ("create b", "create large b", "second to b"),
        ("create b", "find one b", "create b"),
        ("create b", "reindex", "create b"),
    ],
    ids=" | ".join,
)
async def test_of_three_that_want_a_value_all_but_one_are_told_that_it_is_taken(parties: Sequence[str]) -> None:
    claiming = sum(name not in ("find one b", "reindex") for name in parties)
    for order in unplayed(turns_of_three()):
        results = await outcome(parties, order, taken=False)
        refused = [type(result) for result in results if isinstance(result, NdbError)]
        assert refused == [DuplicateError] * (claiming - 1), results


@pytest.mark.parametrize(
    "parties",
    [
        ("create b", "second to b"),
        ("first to b", "second to b"),
        ("first to b", "create a"),
        ("first there and back", "create b"),
        ("first there and back", "second to a"),
        ("first there and back", "first to b"),
        ("first to a", "first to b"),
        ("first there and back", "first there and back"),
        ("first there and back", "find"),
        ("first there and back", "reindex"),
        ("rotate first", "create a"),
        ("rotate first", "second to a"),
        ("delete first", "create a"),
        ("delete first", "first to b"),
        ("create b", "find one b"),
        ("create b", "reindex"),
        ("first to none", "create a"),
    ],
    ids=" | ".join,
)
async def test_whatever_two_do_at_once_the_index_says_the_truth(parties: tuple[str, str]) -> None:
    for order in schedules(20, every=4):
        await outcome(parties, order, taken=True)


async def test_a_session_that_is_rotated_does_not_escape_from_being_ended() -> None:
    for order in schedules(26, every=3):
        scene, _ = await play(["rotate first", "end all"], order)
        assert [keys for keys in (await scene.living()).values() if keys["user_id"] == 7] == []


async def test_a_creation_is_ended_with_the_others_or_begins_later() -> None:
    for order in schedules(14, every=3):
        scene, (created, _) = await play(["create b", "end all"], order)
        assert isinstance(created, (Login, SessionGoneError))
        await scene.check()


@settings(
    max_examples=EXAMPLES,
    derandomize=not THOROUGH,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    parties=st.lists(st.sampled_from(sorted(PARTIES)), min_size=2, max_size=3),
    taken=st.booleans(),
    data=st.data(),
)
def test_whatever_three_do_and_whoever_dies_the_index_says_the_truth(
    parties: list[str], taken: bool, data: st.DataObject
) -> None:
    # Two who change one session at once, and one of them dying in the middle, is what is not promised.
    may_die = sum(name.startswith("first") for name in parties) < 2
    mortal = data.draw(st.integers(-1, len(parties) - 1)) if may_die else -1
    turns = data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=12))
    lifetime = data.draw(st.integers(0, 25))
    queue = [which for which, steps in turns for _ in range(steps)]
    done = 0

    def choose(ready: Sequence[int]) -> tuple[str, int]:
        nonlocal done
        party = ready[(queue.pop(0) if queue else 0) % len(ready)]
        if party == mortal:
            done += 1
        return ("die" if party == mortal and done > lifetime else "step"), party

    async def check() -> None:
        scene, results = await play(parties, choose, taken=taken)
        died = mortal >= 0 and done > lifetime
        for result in results:
            assert not isinstance(result, BaseException) or isinstance(result, NdbError), result
        await scene.check(twins=died and "rotate first" in parties)
        await scene.logins.reindex()
        await scene.check(twins=died and "rotate first" in parties)
        scene.clock.move(PENDING_SECONDS)
        await scene.check_free()

    asyncio.run(check())
