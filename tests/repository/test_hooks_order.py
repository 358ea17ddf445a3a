"""Hooks under concurrency: told in order, and told if the verb is cut short; no deadlock, no recursion without end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest

from ndb_models import ConnectionLostError, Expiry, Lookup, NdbClient, NdbError, Repository, SessionEnd, SessionModel
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.lookup.faults import Fault, FaultyClient, FaultyTransport
from tests.nemesisdb import NemesisDbEngine
from tests.repository.listening import Listener
from tests.repository.models import User
from tests.repository.recording import RecordingEngine
from tests.repository.session_world import EngineClient


class Counter(SessionModel, schema="hooks-counter"):
    count: int = 0
    label: Annotated[str, Lookup()] = ""


class Short(SessionModel, schema="hooks-short-lived", expiry=Expiry(idle=60, absolute=100)):
    count: int = 0


class Basket(SessionModel, schema="hooks-basket"):
    cart: dict[str, int] = {}


def count_on(session: Counter) -> None:
    session.count += 1
    if session.count % 2:  # every other act has entries to correct after its write
        session.label = str(session.count)


async def some_time() -> None:
    for _ in range(random.randrange(4)):
        await asyncio.sleep(0)


async def test_fifty_acts_at_once_are_told_once_each_in_order(client: NdbClient) -> None:
    repo, elsewhere = Repository(client, Counter), Repository(client, Counter)
    sessions = [await repo.save(Counter()) for _ in range(2)]
    counts: dict[int, list[int]] = {session.tkn: [] for session in sessions}
    synchronous: dict[int, list[int]] = {session.tkn: [] for session in sessions}

    @repo.on_changed
    def at_once(session: Counter, _: frozenset[str]) -> None:
        synchronous[session.tkn].append(session.count)

    @repo.on_changed
    async def later(session: Counter, fields: frozenset[str]) -> None:
        await some_time()
        assert "count" in fields
        counts[session.tkn].append(session.count)

    async def act(number: int) -> None:
        session = await repo.mutate(sessions[number % 2].tkn, count_on)
        assert counts[session.tkn].count(session.count) == 1  # told before the verb returned

    await asyncio.gather(*map(act, range(50)))
    assert [*counts.values()] == [*synchronous.values()] == [[*range(1, 26)]] * 2
    assert (await elsewhere.get(sessions[0].tkn)).count == 25


async def test_a_session_is_told_as_created_first_and_as_ended_last(client: NdbClient) -> None:
    repo, kinds = Repository(client, User), dict[int, list[str]]()

    async def note(tkn: int, kind: str) -> None:
        await some_time()
        kinds.setdefault(tkn, []).append(kind)

    repo.on_created(lambda session: note(session.tkn, "created"))
    repo.on_changed(lambda session, _: note(session.tkn, "changed"))
    repo.on_ended(lambda end: note(end.tkn, end.reason))

    async def live(user: User) -> None:
        await repo.save(user)
        await repo.update(user.tkn, visits=1)
        changes = [repo.update(user.tkn, visits=number) for number in (2, 3)]
        await asyncio.gather(*changes, repo.delete(user.tkn), return_exceptions=True)

    await asyncio.gather(*(live(User(username=str(number))) for number in range(10)))
    assert len(kinds) == 10
    for told in kinds.values():
        assert (told[0], told[-1]) == ("created", "deleted")
        assert 1 <= told.count("changed") == len(told) - 2


async def test_a_verb_that_is_cancelled_during_a_hook_has_done_its_act_and_the_hook_goes_on(client: NdbClient) -> None:
    repo = Repository(client, User)
    begun, gate, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @repo.on_created
    async def slow(session: User) -> None:
        begun.set()
        await gate.wait()
        done.set()

    user = User(username="billy")
    saving = asyncio.ensure_future(repo.save(user))
    await begun.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    gate.set()
    await asyncio.wait_for(done.wait(), 60)
    assert (await repo.get(user.tkn)).username == "billy"


async def test_a_rotation_that_is_cancelled_during_a_hook_has_given_the_model_its_new_token(client: NdbClient) -> None:
    repo, begun = Repository(client, User), asyncio.Event()
    user = await repo.save(User(username="billy"))

    @repo.on_ended
    async def slow(_: SessionEnd) -> None:
        begun.set()
        await asyncio.sleep(0.01)

    rotating = asyncio.ensure_future(repo.rotate(user))
    await begun.wait()
    rotating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rotating
    assert (await repo.get(user.tkn)).username == "billy"


async def test_closing_the_client_waits_for_hooks_and_leaves_no_task() -> None:
    done: list[int] = []
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, User)

        @repo.on_created
        async def slow(_: User) -> None:
            await asyncio.sleep(0.02)
            done.append(1)

        saving = asyncio.ensure_future(repo.save(User(username="billy")))
        await asyncio.sleep(0)
        saving.cancel()
    assert done == [1]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_hooks_may_use_the_repository_without_end_or_deadlock(client: NdbClient) -> None:
    """Two hooks answer each change with a change; each is told of the other's, and of no change of its own."""
    repo, told = Repository(client, Counter), asyncio.Queue[str]()

    @repo.on_changed
    async def first(session: Counter, _: frozenset[str]) -> None:
        told.put_nowait("first")
        await repo.mutate(session.tkn, count_on)

    @repo.on_changed
    async def second(session: Counter, _: frozenset[str]) -> None:
        told.put_nowait("second")
        await repo.update(session.tkn, label=f"{session.label}+")

    session = await repo.save(Counter(count=1))
    async with asyncio.timeout(60):
        await repo.update(session.tkn, label="begin")
        assert [await told.get() for _ in range(4)] == ["first", "second", "second", "first"]
        repo.on_ended(lambda _: None)
        await repo.delete(session.tkn)  # told after all acts before
    assert told.empty()


async def test_hooks_of_two_sessions_that_change_each_other_do_not_wait_for_each_other(client: NdbClient) -> None:
    repo, done = Repository(client, Counter), list[int]()
    one, two = [await repo.save(Counter()) for _ in range(2)]
    both = asyncio.Barrier(2)

    @repo.on_changed
    async def change_the_other(session: Counter, _: frozenset[str]) -> None:
        await both.wait()
        await repo.update((two if session.tkn == one.tkn else one).tkn, label="changed by a hook")
        done.append(session.tkn)

    async with asyncio.timeout(60):
        await asyncio.gather(repo.update(one.tkn, count=1), repo.update(two.tkn, count=1))
    assert sorted(done) == sorted((one.tkn, two.tkn))


async def test_hooks_may_use_what_a_verb_has_locked(on_store: EngineClient, clock: VirtualClock) -> None:
    """A renewal finds its session expired while it holds the session's lock; the hook wants the same lock."""
    repo, told = Repository(on_store, Short, clock=clock), asyncio.Queue[str]()
    session = await repo.save(Short())

    @repo.on_ended
    async def renew(end: SessionEnd) -> None:
        told.put_nowait(end.reason)
        with pytest.raises(NdbError):
            await repo.renew(session)
        told.put_nowait("renewed in vain")

    clock.move(50)
    await on_store.sh_set({}, session.tkn)
    clock.move(50)
    async with asyncio.timeout(60):
        with pytest.raises(NdbError):
            await repo.renew(session)
        assert [await told.get() for _ in range(2)] == ["absolute", "renewed in vain"]


async def test_a_mutation_that_changes_another_session_does_not_wait_for_a_hook_that_waits_for_it(
    client: NdbClient,
) -> None:
    """Both meet changes of others, and then take turns: the hook waits for the mutation to be over."""
    repo, elsewhere = Repository(client, Counter), Repository(client, Counter)
    one, two = [await repo.save(Counter()) for _ in range(2)]
    gate, calls = asyncio.Event(), dict[str, int]()

    async def count_under_the_lock(name: str, session: Counter) -> None:
        calls[name] = calls.get(name, 0) + 1
        if calls[name] == 1:
            await elsewhere.update(session.tkn, label=f"before {name}")
        elif name == "mutation":
            gate.set()
            await repo.update(two.tkn, label="by the mutation")
        session.count += 1

    @repo.on_changed
    async def hook(session: Counter, _: frozenset[str]) -> None:
        if session.tkn == two.tkn and session.label == "begin":
            await gate.wait()
            await repo.mutate(one.tkn, lambda session: count_under_the_lock("hook", session))

    async with asyncio.timeout(60):
        begin = asyncio.ensure_future(repo.update(two.tkn, label="begin"))
        await repo.mutate(one.tkn, lambda session: count_under_the_lock("mutation", session))
        await begin
    assert (await repo.get(one.tkn)).count == 2


async def test_a_slow_hook_holds_up_its_own_session_only(client: NdbClient) -> None:
    repo, gate = Repository(client, User), asyncio.Event()
    slow, quick = [await repo.save(User(username=name)) for name in ("slow", "quick")]

    @repo.on_changed
    async def wait(session: User, _: frozenset[str]) -> None:
        if session.username == "slow":
            await gate.wait()

    waiting = asyncio.ensure_future(repo.update(slow.tkn, visits=1))
    await asyncio.wait_for(repo.update(quick.tkn, visits=1), 60)
    assert not waiting.done()
    gate.set()
    await waiting


async def test_an_act_whose_answer_is_lost_is_not_told(engine: RecordingEngine, timed: NdbClient) -> None:
    repo = Repository(timed, User)
    user = await repo.save(User(username="billy"))
    listener = Listener(repo)
    engine.hold("SH_SET", carried_out=True)
    user.visits = 1
    saving = asyncio.ensure_future(repo.save(user))
    await engine.waiting.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    engine.release()
    assert (await repo.get(user.tkn)).visits == 1
    assert listener.told() == []
    await repo.save(user)  # which cannot know whether the field was written, and writes it
    assert listener.told() == [("changed", user.tkn, {"visits"})]


async def change(repo: Repository[Counter], session: Counter) -> object:
    session.count, session.label = 5, "after"
    return await repo.save(session)


async def change_in_a_mutation(repo: Repository[Counter], session: Counter) -> object:
    def to_five(session: Counter) -> None:
        session.count, session.label = 5, "after"

    return await repo.mutate(session.tkn, to_five)


VERBS: dict[str, Callable[[Repository[Counter], Counter], Awaitable[object]]] = {
    "save": change,
    "mutate": change_in_a_mutation,
    "delete": lambda repo, session: repo.delete(session.tkn),
    "end_all_for": lambda repo, session: repo.end_all_for(label=session.label),
    "rotate": lambda repo, session: repo.rotate(session),
    "create": lambda repo, _: repo.save(Counter(label="new")),
}


@pytest.mark.parametrize("fault", [Fault.CANCELLED_UNANSWERED, Fault.CUT_UNANSWERED, Fault.CUT_UNSENT])
@pytest.mark.parametrize("name", VERBS)
async def test_a_verb_that_is_cut_short_at_any_request_tells_what_was_acknowledged(name: str, fault: Fault) -> None:
    number, was_struck, told_of_failures = 0, True, 0
    while was_struck:
        engine = NemesisDbEngine(MemoryStore())
        engine.like_nemesisdb = False
        witness = Repository(EngineClient(engine), Counter)
        session = await witness.save(Counter(label="before"))
        old, transport = session.tkn, FaultyTransport(engine, fault, number)
        repo: Repository[Counter] = Repository(FaultyClient(transport, None), Counter)
        listener = Listener(repo)
        transport.victim = asyncio.ensure_future(awaited(VERBS[name](repo, session)))
        (result,) = await asyncio.gather(transport.victim, return_exceptions=True)
        await transport.settled()
        was_struck = transport.struck is not None
        failed = isinstance(result, BaseException)
        assert not failed or isinstance(result, (ConnectionLostError, asyncio.CancelledError)), result
        stored = await witness.get_or_none(old)
        told_of_failures += failed and bool(listener.acts)
        match listener.told():
            case []:
                assert failed or result == 0, f"{name} at {number}: done, and not told"
            case [("created", int(tkn))]:
                assert await witness.exists(tkn) is not failed
            case [("changed", int(tkn), fields)]:
                assert (tkn, fields) == (old, {"count", "label"})
                assert stored is not None
                assert (stored.count, stored.label) == (5, "after")
            case [("ended", int(tkn), reason)]:
                assert (tkn, reason, stored) == (old, "replaced" if name == "rotate" else "deleted", None)
            case more:
                pytest.fail(f"{name} at {number}: told {more}")
        number += 1
    assert number > 1
    if fault is Fault.CANCELLED_UNANSWERED and name not in ("create", "delete"):
        assert told_of_failures, "entries are corrected after the act was acknowledged"


@pytest.mark.parametrize("fault", [Fault.CUT_UNANSWERED, Fault.CUT_UNSENT])
async def test_a_save_that_repeats_itself_after_a_lost_answer_is_told_once(fault: Fault) -> None:
    number, was_struck, repeated = 0, True, 0
    while was_struck:
        engine = NemesisDbEngine(MemoryStore())
        engine.like_nemesisdb = False
        basket = await Repository(EngineClient(engine), Basket).save(Basket())
        transport = FaultyTransport(engine, fault, number)
        repo = Repository(FaultyClient(transport, None), Basket)
        listener = Listener(repo)
        basket.cart["apple"] = 1
        (result,) = await asyncio.gather(repo.save(basket), return_exceptions=True)
        was_struck = transport.struck is not None
        repeated += was_struck and isinstance(result, Basket)
        assert listener.told() == ([("changed", basket.tkn, {"cart"})] if isinstance(result, Basket) else [])
        number += 1
    assert repeated


async def awaited(doing: Awaitable[Any]) -> Any:
    return await doing
