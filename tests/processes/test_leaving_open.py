"""A client that is left open when its process ends: nothing is printed but ResourceWarnings."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final

import pytest

from ndb_models.server import NdbServer
from tests.processes.programs import GUARD, run_program

MODES: Final = ("ignore", "default", "error")

# Each shape is left open by three processes, which come of one that has imported the package. Each has another filter
# of warnings, and writes what it complains of to a file of its own.
PRELUDE: Final = """
import asyncio, gc, json, os, sys, threading, warnings
from ndb_models import NdbClient, Repository, SessionModel

def shape_to_leave():
    shapes, modes = json.loads(sys.argv[3])
    statuses = []
    for number, shape in enumerate(shapes):
        children = []
        for mode in modes:
            child = os.fork()
            if child == 0:
                os.dup2(os.open(os.path.join(sys.argv[2], f"{number}-{mode}"), os.O_WRONLY | os.O_CREAT), 2)
                warnings.simplefilter(mode)
                return shape
            children.append(child)
        statuses += [os.waitpid(child, 0)[1] for child in children]
    os._exit(any(statuses))

class User(SessionModel, schema="left-open-user"):
    name: str = ""

async def opened():
    client = await NdbClient.connect(sys.argv[1])
    await Repository(client, User).save(User())
    return client

def opened_in_a_thread(loop):
    threading.Thread(target=loop.run_forever, daemon=True).start()
    client = asyncio.run_coroutine_threadsafe(opened(), loop).result()
    # A process that ends stops its threads wherever they are. This one is no longer where it hands the client over.
    handed_over = threading.Event()
    loop.call_soon_threadsafe(handed_over.set)
    handed_over.wait()
    return client

exec(shape_to_leave())
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
client = opened_in_a_thread(loop)
""",
    "its loop runs in a thread, in debug mode": """
loop = asyncio.new_event_loop()
loop.set_debug(True)
loop.slow_callback_duration = 60  # else a loaded machine has something to say
client = opened_in_a_thread(loop)
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


async def complaints(shapes: list[str], uri: str, folder: Path) -> list[list[str]]:
    """Return what each shape prints to standard error: with warnings ignored, shown and raised."""
    told = json.dumps([[SHAPES[shape] for shape in shapes], MODES])
    outcome = await run_program(PRELUDE, uri, str(folder), told, guard=GUARD * len(shapes))
    assert (outcome.status, outcome.complaint) == (0, "")
    return [[(folder / f"{number}-{mode}").read_text() for mode in MODES] for number in range(len(shapes))]


def is_as_it_should_be(shape: str, silent: str, shown: str, raised: str) -> bool:
    """Tell whether nothing is printed but a warning, and the warning is."""
    strange = [line for line in (shown + raised).splitlines() if not _WARNING.search(line)]
    # What sys holds is there to the last, and is not finalized.
    is_told = "ResourceWarning: unclosed" in shown or shape == "held by sys"
    return not silent and not strange and "Exception ignored" not in shown and is_told


async def test_nothing_is_printed_but_a_warning(any_uri: str, tmp_path: Path) -> None:
    printed = dict(zip(SHAPES, await complaints(list(SHAPES), any_uri, tmp_path), strict=True))
    assert {shape: texts for shape, texts in printed.items() if not is_as_it_should_be(shape, *texts)} == {}


@pytest.mark.parametrize("uri", ["memory://", "memory://app"])
async def test_a_store_in_memory_needs_no_closing(uri: str, tmp_path: Path) -> None:
    ((silent, shown, _),) = await complaints(["a global, its loop closed"], uri, tmp_path)
    assert silent == shown == ""
