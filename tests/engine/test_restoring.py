"""Loading a data set by its name, whatever it holds, and what saves that were cut short leave behind."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ndb_models.engine import Engine
from ndb_models.engine.temporary_folders import remove_abandoned, temporary_folder
from ndb_models.errors import DataSetError
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from tests.engine.asking import Asker
from tests.engine.data_sets import KEYS, SESSIONS, metadata, session, tree, write_data_set


async def test_keys_and_sessions_are_loaded_as_what_they_are(ask: Asker, persist_path: Path) -> None:
    await ask("KV_SET", keys={"a": 1, "b": 2})
    tkn = (await ask("SH_NEW"))["tkn"]
    await ask("SH_SET", tkn=tkn, keys={"c": 3})
    await ask("KV_SAVE", name="keys")
    await ask("SH_SAVE", name="sessions")
    engine = Engine(MemoryStore())
    assert await engine.load("keys", persist_path) == (0, 2)
    assert await engine.load("sessions", persist_path) == (1, 1)
    other = Asker(engine)
    assert await other.shared() == {"a": 1, "b": 2}
    assert (await other("SH_GET", tkn=tkn, keys=["c"]))["keys"] == {"c": 3}


async def test_the_newest_of_a_name_is_loaded(persist_path: Path) -> None:
    write_data_set(persist_path, "set", metadata("set", SESSIONS), ["[]"], 1)
    write_data_set(persist_path, "set", metadata("set", KEYS), ['{"keys":{"a":1}}'], 2)
    assert await Engine(MemoryStore()).load("set", persist_path) == (0, 1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "there is no data set of this name"),
        ("../set", "one path segment"),
        ("pending", "incomplete"),
        ("damaged", "damaged"),
        ("torn", "damaged"),
    ],
)
async def test_what_cannot_be_loaded_says_why_and_changes_nothing(persist_path: Path, name: str, reason: str) -> None:
    write_data_set(persist_path, "pending", metadata("pending", KEYS, status=0), ['{"keys":{"a":1}}'])
    write_data_set(persist_path, "damaged", "{", ['{"keys":{"a":1}}'])
    write_data_set(persist_path, "torn", metadata("torn", KEYS), ['{"keys":{"a":1'])
    ask = Asker(Engine(MemoryStore()))
    with pytest.raises(DataSetError, match=reason) as failed:
        await ask.engine.load(name, persist_path)
    assert failed.value.name == name
    assert await ask.shared() == {}


async def test_sessions_that_do_not_all_fit_are_not_loaded_at_all(persist_path: Path) -> None:
    sessions = ",".join(f'{{"sh":{text},"keys":{{}}}}' for text in map(_header, (1, 2, 3)))
    write_data_set(persist_path, "set", metadata("set", SESSIONS), [f"[{sessions}]"])
    ask = Asker(Engine(MemoryStore(StoreLimits(sessions=2)), persist_path=persist_path))
    with pytest.raises(DataSetError, match="at most 2 sessions"):
        await ask.engine.load("set", persist_path)
    assert (await ask("SH_LOAD", name="set"))["st"] == 103
    assert (await ask("SH_INFO_ALL"))["totalSessions"] == 0


def _header(token: int) -> str:
    return json.dumps(session(token, {})["sh"])


# A save that dies at the n-th time that something is made durable or gets its name.
DYING = """
import asyncio, os, pathlib, sys
from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore

directory, left = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def dying(call):
    def step(*arguments, **options):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*arguments, **options)
    return step

async def save():
    engine = Engine(MemoryStore(), persist_path=directory)
    await engine.handle(b'{"KV_SET":{"keys":{"a":2}}}')
    os.fsync, os.rename = dying(os.fsync), dying(os.rename)
    print((await engine.handle(b'{"KV_SAVE":{"name":"set"}}')).decode())

asyncio.run(save())
"""


def save_that_dies_at(step: int, persist_path: Path) -> int:
    """Save over a data set, in a process that dies at this step; return its status, 0 where it came to its end."""
    if (persist_path / "set").exists():
        shutil.rmtree(persist_path / "set")
    write_data_set(persist_path, "set", metadata("set", KEYS), ['{"keys":{"a":1}}'], 1)
    command = [sys.executable, "-c", DYING, str(persist_path), str(step)]
    return subprocess.run(command, check=False, timeout=30, stdout=subprocess.DEVNULL).returncode


@pytest.mark.slow
async def test_a_save_that_dies_at_any_step_leaves_the_old_data_set_or_the_new(persist_path: Path) -> None:
    loaded: list[object] = []
    for step in itertools.count():
        status = save_that_dies_at(step, persist_path)
        ask = Asker(Engine(MemoryStore(), persist_path=persist_path))
        assert not [name for name in tree(persist_path) if name.startswith(".")], "removed at the next start"
        assert (await ask("KV_LOAD", name="set"))["st"] == 141
        loaded.append((await ask.shared())["a"])
        if status == 0:
            break
        assert status == 9
    # Two files, three folders and the renaming; then it has its name, and two folders are made durable.
    assert loaded == [1, 1, 1, 1, 1, 1, 2, 2, 2]


def test_a_folder_that_somebody_fills_is_not_abandoned(persist_path: Path) -> None:
    with temporary_folder(persist_path) as folder:
        assert remove_abandoned(persist_path) == 0
        assert folder.is_dir()
    assert tree(persist_path) == {}


def test_a_folder_that_nobody_fills_any_more_is_removed_and_others_stay(persist_path: Path) -> None:
    (persist_path / ".ndb-models-0123" / "data").mkdir(parents=True)
    (persist_path / ".other").mkdir()
    (persist_path / "set").mkdir()
    assert remove_abandoned(persist_path) == 1
    assert sorted(tree(persist_path)) == [".other", "set"]
