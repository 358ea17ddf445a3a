"""The synchronous client in the programs that it is for: gunicorn, a REPL, a notebook; and at their end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Final

import pytest

from tests.free_ports import free_port
from tests.processes.programs import GUARD, run_program

ROOT: Final = Path(__file__).parent.parent.parent
MARK: Final = "ready"

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "server"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "server":
        uri: str = request.getfixturevalue("server_uri")
        return uri
    return f"sqlite:///{tmp_path / 'sessions.db'}"


# gunicorn


class Browser:
    """Keeps a cookie."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._cookie = ""

    def ask(self, path: str, method: str = "POST") -> tuple[int, object]:
        request = urllib.request.Request(f"{self._address}{path}", method=method, headers={"Cookie": self._cookie})
        with urllib.request.urlopen(request, timeout=GUARD) as answer:
            for header in answer.headers.get_all("Set-Cookie", []):
                ((name, morsel),) = SimpleCookie(header).items()
                self._cookie = f"{name}={morsel.value}"
            return answer.status, json.load(answer)


@asynccontextmanager
async def gunicorn(uri: str, *options: str) -> AsyncIterator[str]:
    """Run the example on gunicorn; yield its address."""
    port = free_port()
    command = ("-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--chdir", str(ROOT), *options)
    environment = {**os.environ, "NDB_URI": uri}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, "examples.flask_app:app", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(GUARD):
            while b"Booting worker" not in await process.stderr.readline():
                pass
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        _, complaint = await asyncio.wait_for(process.communicate(), GUARD)
    assert process.returncode == 0
    assert b"Traceback" not in complaint
    assert b"Warning" not in complaint


def visit(address: str, name: str) -> None:
    """Fill a cart with requests at the same time."""
    browser = Browser(address)
    browser.ask(f"/login/{name}")
    with ThreadPoolExecutor(4) as pool:
        statuses = [status for status, _ in pool.map(browser.ask, [f"/cart/{item}" for item in range(8)])]
    assert statuses == [200] * 8
    assert browser.ask("/cart", "GET") == (200, {str(item): 1 for item in range(8)})
    assert browser.ask("/logout") == (200, {"goodbye": True})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs fork")
@pytest.mark.parametrize("options", [("--preload", "--threads", "8"), ()], ids=["preloaded, threads", "plain"])
async def test_a_flask_application_works_on_gunicorn(stored: str, options: tuple[str, ...]) -> None:
    async with gunicorn(stored, "--workers", "2", *options) as address, asyncio.TaskGroup() as visitors:
        for number in range(4):
            visitors.create_task(asyncio.to_thread(visit, address, f"visitor{number}"))


PRELOADED: Final = """
import os, sys
sys.path.insert(0, sys.argv[1])
from examples.flask_app import app
child = os.fork()
if not child:
    app.config["PROPAGATE_EXCEPTIONS"] = True
    try:
        app.test_client().post("/login/billy")
    except Exception as exc:
        print(exc)
    sys.exit()
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_a_preloaded_store_in_memory_is_refused_by_name_in_a_worker() -> None:
    """The program forks as gunicorn does, after it has loaded the application."""
    outcome = await run_program(PRELOADED, str(ROOT))
    assert (outcome.status, outcome.complaint) == (0, "")
    assert "was made before the process was forked" in outcome.output
    assert "sqlite:///" in outcome.output


# A REPL


REPL: Final = """
from ndb_models import SessionModel
from ndb_models.sync import SyncClient, SyncRepository
class User(SessionModel):
    name: str = ""

client = SyncClient({uri!r})
repo = SyncRepository(client, User)
repo
tkn = repo.save(User(name="billy")).tkn
with repo.edit(tkn) as user:
    user.name = "james"

repo.get(tkn)
repo.get(tkn + 1)
repo.get(tkn).name
"""


async def test_a_repl_keeps_a_client_and_ends_with_it_open(stored: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-i", "-q",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    shown, complaint = await asyncio.wait_for(process.communicate(REPL.format(uri=stored).encode()), GUARD)
    assert process.returncode == 0
    assert shown.decode().splitlines() == ["<SyncRepository of User>", "User(name='james')", "'james'"]
    errors = re.findall(r"^[\w.]*(?:Error|Warning)\b.*", complaint.decode(), re.MULTILINE)
    assert len(errors) == 1
    assert "SessionGoneError" in errors[0]


# A notebook


NOTEBOOK: Final = """
import json, sys
import nbclient, nbformat

notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", ()):
        print(output.get("text") or output["data"]["text/plain"], end="" if output.get("text") else "\\n")
"""


async def test_the_notebook_runs_in_a_kernel() -> None:
    outcome = await run_program(NOTEBOOK, str(ROOT / "examples" / "notebook.ipynb"))
    assert outcome.status == 0, outcome.complaint
    lines = outcome.output.splitlines()
    assert lines[0] == "<SyncRepository of UserSession>"
    assert lines[1] == "UserSession(user_id=0, username='billy', cart={'apple': 2})"
    assert sorted(line.split(",")[0] for line in lines[2:5]) == [
        "anna     0 items",
        "billy    2 items",
        "james    0 items",
    ]
    assert lines[5:] == ["{'title': 'synchronous'} {'title': 'asynchronous'}", "1"]


# The end of a process


LEFT_OPEN: Final = """
import atexit, sys, threading
from ndb_models import SessionModel
from ndb_models.sync import SyncClient, SyncRepository

class User(SessionModel, schema="sync-left-open"):
    name: str = ""

late = SyncClient("memory://")
atexit.register(lambda: print("late:", late.kv_count()))
client = SyncClient.connect(sys.argv[1])
repo = SyncRepository(client, User)
user = repo.save(User(name="billy"))
others = [SyncClient(sys.argv[1]) for _ in range(5)]
for other in others:
    other.kv_count()
sessions = repo.sessions()
next(sessions)

def wait(_):
    waiting.set()
    threading.Event().wait()

waiting = threading.Event()
threading.Thread(target=repo.mutate, args=(user.tkn, wait), daemon=True).start()
waiting.wait()
"""

ENDS: Final = {
    "at the last line": "",
    "by sys.exit": "sys.exit(0)",
    "with an error": "raise SystemExit",
    "in a thread": "threading.Thread(target=lambda: print(repo.get(user.tkn).name)).start()",
    "with a reference in a cycle": "client.me = client; del client, repo, sessions",
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_process_ends_at_once_and_silently_with_open_clients(stored: str, end: str, tmp_path: Path) -> None:
    started = time.monotonic()
    outcome = await run_program(LEFT_OPEN + ENDS[end], stored, options=("-W", "error", "-X", "dev"))
    assert (outcome.status, outcome.complaint) == (0, "")
    assert outcome.output == ("billy\n" if end == "in a thread" else "") + "late: 0\n"
    assert time.monotonic() - started < GUARD / 2
    # A store that is closed leaves one file.
    assert not [path.name for path in tmp_path.glob("*-wal")]


INTERRUPTED: Final = """
import sys
from ndb_models.sync import SyncClient

client = SyncClient("ws://127.0.0.1:1/", connect_wait=60)
print("waiting", flush=True)
client.kv_count()
"""


async def test_ctrl_c_ends_a_program_that_waits() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", INTERRUPTED, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), GUARD) == b"waiting\n"
    process.send_signal(signal.SIGINT)
    _, complaint = await asyncio.wait_for(process.communicate(), GUARD)
    assert process.returncode == -signal.SIGINT
    assert complaint.decode().count("Traceback") == 1
    assert complaint.decode().splitlines()[-1].startswith("KeyboardInterrupt")
