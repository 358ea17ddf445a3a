"""A client that was made before the process forked works in the child, or is refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.processes.programs import run_program

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")]

PRELUDE: Final = """
import gc, os, sys, threading, traceback
from ndb_models import InvalidArgumentError, SessionModel, StoreError
from ndb_models.sync import SyncClient, SyncRepository

class User(SessionModel, schema="sync-forks-user"):
    name: str = ""

def fork_and_run(work, leave=os._exit):
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        leave(status)
        os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the child failed"

def refused(call):
    try:
        call()
    except (InvalidArgumentError, StoreError) as exc:
        assert "process" in str(exc), exc
    else:
        raise AssertionError("it was not refused")

uri = sys.argv[1]
"""

MADE: Final = """
client = SyncClient(uri)
repo = SyncRepository(client, User)
"""

UNUSED: Final = """
def use():
    tkn = repo.save(User(name="billy")).tkn
    assert repo.get(tkn).name == "billy"
    client.close()

for _ in range(2):
    fork_and_run(use)
    fork_and_run(lambda: use() or client.kv_count(), leave=sys.exit)
use()
"""

USED: Final = """
user = repo.save(User(name="billy"))

def use():
    assert repo.get(user.tkn) == user
    workers = [threading.Thread(target=lambda: seen.append(repo.get(user.tkn))) for _ in range(8)]
    seen = []
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert seen == [user] * 8
    repo.update(user.tkn, name="james")
    fork_and_run(lambda: repo.get(user.tkn))

fork_and_run(lambda: use() or client.close())
fork_and_run(lambda: client.close() or client.close())
fork_and_run(lambda: repo.get(user.tkn), leave=sys.exit)
assert repo.get(user.tkn).name == "james"
client.close()
"""

DROPPED: Final = """
repo.save(User(name="billy"))

def drop():
    global client, repo
    del client, repo
    gc.collect()

fork_and_run(drop)
fork_and_run(drop, leave=sys.exit)
assert repo.save(User(name="james")).is_saved
client.kv_set({"a": 1})
"""

CONNECTED: Final = """
client = SyncClient.connect(uri)
repo = SyncRepository(client, User)
user = repo.save(User(name="billy"))
fork_and_run(lambda: refused(lambda: repo.get(user.tkn)))
fork_and_run(lambda: refused(client.kv_count))
fork_and_run(client.close)
assert repo.get(user.tkn) == user
client.close()
"""

MEMORY: Final = """
def use():
    refused(client.kv_count)
    refused(lambda: repo.save(User()))
    refused(repo.sessions().__next__)
    client.close()
    refused(client.kv_count)

fork_and_run(use)
client.kv_set({"a": 1})
fork_and_run(use)
fork_and_run(use, leave=sys.exit)
assert client.kv_get(("a",)) == {"a": 1}
client.kv_save("data") if "persist_path" in uri else None
fork_and_run(use)
assert client.kv_count() == 1
"""

IN_A_CALLBACK: Final = """
user = repo.save(User(name="billy"))

def change(session):
    if not os.fork():
        forked.append(True)
    session.name = "james"

forked = []
try:
    repo.mutate(user.tkn, change)
except InvalidArgumentError as exc:
    assert forked and "forked in the middle of a call" in str(exc), exc
    os._exit(0)
assert not forked
_, status = os.wait()
assert os.waitstatus_to_exitcode(status) == 0
assert repo.get(user.tkn).name == "james"
client.close()
"""

OTHER_THREADS: Final = """
user = repo.save(User(name="billy"))
stopping = threading.Event()

def keep_busy():
    while not stopping.is_set():
        repo.get(user.tkn)

busy = [threading.Thread(target=keep_busy) for _ in range(4)]
for thread in busy:
    thread.start()
for _ in range(10):
    fork_and_run(lambda: repo.get(user.tkn))
stopping.set()
for thread in busy:
    thread.join()
client.close()
"""


async def require_success(uri: str, *programs: str) -> None:
    """Run programs one after the other in one process, each with a client of its own."""
    program = PRELUDE + "".join(MADE + each for each in programs)
    # From 3.12 on, Python warns of any fork in a process with threads.
    outcome = await run_program(program, uri, options=("-W", "error", "-W", "ignore::DeprecationWarning"))
    assert (outcome.status, outcome.complaint) == (0, "")


@pytest.fixture(params=["sqlite", "server"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "server":
        uri: str = request.getfixturevalue("server_uri")
        return uri
    return f"sqlite:///{tmp_path / 'sessions.db'}"


async def test_a_client_that_was_made_with_a_uri_is_opened_anew_in_a_child(stored: str) -> None:
    await require_success(stored, UNUSED, USED, DROPPED)


async def test_a_client_that_was_connected_is_refused_in_a_child(stored: str) -> None:
    await require_success(stored, CONNECTED)


async def test_a_fork_in_the_middle_of_calls_leaves_the_child_no_lock_and_no_call(stored: str) -> None:
    await require_success(stored, OTHER_THREADS, IN_A_CALLBACK)


async def test_a_store_in_memory_is_refused_in_a_child(tmp_path: Path) -> None:
    await require_success(f"memory://?persist_path={tmp_path}", MEMORY, IN_A_CALLBACK)
    await require_success("memory://app", MEMORY)
