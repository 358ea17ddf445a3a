"""`ndb-models info`, `keys` and `tokens`: what they print, and their statuses."""

from __future__ import annotations

import asyncio
import io
import json
import re
import stat
import sys
from pathlib import Path

import pytest

from ndb_models import NdbClient, __version__
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.server.tokens import read_tokens
from ndb_models.stores.memory import MemoryStore
from tests.cli.running import Place, run

TOKEN = "a-token-that-is-long-enough"


async def test_info_says_what_a_store_is_and_holds(place: Place) -> None:
    await place.fill()
    await place.client.kv_set({"a": 1})
    found = (await place.run("info", "--json")).document
    assert found["server"] == f"ndb_models/{__version__}"
    assert found["is_server"] is place.uri.startswith("ws")
    assert found["shared_keys"] == 1 + 5  # with the names of the index
    assert found["sessions"] == 4 + 5
    assert found["can"] == {"listing": True, "peeking": True, "changing": True}
    text = (await place.run("info")).output
    assert re.search(r"^sessions +9 with ", text, re.MULTILINE)
    assert re.search(r"^list sessions +yes$", text, re.MULTILINE)


async def test_info_of_a_nemesisdb_says_what_it_cannot_do(
    nemesisdb: NdbServer, nemesisdb_client: NdbClient, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(nemesisdb.uri, nemesisdb_client, capsys)
    found = (await place.run("info", "--json", "--max-payload", "8192")).document
    assert found["can"] == {"listing": False, "peeking": False, "changing": False}
    assert found["saves_data_sets"] is True


async def test_info_tells_what_is_for_admins_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ServerOptions(port=0, tokens=Tokens([(Role.DATA, TOKEN)]))
    async with (
        NdbServer(Engine(MemoryStore()), options) as server,
        NdbClient.connect(server.uri, token=TOKEN) as client,
    ):
        monkeypatch.setenv("NDB_TOKEN", TOKEN)
        found = (await Place(server.uri, client, capsys).run("info", "--json")).document
        assert found["can"] == {"listing": "admins only", "peeking": True, "changing": True}


async def test_a_store_that_is_not_there_is_status_1_and_one_line(place: Place) -> None:
    for uri in ("ws://127.0.0.1:1/", "redis://127.0.0.1:1"):
        done = await Place(uri, place.client, place.capsys).run("info")
        assert (done.status, done.output, done.errors.count("\n")) == (1, "", 1)


async def test_keys_are_written_read_listed_and_removed(place: Place) -> None:
    await place.fill()
    assert (await place.run("keys", "set", "limits", '{"a": [1, 2.5, null]}')).status == 0
    assert (await place.run("keys", "set", "motd", "--text", "hello")).status == 0
    assert (await place.run("keys", "get", "motd")).document == "hello"
    both = (await place.run("keys", "get", "motd", "limits")).document
    assert both == {"motd": "hello", "limits": {"a": [1, 2.5, None]}}
    assert (await place.run("keys", "get", "motd", "--json")).document == {"motd": "hello"}
    assert (await place.run("keys", "ls")).output == "limits\nmotd\n"
    assert (await place.run("keys", "ls", "--json", "--prefix", "m")).lines == [{"key": "motd"}]
    assert len((await place.run("keys", "ls", "--index", "--json")).lines) == 2 + 5
    assert (await place.run("keys", "rm", "motd", "missing", "--yes")).output == "1 key removed\n"
    assert (await place.run("keys", "rm", "missing", "--json")).document == {"removed": 0}
    assert (await place.run("keys", "ls")).output == "limits\n"


async def test_an_existing_key_stays_if_it_is_told_to(place: Place) -> None:
    await place.client.kv_set({"a": 1})
    await place.run("keys", "set", "a", "2", "--if-absent")
    assert await place.client.kv_get(("a",)) == {"a": 1}


async def test_programs_are_told_whether_a_key_was_there(place: Place) -> None:
    for existed in (False, True):
        assert (await place.run("keys", "set", "a", "1", "--json")).document == {"key": "a", "existed": existed}
    assert (await place.run("keys", "set", "a", "2", "--json", "--if-absent")).document == {"key": "a", "existed": True}
    assert await place.client.kv_get(["a"]) == {"a": 1}


async def test_a_value_is_read_from_standard_input(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('["from", "a", "pipe"]\n'))
    assert (await place.run("keys", "set", "a", "-")).status == 0
    assert await place.client.kv_get(("a",)) == {"a": ["from", "a", "pipe"]}


async def test_a_key_that_is_missing_is_status_1(place: Place) -> None:
    await place.client.kv_set({"a": 1})
    done = await place.run("keys", "get", "b")
    assert done == (1, "", "ndb-models: there is no such key\n")
    done = await place.run("keys", "get", "a", "b", "c")
    assert (done.status, done.document) == (1, {"a": 1})
    assert done.errors == "ndb-models: 2 of 3 keys do not exist\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_removing_keys_asks_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.client.kv_set({"a": 1})
    assert (await place.run("keys", "rm", "a")).status == 2
    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    assert (await place.run("keys", "rm", "a")).status == 1
    assert await place.client.kv_count() == 1
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert (await place.run("keys", "rm", "a")).status == 0
    assert await place.client.kv_count() == 0


async def test_watch_prints_values_now_and_each_change(place: Place) -> None:
    await place.client.kv_set({"a": 1})
    watch = ("keys", "watch", "a", "b", "--every", "0.05", "--changes", "5", "--json")
    watching = asyncio.ensure_future(place.run(*watch))
    steps = ({"a": 2}, {"b": [3]}, None)
    for step in steps:
        await asyncio.sleep(0.5)
        await (place.client.kv_rmv(("a",)) if step is None else place.client.kv_set(step))
    lines = (await asyncio.wait_for(watching, 30)).lines
    assert [(line["key"], line["exists"], line["value"]) for line in lines] == [
        ("a", True, 1),
        ("b", False, None),
        ("a", True, 2),
        ("b", True, [3]),
        ("a", False, None),
    ]


def test_a_token_has_256_bits_and_is_another_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = {run(capsys, "tokens", "new").output.strip() for _ in range(5)}
    assert len(tokens) == 5
    assert {len(token) for token in tokens} == {43}


@pytest.mark.parametrize("role", ["data", "admin"])
def test_with_a_role_a_token_is_a_line_of_a_token_file(
    role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokens"
    path.write_text(run(capsys, "tokens", "new", "--role", role).output)
    ((found, token),) = read_tokens(path)
    assert (found.value, len(token)) == (role, 43)
    told = run(capsys, "tokens", "new", "--role", role, "--json").document
    assert (told["role"], len(told["token"])) == (role, 43)


def test_a_token_is_added_to_a_private_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens"
    for role in ("data", "admin"):
        done = run(capsys, "tokens", "new", "--role", role, "--add-to", str(path))
        assert (done.status, done.output, done.errors) == (0, "", f"the token was added to {path}\n")
    path.write_text(path.read_text().rstrip("\n"))  # an editor may have left it so
    run(capsys, "tokens", "new", "--role", "data", "--add-to", str(path))
    assert [role.value for role, _ in read_tokens(path)] == ["data", "admin", "data"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such modes there")
def test_no_token_is_added_to_a_file_that_others_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens"
    path.write_text("# nothing yet\n")
    path.chmod(0o644)
    done = run(capsys, "tokens", "new", "--role", "data", "--add-to", str(path))
    assert (done.status, done.errors.count("\n")) == (2, 1)
    assert "chmod go-rwx" in done.errors
    assert path.read_text() == "# nothing yet\n"


async def test_json_has_no_control_characters_of_stored_data(place: Place) -> None:
    await place.client.kv_set({"a\x1b[2J": "\x1b[2J"})
    for command in (("keys", "ls"), ("keys", "get", "a\x1b[2J"), ("keys", "ls", "--json")):
        assert "\x1b" not in (await place.run(*command)).output
    assert json.loads((await place.run("keys", "get", "a\x1b[2J")).output) == "\x1b[2J"
