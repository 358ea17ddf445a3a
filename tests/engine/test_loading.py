"""Loading: data sets that NemesisDB could have written are read, and all others are refused and change nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.engine.asking import Asker
from tests.engine.data_sets import KEYS, SESSIONS, metadata, session, tree, write_data_set


@pytest.fixture
def ask(ask_any: Asker) -> Asker:
    """On every store."""
    return ask_any


TOKEN = 16204359010587816757
A_KEY = '{"keys":{"a":1}}'
A_SESSION = json.dumps([session(5, {"a": 1})])


async def test_keys_are_written_over_those_that_are_there(ask: Asker, persist_path: Path) -> None:
    files = ['{"keys":{"a":1e3,"b":{"c":[2]}}}', '{"keys":{}}', '{ "keys" : { "d" : 5 } }']
    write_data_set(persist_path, "data_set", metadata("data_set", KEYS), files)
    await ask("KV_SET", keys={"a": 0, "z": 26})
    answer = await ask("KV_LOAD", name="data_set")
    assert type(answer.pop("duration")) is int
    assert answer == {"keys": 3, "name": "data_set", "sessions": 0, "st": 141}
    assert await ask.shared() == {"a": 1000.0, "b": {"c": [2]}, "d": 5, "z": 26}
    assert await ask.text("a") == "1e3"


async def test_sessions_are_restored_under_their_tokens_with_their_timers_started_afresh(
    ask: Asker, clock: VirtualClock, persist_path: Path
) -> None:
    settings = {"duration": 600, "deleteSession": True, "extendOnGet": True}
    files = [json.dumps([session(TOKEN, {"a": 1, "b": [2]}, **settings), {}]), json.dumps([session(5, {})])]
    write_data_set(persist_path, "data_set", metadata("data_set", SESSIONS), files)
    clock.move(12345)
    answer = await ask("SH_LOAD", name="data_set")
    answer.pop("duration", None)
    assert answer == {"keys": 2, "name": "data_set", "sessions": 2, "st": 141}
    assert (await ask("SH_GET", tkn=TOKEN, keys=["b", "a"]))["keys"] == {"a": 1, "b": [2]}
    info = await ask("SH_INFO", tkn=TOKEN)
    assert info["expiry"] == {**settings, "extendOnSetAdd": False, "remaining": 600}
    assert (await ask("SH_INFO", tkn=5))["expires"] is False


async def test_a_session_that_exists_is_left_alone(ask: Asker, persist_path: Path) -> None:
    token = await ask.new()
    await ask("SH_SET", tkn=token, keys={"a": 2})
    sessions = [session(token, {"a": 1, "b": 1}), session(TOKEN, {"c": 1})]
    write_data_set(persist_path, "data_set", metadata("data_set", SESSIONS), [json.dumps(sessions)])
    answer = await ask("SH_LOAD", name="data_set")
    assert (answer["sessions"], answer["keys"]) == (1, 1)
    assert (await ask("SH_GET", tkn=token, keys=["a", "b"]))["keys"] == {"a": 2}


async def test_what_a_later_version_adds_is_passed_over(ask: Asker, persist_path: Path) -> None:
    one = session(TOKEN, {"a": 1})
    one["sh"]["new"] = one["sh"]["expiry"]["new"] = one["new"] = [1]
    write_data_set(persist_path, "data_set", metadata("data_set", SESSIONS, new={}), [json.dumps([one])])
    assert (await ask("SH_LOAD", name="data_set"))["sessions"] == 1


async def test_the_newest_directory_is_the_one_that_is_loaded(ask: Asker, persist_path: Path) -> None:
    for made in (9, 100, 11):
        write_data_set(persist_path, "data_set", metadata("data_set", KEYS), [f'{{"keys":{{"a":{made}}}}}'], made)
    (persist_path / "data_set" / "newer").mkdir()
    await ask("KV_LOAD", name="data_set")
    assert await ask.shared() == {"a": 100}


async def test_an_older_directory_does_not_stand_in_for_a_newest_that_is_incomplete(
    ask: Asker, persist_path: Path
) -> None:
    write_data_set(persist_path, "data_set", metadata("data_set", KEYS), [A_KEY], 1)
    write_data_set(persist_path, "data_set", metadata("data_set", KEYS, status=0), [A_KEY], 2)
    assert await ask.status("KV_LOAD", name="data_set") == 142
    assert await ask.shared() == {}


async def test_files_are_read_in_the_order_of_their_numbers(ask: Asker, persist_path: Path) -> None:
    files = [f'{{"keys":{{"last":{number},"{number}":0}}}}' for number in range(12)]
    write_data_set(persist_path, "data_set", metadata("data_set", KEYS), files)
    assert (await ask("KV_LOAD", name="data_set"))["st"] == 141
    keys = await ask.shared()
    assert keys.pop("last") == 11
    assert len(keys) == 12


NOT_COMPLETE: dict[str, dict[str, Any] | str] = {
    "pending": metadata("data_set", KEYS, status=0),
    "failed": metadata("data_set", KEYS, status=2),
    "of an unknown status": metadata("data_set", KEYS, status=7),
    "of a status that is no number": metadata("data_set", KEYS, status="1"),
    "of an unknown kind": metadata("data_set", 2),
    "without a status": {"name": "data_set", "version": 2, "saveDataType": 0},
    "without a kind": {"name": "data_set", "version": 2, "status": 1},
    "with metadata that is no object": "[]",
    "with metadata that is cut short": json.dumps(metadata("data_set", KEYS))[:-5],
    "with empty metadata": "",
}
DAMAGED_KEYS = {
    "cut short": A_KEY[:-2],
    "empty": "",
    "an array": "[]",
    "without keys": "{}",
    "with keys that are none": '{"keys":[]}',
    "not a number": '{"keys":{"a":NaN}}',
    "beyond a double": '{"keys":{"a":1e400}}',
    "a lone surrogate": '{"keys":{"a":"\\ud800"}}',
    "too deep": '{"keys":{"a":' + "[" * 600 + "]" * 600 + "}}",
    "of sessions": A_SESSION,
}
DAMAGED_SESSIONS: dict[str, Any] = {
    "a negative token": session(-1, {}),
    "a token beyond 64 bits": session(2**64, {}),
    "a token that is no integer": {**session(5, {}), "sh": {**session(5, {})["sh"], "tkn": "5"}},
    "no token": {"sh": {"expiry": session(5, {})["sh"]["expiry"]}, "keys": {}},
    "no expiry": {"sh": {"tkn": 5, "shared": False}, "keys": {}},
    "a negative duration": session(5, {}, duration=-1),
    "a duration beyond 64 bits": session(5, {}, duration=2**64),
    "a duration beyond a double": session(5, {}, duration=10**400),
    "a duration that is no integer": session(5, {}, duration=1.5),
    "a flag that is no flag": session(5, {}, deleteSession=1),
    "keys that are none": {**session(5, {}), "keys": []},
    "no object": 5,
}

DAMAGED_SESSION_KEYS = {
    "not a number": '{"a":NaN}',
    "beyond a double": '{"a":1e400}',
    "a lone surrogate": '{"a":"\\ud800"}',
    "control characters": '{"a":"\x01"}',
    "deeper than an answer can be": '{"a":' + "[" * 510 + "]" * 510 + "}",
    "deeper than anything": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "cut short": '{"a":',
    "a string": '"a"',
}


async def assert_is_refused(ask: Asker, command: str) -> None:
    """Load a data set that cannot be, and find everything as it was."""
    token = await ask.new()
    await ask("KV_SET", keys={"before": 1})
    answer = await ask(command, name="data_set")
    assert answer["st"] == 142
    assert answer["m"]
    assert await ask.shared() == {"before": 1}
    assert (await ask("SH_INFO_ALL"))["totalSessions"] == 1
    assert (await ask("SH_EXISTS", tkns=[token, 4, 5]))["exist"] == [token]


@pytest.mark.parametrize("md", NOT_COMPLETE.values(), ids=NOT_COMPLETE)
async def test_a_data_set_that_is_not_complete_is_refused(
    ask: Asker, persist_path: Path, md: dict[str, Any] | str
) -> None:
    write_data_set(persist_path, "data_set", md, [A_KEY])
    await assert_is_refused(ask, "KV_LOAD")


@pytest.mark.parametrize("text", DAMAGED_KEYS.values(), ids=DAMAGED_KEYS)
async def test_damaged_keys_are_refused_with_all_before_them(ask: Asker, persist_path: Path, text: str) -> None:
    write_data_set(persist_path, "data_set", metadata("data_set", KEYS), [A_KEY, text])
    await assert_is_refused(ask, "KV_LOAD")


@pytest.mark.parametrize("damaged", DAMAGED_SESSIONS.values(), ids=DAMAGED_SESSIONS)
async def test_a_damaged_session_is_refused_with_all_before_it(ask: Asker, persist_path: Path, damaged: object) -> None:
    files = [json.dumps([session(4, {"a": 1})]), json.dumps([damaged])]
    write_data_set(persist_path, "data_set", metadata("data_set", SESSIONS), files)
    await assert_is_refused(ask, "SH_LOAD")


async def test_bytes_that_are_no_text_are_refused(ask: Asker, persist_path: Path) -> None:
    root = write_data_set(persist_path, "data_set", metadata("data_set", KEYS), [])
    (root / "data" / "0").write_bytes(b'{"keys":{"a":"\xff"}}')
    await assert_is_refused(ask, "KV_LOAD")


@pytest.mark.parametrize("keys", DAMAGED_SESSION_KEYS.values(), ids=DAMAGED_SESSION_KEYS)
async def test_sessions_whose_keys_are_damaged_are_refused_and_none_is_restored(
    ask: Asker, persist_path: Path, keys: str
) -> None:
    damaged = json.dumps(session(6, {})).replace('"keys": {}', f'"keys":{keys}')
    text = f"[{A_SESSION[1:-1]},{damaged}]"
    write_data_set(persist_path, "data_set", metadata("data_set", SESSIONS), [text])
    await assert_is_refused(ask, "SH_LOAD")


@pytest.mark.parametrize(("command", "kind", "text"), [("SH_LOAD", KEYS, A_KEY), ("KV_LOAD", SESSIONS, A_SESSION)])
@pytest.mark.parametrize("empty", [False, True], ids=["with data", "without data"])
async def test_the_wrong_kind_is_refused(
    ask: Asker, persist_path: Path, command: str, kind: int, text: str, empty: bool
) -> None:
    write_data_set(persist_path, "data_set", metadata("data_set", kind), [] if empty else [text])
    await assert_is_refused(ask, command)


@pytest.mark.parametrize(
    "take_away",
    [
        lambda root: shutil.rmtree(root / "md"),
        lambda root: shutil.rmtree(root / "data"),
        lambda root: shutil.rmtree(root),
        lambda root: shutil.rmtree(root.parent),
        lambda root: (root / "md" / "md.json").unlink(),
    ],
    ids=["metadata", "data", "the one directory", "all", "the metadata's file"],
)
@pytest.mark.parametrize(("command", "kind", "text"), [("KV_LOAD", KEYS, A_KEY), ("SH_LOAD", SESSIONS, A_SESSION)])
async def test_what_is_missing_is_refused(
    ask: Asker, persist_path: Path, take_away: Callable[[Path], None], command: str, kind: int, text: str
) -> None:
    take_away(write_data_set(persist_path, "data_set", metadata("data_set", kind), [text]))
    await assert_is_refused(ask, command)


@pytest.mark.parametrize("command", ["KV", "SH"])
@pytest.mark.parametrize(
    "name", ["..", "../outside", "a/../../outside", "/etc", ".", "", "a\\b", "missing", "x" * 5000]
)
async def test_nothing_outside_is_loaded(
    ask: Asker, tmp_path: Path, persist_path: Path, command: str, name: str
) -> None:
    kind, text = (KEYS, A_KEY) if command == "KV" else (SESSIONS, A_SESSION)
    write_data_set(tmp_path, "outside", metadata("outside", kind), [text])
    write_data_set(tmp_path, ".", metadata(".", kind), [text])
    write_data_set(persist_path, ".", metadata(".", kind), [text])
    before = tree(tmp_path)
    answer = await ask(f"{command}_LOAD", name=name)
    assert (answer["st"], answer["name"]) == (142, name)
    assert await ask.shared() == {}
    assert (await ask("SH_INFO_ALL"))["totalSessions"] == 0
    assert tree(tmp_path) == before


async def test_loading_twice_changes_no_session(ask: Asker, persist_path: Path) -> None:
    write_data_set(persist_path, "data_set", metadata("data_set", SESSIONS), [A_SESSION])
    assert (await ask("SH_LOAD", name="data_set"))["sessions"] == 1
    await ask("SH_SET", tkn=5, keys={"a": 2})
    assert (await ask("SH_LOAD", name="data_set"))["sessions"] == 0
    assert (await ask("SH_GET", tkn=5, keys=["a"]))["keys"] == {"a": 2}


async def test_a_load_that_is_cancelled_restores_all_or_none(persist_path: Path) -> None:
    sessions = json.dumps([session(token, {"a": 1}) for token in range(1, 601)])
    write_data_set(persist_path, "data_set", metadata("data_set", SESSIONS), [sessions])

    async def restored(store: MemoryStore) -> int:
        await asyncio.sleep(0)
        return (await store.totals())[0]

    for turns in range(1, 8):
        store = MemoryStore()
        engine = Engine(store, persist_path=persist_path)
        loading = asyncio.create_task(engine.handle(b'{"SH_LOAD":{"name":"data_set"}}'))
        async with asyncio.timeout(30):
            while not await restored(store):
                pass
            for _ in range(turns):
                await restored(store)
            loading.cancel()
            await asyncio.wait([loading])
            while len(found := await store.exist(range(1, 601))) < 600:
                await restored(store)
        assert found == [*range(1, 601)]
