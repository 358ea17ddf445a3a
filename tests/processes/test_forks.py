"""A forked process is told to open its own client; what it inherited is its parent's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from ndb_models.server import NdbServer
from tests.processes.programs import run_program

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")]

PRELUDE: Final = """
import asyncio, os, sys
from ndb_models import ConfigRepository, InvalidArgumentError, NdbClient, Repository, SessionModel

class User(SessionModel, schema="forks-user"):
    name: str = ""

def fork_and_run(work):
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the child failed"

async def refused(call):
    try:
        await call
    except InvalidArgumentError as exc:
        assert "process" in str(exc), exc
    else:
        raise AssertionError("it was not refused")

uri = sys.argv[1]
loop = asyncio.new_event_loop()
client = loop.run_until_complete(NdbClient.connect(uri).__aenter__())
repo = Repository(client, User)
user = loop.run_until_complete(repo.save(User(name="billy")))
"""

USED: Final = """
async def use():
    await refused(repo.get(user.tkn))
    await refused(repo.save(User(name="james")))
    await refused(repo.create(User(name="james")))
    await refused(repo.save(user))
    await refused(repo.delete(user.tkn))
    await refused(client.kv_set({"a": 1}))
    await refused(client.sh_info_all())
    await refused(ConfigRepository(client, User).load())

fork_and_run(lambda: asyncio.run(use()))
fork_and_run(lambda: fork_and_run(lambda: asyncio.run(use())))
assert loop.run_until_complete(repo.get(user.tkn)) == user
assert loop.run_until_complete(client.sh_info_all())["totalSessions"] == 1
loop.run_until_complete(client.close())
"""

CLOSED: Final = """
async def close_and_open():
    async with asyncio.timeout(30):
        await client.close()
        await client.close()
        assert await client.open("memory://")
        assert await client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}
        await client.close()

fork_and_run(lambda: asyncio.run(close_and_open()))
assert loop.run_until_complete(repo.get(user.tkn)) == user
loop.run_until_complete(client.close())
"""

CLOSED_IN_THE_SAME_LOOP: Final = """
fork_and_run(lambda: loop.run_until_complete(asyncio.wait_for(client.close(), 30)))
assert loop.run_until_complete(repo.get(user.tkn)) == user
loop.run_until_complete(client.close())
"""

DROPPED: Final = """
import gc

def drop():
    global client, repo
    del client, repo
    gc.collect()

fork_and_run(drop)
loop.run_until_complete(client.close())
"""

WHILE_OPENING: Final = """
async def fork_while_it_opens():
    opening = asyncio.ensure_future(client.open(uri))
    await asyncio.sleep(0)
    async def close():
        await asyncio.wait_for(client.close(), 30)
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor() as pool:
        await asyncio.wrap_future(pool.submit(fork_and_run, lambda: asyncio.run(close())))
    await opening

loop.run_until_complete(fork_while_it_opens())
loop.run_until_complete(client.close())
"""


async def require_success(program: str, uri: str, *options: str) -> None:
    outcome = await run_program(PRELUDE + program, uri, options=options)
    assert (outcome.status, outcome.complaint) == (0, "")


@pytest.fixture(params=["memory", "named", "sqlite", "server"])
def any_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each way to reach an engine from another process."""
    if request.param == "server":
        server: NdbServer = request.getfixturevalue("server")
        return server.uri
    return {"memory": "memory://", "named": "memory://app", "sqlite": f"sqlite:///{tmp_path / 'sessions.db'}"}[
        request.param
    ]


@pytest.mark.parametrize("uri", ["memory://", "memory://app"])
async def test_the_store_of_a_parent_is_not_used_by_a_child(uri: str) -> None:
    await require_success(USED, uri)


@pytest.mark.parametrize("uri", ["memory://", "memory://app"])
async def test_closing_in_a_child_returns_at_once_and_leaves_the_parents(uri: str) -> None:
    await require_success(CLOSED, uri)
    await require_success(CLOSED_IN_THE_SAME_LOOP, uri)


async def test_a_child_that_drops_what_it_inherited_is_not_told_to_close_it(any_uri: str) -> None:
    outcome = await run_program(PRELUDE + DROPPED, any_uri, options=("-W", "default"))
    assert outcome.status == 0
    assert "unclosed <NdbClient" not in outcome.complaint


async def test_a_client_that_was_being_opened_is_closed_at_once_in_a_child(server: NdbServer) -> None:
    await require_success(WHILE_OPENING, server.uri, "-W", "ignore")


async def test_a_name_of_the_parents_is_not_opened_anew_in_a_child() -> None:
    program = """
async def open_anew():
    await refused(NdbClient.connect("memory://app").__aenter__())
    await refused(NdbClient().open("memory://app"))
    async with NdbClient.connect("memory://other") as own:
        await own.kv_set({"a": 1})
    async with NdbClient.connect("memory://") as own:
        assert await own.kv_count() == 0

fork_and_run(lambda: asyncio.run(open_anew()))
loop.run_until_complete(client.close())
fork_and_run(lambda: asyncio.run(open_anew()))
"""
    await require_success(program, "memory://app")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
async def test_a_worker_of_multiprocessing_is_refused_what_it_cannot_share(tmp_path: Path, method: str) -> None:
    (tmp_path / "worked.py").write_text(
        """
import asyncio
from ndb_models import NdbClient, NdbError

def use(uri):
    async def login():
        async with NdbClient.connect(uri) as client:
            return await client.kv_count()
    try:
        return asyncio.run(login())
    except NdbError as exc:
        return str(exc)
"""
    )
    program = f"""
import asyncio, multiprocessing, sys
sys.path.insert(0, {str(tmp_path)!r})
import worked
from ndb_models import NdbClient

if __name__ == "__main__":
    async def main():
        async with NdbClient.connect("memory://app") as client:
            await client.kv_set({{"a": 1}})
            context = multiprocessing.get_context({method!r})
            with context.Pool(1) as pool:
                print(pool.apply(worked.use, ("memory://app",)))
                print(pool.apply(worked.use, ("memory://",)))

    asyncio.run(main())
"""
    outcome = await run_program(program, options=("-W", "ignore"))
    assert outcome.status == 0, outcome.complaint
    first, second = outcome.output.splitlines()
    assert "sqlite:///" in first if method == "fork" else first == "0"
    assert second == "0"
