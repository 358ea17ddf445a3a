"""Hooks of a synchronous repository, and waiting for the end of a session."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ndb_models import InvalidArgumentError
from ndb_models.repository import SessionEnd
from ndb_models.sync import SyncClient, SyncRepository
from tests.conftest import VirtualClock
from tests.sync.models import User


@pytest.fixture
def repo(client: SyncClient) -> SyncRepository[User]:
    return SyncRepository(client, User)


def test_hooks_are_called_in_the_thread_of_the_call_and_may_make_calls(
    repo: SyncRepository[User], client: SyncClient
) -> None:
    told: list[tuple[object, ...]] = []

    @repo.on_created
    def created(session: User) -> None:
        client.kv_set({"created": session.username})
        told.append(("created", repo.get(session.tkn).username, threading.get_ident()))

    @repo.on_changed
    def changed(session: User, fields: frozenset[str]) -> None:
        told.append(("changed", fields, threading.get_ident()))

    @repo.on_ended
    def ended(end: SessionEnd) -> None:
        told.append(("ended", end.reason, threading.get_ident()))

    here = threading.get_ident()
    session = repo.save(User(username="billy"))
    with repo.edit(session.tkn) as edited:
        edited.visits += 1
    repo.delete(session.tkn)
    assert told == [("created", "billy", here), ("changed", {"visits"}, here), ("ended", "deleted", here)]
    assert client.kv_get(("created",)) == {"created": "billy"}


def test_a_hook_is_registered_once_and_removed(repo: SyncRepository[User]) -> None:
    told: list[str] = []

    def created(session: User) -> None:
        told.append(session.username)

    assert repo.on_created(created) is created
    repo.on_created(created)
    repo.save(User(username="billy"))
    assert repo.remove_hook(created)
    assert not repo.remove_hook(created)
    repo.save(User(username="james"))
    assert told == ["billy"]


def test_an_exception_in_a_hook_is_logged_and_changes_nothing(
    repo: SyncRepository[User], caplog: pytest.LogCaptureFixture
) -> None:
    @repo.on_created
    def created(session: User) -> None:
        raise ZeroDivisionError(session.username)

    assert repo.save(User(username="billy")).is_saved
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "ZeroDivisionError" in record.getMessage()
    assert "created" in record.getMessage()
    assert "billy" not in record.getMessage()


def test_what_is_no_hook_is_refused(repo: SyncRepository[User]) -> None:
    async def later(session: User) -> None: ...

    for wrong in (later, 7, lambda: None):
        with pytest.raises(InvalidArgumentError, match=r"hook|function"):
            repo.on_created(wrong)  # type: ignore[arg-type]
    assert repo.save(User(username="billy")).is_saved


def test_the_hooks_of_many_sessions_are_all_called_here(repo: SyncRepository[User]) -> None:
    threads: list[threading.Thread] = []

    @repo.on_created
    def created(session: User) -> None:
        threads.append(threading.current_thread())

    repo.save_many([User(username=str(number)) for number in range(10)])
    assert threads == [threading.current_thread()] * 10


def test_an_interrupted_hook_holds_up_no_later_one(repo: SyncRepository[User]) -> None:
    told: list[str] = []

    @repo.on_created
    def created(session: User) -> None:
        if session.username == "billy":
            raise KeyboardInterrupt
        told.append(session.username)

    with pytest.raises(KeyboardInterrupt):
        repo.save(User(username="billy"))
    repo.save(User(username="james"))
    assert told == ["james"]


def test_hooks_of_an_interrupted_call_are_called_in_another_thread() -> None:
    """In memory, sessions are created before the interruption. Elsewhere it may end their creation."""
    client = SyncClient("memory://")
    repo = SyncRepository(client, User)
    told: list[tuple[str, bool]] = []
    told_elsewhere = threading.Event()
    here = threading.current_thread()

    @repo.on_created
    def created(session: User) -> None:
        if threading.current_thread() is here:
            raise KeyboardInterrupt
        told.append((session.username, repo.exists(session.tkn)))
        told_elsewhere.set()

    with pytest.raises(KeyboardInterrupt):
        repo.save_many([User(username=str(number)) for number in range(10)])
    assert told_elsewhere.wait(60)
    assert told[0][1] is True
    client.close()


def test_an_end_is_waited_for_in_several_threads(repo: SyncRepository[User]) -> None:
    session = repo.save(User(username="billy"))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(repo.ended, session, poll=0.02) for _ in range(2)]
        assert repo.delete(session.tkn)
        # One that began to wait after the end cannot know the reason.
        assert {each.result(60).reason for each in waiting} <= {"deleted", "unknown"}


def test_waiting_for_an_end_sleeps_as_it_is_told(repo: SyncRepository[User], clock: VirtualClock) -> None:
    session = repo.save(User(username="billy"))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.move(seconds)
        repo.delete(session.tkn)

    assert repo.ended(session.tkn, poll=5.0, clock=clock, sleep=sleep).reason == "deleted"
    assert slept == [5.0]
    with pytest.raises(InvalidArgumentError, match="at least one"):
        repo.ended()


def test_a_call_that_ends_after_its_client_was_closed_does_not_wait_for_the_client_s_loop(tmp_path: Path) -> None:
    """A `sleep` is called in a thread that the loop waits for as it ends."""
    client = SyncClient.connect(f"sqlite:///{tmp_path}/sessions.db")
    repo = SyncRepository(client, User)
    session = repo.save(User(username="billy"))
    is_told, is_closed = threading.Event(), threading.Event()
    sleeping: list[threading.Thread] = []

    @repo.on_ended
    def hold(end: SessionEnd) -> None:
        is_told.set()
        is_closed.wait(60)

    def sleep(seconds: float) -> None:
        sleeping.append(threading.current_thread())
        repo.delete(session.tkn)

    watching = threading.Thread(target=repo.ended, args=(session,), kwargs={"poll": 0.01, "sleep": sleep}, daemon=True)
    watching.start()
    assert is_told.wait(60)
    watching.join(60)
    client.close()
    is_closed.set()
    sleeping[0].join(60)
    assert not sleeping[0].is_alive()
