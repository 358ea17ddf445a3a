"""A call: whose thread runs what, what travels between threads, and what is refused because it would wait for ever."""

from __future__ import annotations

import asyncio
import gc
import itertools
import signal
import threading
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from pydantic import field_validator

from ndb_models import (
    InvalidArgumentError,
    NdbError,
    NotConnectedError,
    SessionGoneError,
    SessionModel,
    UnstorableError,
    UnsupportedError,
)
from ndb_models.sync import SyncClient, SyncConfigRepository, SyncRepository
from tests.conftest import VirtualClock
from tests.sync.models import AppConfig, User

request_id: ContextVar[str] = ContextVar("request_id", default="")

# What a validator of this test does.
_in_validator: Final[list[Callable[[], object]]] = []


class Checked(SessionModel, schema="sync-checked"):
    name: str = ""

    @field_validator("name")
    @classmethod
    def check(cls, name: str) -> str:
        for do in _in_validator:
            do()
        return name


@pytest.fixture
def repo(client: SyncClient) -> SyncRepository[User]:
    return SyncRepository(client, User)


@pytest.fixture
def billy(repo: SyncRepository[User]) -> int:
    return repo.save(User(username="billy")).tkn


def in_validator(repo: SyncRepository[Checked], do: Callable[[], object]) -> None:
    """Read a session, and do something in its validator."""
    tkn = repo.save(Checked(name="billy")).tkn
    _in_validator.append(do)
    try:
        repo.get(tkn)
    finally:
        _in_validator.clear()


# What is called where


def test_a_mutation_runs_in_the_thread_of_its_caller(repo: SyncRepository[User], billy: int) -> None:
    threads: list[threading.Thread] = []
    repo.mutate(billy, lambda _: threads.append(threading.current_thread()))
    repo.get_many([billy], progress=lambda _: threads.append(threading.current_thread()))
    assert threads == [threading.current_thread()] * 2


def test_a_mutation_may_make_calls_itself(repo: SyncRepository[User], billy: int) -> None:
    other = repo.save(User(username="james"))

    def take_over(session: User) -> None:
        with repo.edit(other.tkn) as edited:
            session.username = edited.username
            edited.visits += 1
        repo.mutate(other.tkn, lambda them: them.roles.append("seen"))

    assert repo.mutate(billy, take_over).username == "james"
    assert repo.get(other.tkn) == User(username="james", visits=1, roles=["seen"])


def test_a_mutation_within_one_of_the_same_session_does_not_wait_for_its_lock(
    repo: SyncRepository[User], billy: int
) -> None:
    """Once a try has failed, the outer mutation holds the session's lock; and so does the inner one."""

    def disturbed(role: str) -> Callable[[User], None]:
        tries = itertools.count()

        def change(session: User) -> None:
            if next(tries) == 0:
                repo.update(billy, username=role)
            session.roles.append(role)

        return change

    tries = itertools.count()

    def outer(session: User) -> None:
        if next(tries) < 2:
            repo.mutate(billy, disturbed(f"inner {session.roles}"))
        session.visits += 1

    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(repo.mutate, billy, outer).result(60)
    assert changed.visits == 1
    assert len(changed.roles) == 2


def test_an_edit_may_make_calls_inside_of_its_block(repo: SyncRepository[User], billy: int) -> None:
    with repo.edit(billy) as session:
        repo.update(billy, username="james")
        session.visits = repo.get(billy).visits + 1
    assert repo.get(billy) == User(username="james", visits=1)


def test_an_asynchronous_mutation_is_refused(repo: SyncRepository[User], billy: int) -> None:
    async def change(session: User) -> None:
        session.visits = 7

    with pytest.raises(InvalidArgumentError, match="is synchronous here"):
        repo.mutate(billy, change)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="returns nothing"):
        repo.mutate(billy, lambda session: session)  # type: ignore[arg-type]
    assert repo.get(billy).visits == 0


def test_a_generator_of_tokens_runs_in_the_thread_of_its_caller(repo: SyncRepository[User], billy: int) -> None:
    here = threading.get_ident()
    threads: set[int] = set()

    def tokens() -> list[int]:
        threads.add(threading.get_ident())
        return [repo.get(billy).tkn]

    assert repo.get_many(tkn for _ in range(2) for tkn in tokens()) == [repo.get(billy)] * 2
    assert threads == {here}


# What travels


def test_context_variables_reach_what_a_call_runs(client: SyncClient) -> None:
    repo = SyncRepository(client, Checked)
    seen: list[str] = []
    token = request_id.set("r-1")
    try:
        in_validator(repo, lambda: seen.append(request_id.get()))
        tkn = repo.save(Checked()).tkn
        repo.mutate(tkn, lambda _: seen.append(request_id.get()))
        repo.get_many([tkn], progress=lambda _: seen.append(request_id.get()))
    finally:
        request_id.reset(token)
    assert seen == ["r-1", "r-1", "r-1"]


def test_a_context_variable_that_a_mutation_sets_stays_set(repo: SyncRepository[User], billy: int) -> None:
    left = [repo.update, repo.update]

    def change(session: User) -> None:
        request_id.set(request_id.get() + "x")
        if left:
            left.pop()(billy, visits=len(left) + 5)

    before = request_id.set("")
    repo.mutate(billy, change)
    assert request_id.get() == "xxx"
    request_id.reset(before)


def test_an_error_keeps_its_type_and_its_traceback(repo: SyncRepository[User], billy: int) -> None:
    repo.delete(billy)
    with pytest.raises(SessionGoneError) as gone:
        repo.get(billy)
    frames = traceback.extract_tb(gone.value.__traceback__)
    functions = [frame.name for frame in frames]
    assert functions[0] == "test_an_error_keeps_its_type_and_its_traceback"
    assert "get" in functions
    assert Path(frames[-1].filename).parent.name == "sessions"  # where it was raised, inside of the repository
    assert gone.value.__cause__ is None
    with pytest.raises(UnstorableError):
        repo.save(User.model_construct(username=5))  # type: ignore[arg-type]


class OwnError(Exception):
    pass


@pytest.mark.parametrize("error", [OwnError("own"), StopIteration(), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_of_a_mutation_reaches_its_caller(
    repo: SyncRepository[User], billy: int, error: BaseException
) -> None:
    def change(session: User) -> None:
        session.visits = 7
        raise error

    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    with pytest.raises(expected) as raised:
        repo.mutate(billy, change)
    assert raised.value is error or raised.value.__cause__ is error
    assert "change" in "".join(traceback.format_exception(raised.value))
    assert repo.get(billy).visits == 0
    with pytest.raises(type(error)):
        repo.get_many([billy], progress=lambda _: change(User(username="")))
    assert repo.get(billy).username == "billy"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_exit_in_a_validator_ends_its_call_alone(client: SyncClient, error: BaseException) -> None:
    repo = SyncRepository(client, Checked)

    def leave() -> None:
        raise error

    with pytest.raises(type(error)):
        in_validator(repo, leave)
    assert repo.save(Checked(name="james")).is_saved


def test_an_error_holds_nothing_of_its_call(repo: SyncRepository[User], billy: int) -> None:
    class Held:
        pass

    def call() -> weakref.ref[Held]:
        held = Held()

        def change(session: User) -> None:
            raise OwnError(id(held))

        with pytest.raises(OwnError):
            repo.mutate(billy, change)
        return weakref.ref(held)

    gc.collect()
    gc.disable()
    try:
        reference = call()
        gc.collect()
        assert reference() is None
    finally:
        gc.enable()


def test_a_call_leaves_nothing_to_the_garbage_collector() -> None:
    with SyncClient.connect("memory://") as client:
        repo = SyncRepository(client, User)
        tkn = repo.save(User(username="billy")).tkn
        gc.collect()
        gc.disable()
        try:
            for visits in range(50):
                repo.update(tkn, visits=visits)
                repo.mutate(tkn, lambda session: session.roles.clear())
                with pytest.raises(SessionGoneError):
                    repo.get(7)
            assert gc.collect() < 50
        finally:
            gc.enable()


# What would wait for ever


def test_a_call_in_a_validator_of_the_same_client_is_refused(client: SyncClient) -> None:
    repo = SyncRepository(client, Checked)
    for call in (client.kv_count, client.close, repo.sessions().__next__):
        with pytest.raises(UnsupportedError, match="would wait for itself"):
            in_validator(repo, call)
    assert client.kv_count() == 0


def test_a_call_in_a_validator_of_another_client_works(client: SyncClient) -> None:
    with SyncClient.connect("memory://") as other:
        in_validator(SyncRepository(client, Checked), lambda: other.kv_set({"a": 1}))
        assert other.kv_count() == 1


def test_a_clock_that_makes_a_call_is_refused(client: SyncClient) -> None:
    class Timed(SessionModel, track=60):
        pass

    def now() -> float:
        return float(client.kv_count())

    with pytest.raises(UnsupportedError, match="would wait for itself"):
        SyncRepository(client, Timed, clock=now).save(Timed())


# In a thread with an event loop


def add_existence(repo: SyncRepository[User], session: User) -> None:
    session.roles.append(str(repo.exists(session.tkn)))


async def test_it_works_where_a_loop_runs_in_the_same_thread(tmp_path_factory: pytest.TempPathFactory) -> None:
    for uri in ("memory://", f"sqlite:///{tmp_path_factory.mktemp('store') / 'sessions.db'}"):
        with SyncClient(uri) as client:
            repo = SyncRepository(client, User)
            session = repo.save(User(username="billy"))
            assert repo.mutate(session.tkn, partial(add_existence, repo)).roles == ["True"]
            assert await asyncio.to_thread(repo.get, session.tkn) == repo.get(session.tkn)
            assert asyncio.get_running_loop().is_running()
    await asyncio.sleep(0)


async def test_a_notebooks_loop_is_its_own_after_a_call() -> None:
    task = asyncio.current_task()
    with SyncClient("memory://") as client:
        client.kv_set({"a": 1})
    assert asyncio.current_task() is task


# Ctrl-C


def press_ctrl_c_in(seconds: float) -> threading.Timer:
    pressing = threading.Timer(seconds, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    pressing.start()
    return pressing


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="there is no pthread_kill")
class TestCtrlC:
    """Ctrl-C, in the main thread."""

    def test_it_interrupts_a_wait(self) -> None:
        client = SyncClient("ws://127.0.0.1:1/", connect_wait=60)
        pressing = press_ctrl_c_in(0.2)
        with pytest.raises(KeyboardInterrupt):
            client.kv_count()
        pressing.join()
        client.close()

    def test_it_interrupts_a_watch_which_goes_on_at_the_next_step(self, client: SyncClient) -> None:
        config = SyncConfigRepository(client, AppConfig)
        watch = config.watch(AppConfig(), interval=0.3)
        pressing = press_ctrl_c_in(0.1)
        with pytest.raises(KeyboardInterrupt):
            next(watch)
        pressing.join()
        config.update(title="b")
        assert next(watch).new.title == "b"

    def test_it_waits_until_the_work_of_a_store_in_memory_is_done(self) -> None:
        with SyncClient.connect("memory://") as client:
            repo = SyncRepository(client, Checked)
            went_on: list[bool] = []

            def press() -> None:
                signal.raise_signal(signal.SIGINT)
                went_on.append(True)

            with pytest.raises(KeyboardInterrupt):
                in_validator(repo, press)
            assert went_on == [True]
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            assert repo.save(Checked()).is_saved

    def test_a_handler_of_the_program_stays_in_place(self) -> None:
        handled: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, _: handled.append(number))
        try:
            with SyncClient.connect("memory://") as client:
                repo = SyncRepository(client, Checked)
                in_validator(repo, lambda: signal.raise_signal(signal.SIGINT))
        finally:
            signal.signal(signal.SIGINT, before)
        assert handled == [signal.SIGINT]


def test_a_call_of_an_ended_client_names_the_reason(client: SyncClient) -> None:
    client.close()
    client.close()
    with pytest.raises(NotConnectedError, match="not open"):
        client.kv_count()
    with pytest.raises(NdbError):
        SyncRepository(client, User).save(User(username="billy"))


def test_a_client_made_with_a_uri_opens_again(uri: str, clock: VirtualClock) -> None:
    client = SyncClient(uri)
    for _ in range(3):
        assert client.kv_set({"a": 1})
        client.close()
        assert "not open" in repr(client)
    with client:
        client.kv_count()
        assert repr(client).startswith("<SyncClient ")
        assert "not open" not in repr(client)
