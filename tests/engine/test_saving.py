"""Saving: what is on the disk afterwards, and what never is."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.engine.asking import Asker
from tests.engine.data_sets import KEYS, SESSIONS, metadata, session, tree, write_data_set

MIB = 1024 * 1024
NAMES_THAT_ARE_PATHS = [
    *(
        "",
        ".",
        "..",
        "../x",
        "../../x",
        "a/b",
        "/abs",
        "a/../../x",
        "a\\b",
        "..\\x",
        "C:x",
        "C:\\x",
        ".hidden",
        "a\0b",
        "a\nb",
    ),
    *("x" * 256, "é" * 200),
]


def the_only_one(persist_path: Path, name: str) -> Path:
    """Return the directory of a data set that was saved once."""
    (root,) = (persist_path / name).iterdir()
    return root


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def data(root: Path) -> list[Any]:
    """Return what the files of a data set hold, in order."""
    paths = sorted((root / "data").iterdir(), key=lambda path: int(path.name))
    assert [path.name for path in paths] == [str(number) for number in range(len(paths))]
    return [json.loads(path.read_bytes()) for path in paths]


async def test_keys_are_saved_in_the_format_of_nemesisdb(ask: Asker, persist_path: Path) -> None:
    await ask("KV_SET", keys={"a": 1, "é": {"b": [None]}})
    milliseconds, nanoseconds = time.time_ns() // 10**6, time.time_ns()
    answer = await ask("KV_SAVE", name="data_set")
    assert (answer["st"], answer["name"], type(answer["duration"])) == (121, "data_set", int)
    root = the_only_one(persist_path, "data_set")
    assert nanoseconds <= int(root.name) <= time.time_ns()
    md = json.loads((root / "md" / "md.json").read_bytes())
    assert md == metadata("data_set", KEYS, start=md["start"], complete=md["complete"])
    assert milliseconds <= md["start"] <= md["complete"] <= time.time_ns() // 10**6
    assert data(root) == [{"keys": {"a": 1, "é": {"b": [None]}}}]
    assert set(tree(root)) == {"md", "md/md.json", "data", "data/0"}


async def test_sessions_are_saved_in_the_format_of_nemesisdb(ask: Asker, persist_path: Path) -> None:
    first = await ask.new(duration=600, deleteSession=True, extendOnGet=True)
    second = await ask.new()
    await ask("SH_SET", tkn=first, keys={"a": 1})
    answer = await ask("SH_SAVE", name="data_set")
    assert (answer["st"], answer["name"], type(answer["duration"])) == (121, "data_set", int)
    root = the_only_one(persist_path, "data_set")
    md = json.loads((root / "md" / "md.json").read_bytes())
    assert md == metadata("data_set", SESSIONS, start=md["start"], complete=md["complete"])
    (sessions,) = data(root)
    assert sorted(sessions, key=str) == sorted(
        [session(first, {"a": 1}, duration=600, deleteSession=True, extendOnGet=True), session(second, {})], key=str
    )


async def test_values_are_saved_as_the_text_that_they_are(ask: Asker, persist_path: Path) -> None:
    await ask.write("a", '[1e3, -0.0,"\\u00e9"]')
    await ask("KV_SAVE", name="data_set")
    text = (the_only_one(persist_path, "data_set") / "data" / "0").read_bytes()
    assert text == b'{"keys":{"a":[1e3, -0.0,"\\u00e9"]}}'


async def test_a_new_file_starts_past_ten_mebibytes(ask: Asker, persist_path: Path) -> None:
    keys = {f"key{number}": "x" * (4 * MIB) for number in range(7)}
    await ask("KV_SET", keys=keys)
    await ask("KV_SAVE", name="data_set")
    files = data(the_only_one(persist_path, "data_set"))
    assert [len(file["keys"]) for file in files] == [3, 3, 1]
    assert {name: value for file in files for name, value in file["keys"].items()} == keys
    await ask("KV_CLEAR")
    assert (await ask("KV_LOAD", name="data_set"))["keys"] == 7
    assert {name: (await ask("KV_GET", keys=[name]))["keys"][name] for name in keys} == keys


async def test_so_does_it_for_sessions(ask: Asker, persist_path: Path) -> None:
    tokens = [await ask.new() for _ in range(4)]
    for token in tokens:
        await ask("SH_SET", tkn=token, keys={"a": "x" * (4 * MIB)})
    await ask("SH_SAVE", name="data_set")
    assert [len(file) for file in data(the_only_one(persist_path, "data_set"))] == [3, 1]
    await ask("SH_END_ALL")
    answer = await ask("SH_LOAD", name="data_set")
    assert (answer["sessions"], answer["keys"]) == (4, 4)
    assert (await ask("SH_EXISTS", tkns=tokens))["exist"] == tokens


@pytest.mark.parametrize("command", ["KV", "SH"])
async def test_nothing_is_saved_and_loaded_as_nothing(ask: Asker, command: str) -> None:
    assert await ask.status(f"{command}_SAVE", name="data_set") == 121
    answer = await ask(f"{command}_LOAD", name="data_set")
    assert (answer["st"], answer["keys"], answer["sessions"]) == (141, 0, 0)


async def test_of_tokens_those_that_exist_are_saved(ask: Asker, persist_path: Path) -> None:
    first, second, third = [await ask.new() for _ in range(3)]
    await ask("SH_END", tkn=third)
    assert await ask.status("SH_SAVE", name="data_set", tkns=[second, third, 12345, second]) == 121
    assert data(the_only_one(persist_path, "data_set")) == [[session(second, {})]]
    assert (await ask("SH_EXISTS", tkns=[first, second]))["exist"] == [first, second]


async def test_expired_sessions_are_not_saved(ask: Asker, clock: VirtualClock, persist_path: Path) -> None:
    ending, staying = await ask.new(duration=60, deleteSession=True), await ask.new(duration=60)
    for token in (ending, staying):
        await ask("SH_SET", tkn=token, keys={"a": 1})
    clock.move(60)
    await ask("SH_SAVE", name="all")
    await ask("SH_SAVE", name="chosen", tkns=[ending, staying])
    for name in ("all", "chosen"):
        assert data(the_only_one(persist_path, name)) == [[session(staying, {}, duration=60)]]


async def test_a_save_is_of_the_moment_when_it_was_asked_for(ask: Asker) -> None:
    await ask("KV_SET", keys={"a": 1})
    await asyncio.gather(ask("KV_SAVE", name="data_set"), ask("KV_SET", keys={"a": 2, "b": 3}))
    await ask("KV_CLEAR")
    await ask("KV_LOAD", name="data_set")
    assert await ask.shared() == {"a": 1}


async def test_saves_at_once_are_each_whole(ask: Asker, persist_path: Path) -> None:
    await ask("KV_SET", keys={"a": 1})
    names = ["one", "other"] * 10
    answers = await asyncio.gather(*(ask("KV_SAVE", name=name) for name in names))
    assert [answer["st"] for answer in answers] == [121] * 20
    assert entries(persist_path) == ["one", "other"]
    for name in ("one", "other"):
        roots = list((persist_path / name).iterdir())
        assert len(roots) == 10
        assert all(data(root) == [{"keys": {"a": 1}}] for root in roots)


async def test_a_later_save_is_the_one_that_is_loaded_even_if_the_clock_went_back(
    ask: Asker, persist_path: Path
) -> None:
    future = time.time_ns() + 10**18
    write_data_set(persist_path, "data_set", metadata("data_set", KEYS), ['{"keys":{"a":1}}'], future)
    await ask("KV_SET", keys={"a": 2})
    assert await ask.status("KV_SAVE", name="data_set") == 121
    await ask("KV_CLEAR")
    await ask("KV_LOAD", name="data_set")
    assert await ask.shared() == {"a": 2}


@pytest.mark.parametrize("command", ["KV", "SH"])
@pytest.mark.parametrize("name", NAMES_THAT_ARE_PATHS, ids=lambda name: repr(name[:12]))
async def test_a_name_that_is_no_path_segment_is_refused_and_nothing_is_written(
    ask: Asker, tmp_path: Path, command: str, name: str
) -> None:
    before = tree(tmp_path)
    answer = await ask(f"{command}_SAVE", name=name)
    assert (answer["st"], answer["name"]) == (123, name)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["a", "é", "a b", "a.b", "x" * 200, "data-set_1", "😀"])
async def test_any_other_name_is_taken(ask: Asker, persist_path: Path, name: str) -> None:
    await ask("KV_SET", keys={"a": 1})
    assert await ask.status("KV_SAVE", name=name) == 121
    assert entries(persist_path) == [name]
    assert await ask.status("KV_LOAD", name=name) == 141


@pytest.mark.parametrize("command", ["KV_SAVE", "SH_SAVE"])
async def test_what_cannot_be_written_is_told_and_leaves_nothing_behind(
    ask: Asker, persist_path: Path, command: str
) -> None:
    (persist_path / "data_set").write_bytes(b"in the way")
    assert await ask.status(command, name="data_set") == 123
    assert tree(persist_path) == {"data_set": b"in the way"}


@pytest.mark.parametrize("command", ["KV_SAVE", "KV_LOAD", "SH_SAVE", "SH_LOAD"])
async def test_without_a_persist_path_data_sets_are_disabled(command: str) -> None:
    ask = Asker(Engine(MemoryStore()))
    assert await ask.status(command, name="data_set") == 14
    assert (await ask("SV_INFO"))["persistEnabled"] is False


async def test_with_a_persist_path_the_server_says_so(ask: Asker) -> None:
    assert (await ask("SV_INFO"))["persistEnabled"] is True
