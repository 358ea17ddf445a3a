"""One synchronous client in many threads, and threads that close it while others use it."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from ndb_models import ConflictError, NdbError, NotConnectedError, UnavailableError
from ndb_models.sync import SyncClient, SyncConfigRepository, SyncRepository
from tests.sync.models import AppConfig, User

T = TypeVar("T")

THREADS = 64


def in_threads(work: Callable[[int], T], count: int = THREADS) -> list[T]:
    """Do work in so many threads at once; return the results in order."""
    ready = threading.Barrier(count)

    def begin(number: int) -> T:
        ready.wait(60)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_each_of_64_threads_gets_its_own_answers(client: SyncClient) -> None:
    repo = SyncRepository(client, User)

    def work(number: int) -> None:
        session = repo.save(User(username=f"user {number}"))
        for visits in range(1, 6):
            with repo.edit(session.tkn) as edited:
                assert edited.username == f"user {number}"
                edited.visits = visits
            assert repo.get(session.tkn).visits == visits
            client.kv_set({f"{number}": visits})
            assert client.kv_get((f"{number}",)) == {f"{number}": visits}

    in_threads(work)
    assert client.kv_count() == THREADS


def test_64_threads_count_one_session_up(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    tkn = repo.save(User(username="billy")).tkn

    def merge(number: int) -> None:
        with repo.edit(tkn) as session:
            session.visits += 1
            session.roles = [*session.roles, str(number)]

    in_threads(merge)
    counted = repo.get(tkn)
    assert counted.visits == THREADS
    assert Counter(counted.roles) == Counter(map(str, range(THREADS)))


def test_mutations_in_threads_all_count(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    tkn = repo.save(User(username="billy")).tkn

    def change(session: User) -> None:
        session.visits += 1

    in_threads(lambda _: repo.mutate(tkn, change, attempts=200), 16)
    assert repo.get(tkn).visits == 16


def test_the_first_use_may_be_in_64_threads_at_once(uri: str) -> None:
    with SyncClient(uri) as client:
        assert in_threads(lambda number: client.kv_set({str(number): number})) == [True] * THREADS
        assert client.kv_count() == THREADS


def test_a_slow_function_holds_up_no_other_thread(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    tkn = repo.save(User(username="billy")).tkn
    entered, others_are_done = threading.Event(), threading.Event()

    def change(session: User) -> None:
        entered.set()
        assert others_are_done.wait(60)

    with ThreadPoolExecutor(1) as pool:
        mutating = pool.submit(repo.mutate, tkn, change)
        assert entered.wait(60)
        for _ in range(10):
            repo.get(tkn)
        others_are_done.set()
        assert mutating.result(60).username == "billy"


def test_long_work_in_memory_lets_other_threads_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    with SyncClient(f"memory://?persist_path={tmp_path_factory.mktemp('data')}") as client:
        repo = SyncRepository(client, User)
        tkns = [session.tkn for session in repo.save_many([User(username="b")] * 1) if isinstance(session, User)]
        with ThreadPoolExecutor(1) as pool:
            long = pool.submit(repo.get_many, tkns * 20_000)
            calls = 0
            while not long.done():
                client.kv_count()
                calls += 1
            assert len(long.result()) == 20_000
        assert calls > 5


def test_a_pause_in_memory_ends_while_the_clients_thread_is_idle(tmp_path: Path) -> None:
    with SyncClient(f"memory://?persist_path={tmp_path}") as client:
        repo = SyncRepository(client, User)
        tkn = repo.save(User(username="billy")).tkn
        client.kv_save("data")  # it waits, so that the thread is running from then on

        def disturb(session: User) -> None:
            repo.update(tkn, visits=session.visits + 1)
            session.username = "james"

        with ThreadPoolExecutor(1) as pool:
            mutating = pool.submit(repo.mutate, tkn, disturb, attempts=4)
            with pytest.raises(ConflictError):
                mutating.result(60)


def test_closing_in_another_thread_ends_what_waits(uri: str) -> None:
    client = SyncClient.connect(uri)
    config = SyncConfigRepository(client, AppConfig)
    waiting = threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(next, config.watch(AppConfig(), sleep=sleep))
        assert waiting.wait(60)
        client.close()
        with pytest.raises(NotConnectedError):
            step.result(60)
    client.close()


def test_closing_among_calls_gives_them_answers_or_errors(uri: str) -> None:
    for _ in range(5):
        client = SyncClient.connect(uri)
        repo = SyncRepository(client, User)

        def work(number: int, client: SyncClient = client, repo: SyncRepository[User] = repo) -> None:
            if number == 5:
                client.close()
                return
            try:
                for _ in range(20):
                    session = repo.save(User(username=str(number)))
                    assert repo.get(session.tkn).username == str(number)
            except UnavailableError:
                return

        in_threads(work, 10)
        with pytest.raises(NdbError):
            repo.save(User(username="late"))
        client.close()


def test_a_client_that_is_closed_leaves_no_thread(uri: str) -> None:
    before = set(threading.enumerate())
    client = SyncClient(uri)
    client.kv_count()
    in_threads(lambda _: client.kv_count(), 4)
    client.close()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "ndb_models.sync"]


def test_a_store_in_memory_needs_no_thread() -> None:
    """A turn that the machine interrupts goes on in the client's thread, so one of several clients has none."""

    def uses_a_thread() -> bool:
        before = set(threading.enumerate())
        with SyncClient("memory://") as client:
            repo = SyncRepository(client, User)
            with repo.edit(repo.save(User(username="billy")).tkn) as session:
                session.visits = 1
            repo.mutate(session.tkn, lambda each: each.roles.append("a"))
            return bool(set(threading.enumerate()) - before)

    assert not all(uses_a_thread() for _ in range(20))


def test_a_client_that_is_dropped_open_warns_and_ends_its_thread(server_uri: str) -> None:
    before = set(threading.enumerate())
    client = SyncClient(server_uri)
    client.kv_count()
    started = set(threading.enumerate()) - before
    held = [client]
    del client
    with pytest.warns(ResourceWarning, match="unclosed <NdbClient ws://"):
        drop(held, started)


def drop(held: list[SyncClient], threads: set[threading.Thread]) -> None:
    """Drop clients, and wait until their threads have ended."""
    held.clear()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_client_of_a_store_in_memory_is_dropped_without_a_word() -> None:
    client = SyncClient("memory://")
    client.kv_count()
    del client
    gc.collect()


def test_a_conflict_in_a_thread_is_that_threads(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    tkn = repo.save(User(username="billy")).tkn

    def disturb(session: User) -> None:
        repo.update(tkn, visits=session.visits + 1)
        session.username = "james"

    with ThreadPoolExecutor(1) as pool, pytest.raises(ConflictError):
        pool.submit(repo.mutate, tkn, disturb, attempts=2).result()
    assert repo.get(tkn).username == "billy"
