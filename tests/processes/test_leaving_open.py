"""A client that is left open when its process ends: nothing is printed but ResourceWarnings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import pytest

from ndb_models.server import NdbServer
from tests.processes.programs import run_program

# Three processes come of one, which has imported the package: each has another filter of warnings, and writes what it
# complains of to a file of its own.
PRELUDE: Final = """
import asyncio, gc, os, sys, threading, warnings
from ndb_models import NdbClient, Repository, SessionModel

children = []
for mode in ("ignore", "default", "error"):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.path.join(sys.argv[2], mode), os.O_WRONLY | os.O_CREAT), 2)
        warnings.simplefilter(mode)
        break
    children.append(child)
else:
    statuses = [os.waitpid(child, 0)[1] for child in children]
    os._exit(any(statuses))
del children

class User(SessionModel, schema="left-open-user"):
    name: str = ""

async def opened():
    client = await NdbClient.connect(sys.argv[1])
    await Repository(client, User).save(User())
    return client
"""

SHAPES: Final = {
    "a global, its loop closed": "client = asyncio.run(opened())",
    "an attribute of a class": "class App:\n    client = asyncio.run(opened())",
    "held by sys": "sys.client = asyncio.run(opened())",
    "in a cycle": """
loop = asyncio.new_event_loop()
client = loop.run_until_complete(opened())
client.me = client
loop.close()
del client
""",
    "in a cycle, its loop stopped": """
loop = asyncio.new_event_loop()
client = loop.run_until_complete(opened())
client.me = client
del client, loop
gc.collect()
""",
    "its loop stopped": """
loop = asyncio.new_event_loop()
client = loop.run_until_complete(opened())
""",
    "its loop closed with its tasks": """
loop = asyncio.new_event_loop()
client = loop.run_until_complete(opened())
loop.close()
""",
    "its loop runs in a thread": """
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
client = asyncio.run_coroutine_threadsafe(opened(), loop).result()
""",
    "its loop runs in a thread, in debug mode": """
loop = asyncio.new_event_loop()
loop.set_debug(True)
loop.slow_callback_duration = 60  # else a loaded machine has something to say
threading.Thread(target=loop.run_forever, daemon=True).start()
client = asyncio.run_coroutine_threadsafe(opened(), loop).result()
""",
    "of a thread that has ended": """
here = threading.local()
def work():
    here.client = asyncio.run(opened())
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
    "its loop runs": """
async def leave():
    global client
    client = await opened()
    sys.exit(0)
asyncio.run(leave())
""",
    "entered in a generator that is not finished": """
async def entered():
    async with NdbClient.connect(sys.argv[1]) as client:
        yield await client.kv_count()
async def step():
    global generator
    generator = entered()
    await generator.__anext__()
loop = asyncio.new_event_loop()
loop.run_until_complete(step())
""",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.unmeasured,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
]

# A warning, as it is shown by itself, or as what cannot be raised where it was: then with a traceback.
_WARNING: Final = re.compile(r"ResourceWarning: |^  \S|^    |^\s*_?warn\(|^Exception ignored in|^Traceback|^$")


@pytest.fixture(params=["sqlite", "server"])
def any_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "server":
        server: NdbServer = request.getfixturevalue("server")
        return server.uri
    return f"sqlite:///{tmp_path / 'sessions.db'}"


async def complaints(shape: str, uri: str, folder: Path) -> list[str]:
    """Return what a program prints to standard error: with warnings ignored, shown and raised."""
    outcome = await run_program(PRELUDE + SHAPES[shape], uri, str(folder))
    assert (outcome.status, outcome.complaint) == (0, "")
    return [(folder / mode).read_text() for mode in ("ignore", "default", "error")]


@pytest.mark.parametrize("shape", SHAPES)
async def test_nothing_is_printed_but_a_warning(any_uri: str, shape: str, tmp_path: Path) -> None:
    silent, shown, raised = await complaints(shape, any_uri, tmp_path)
    assert silent == ""
    assert [line for line in (shown + raised).splitlines() if not _WARNING.search(line)] == []
    assert "Exception ignored" not in shown
    if shape != "held by sys":  # what is there to the last is not finalized
        assert "ResourceWarning: unclosed" in shown


@pytest.mark.parametrize("uri", ["memory://", "memory://app"])
async def test_a_store_in_memory_needs_no_closing(uri: str, tmp_path: Path) -> None:
    silent, shown, _ = await complaints("a global, its loop closed", uri, tmp_path)
    assert silent == shown == ""
