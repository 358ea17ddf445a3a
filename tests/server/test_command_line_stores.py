"""`ndb-models serve --store` and `ndb-models copy`, as processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ndb_models.stores.contract import SHARED
from ndb_models.stores.sqlite import SqliteStore
from tests.redis_uris import redis_uri
from tests.server.plain_client import ask, plain
from tests.server.test_command_line import run, serving, stop

pytestmark = pytest.mark.slow


async def test_what_a_server_acknowledged_is_there_after_it_was_killed(tmp_path: Path) -> None:
    store = ("--store", f"sqlite:///{tmp_path / 'sessions.db'}")
    async with serving(*store) as (process, uri):
        async with plain(uri) as websocket:
            tkn = (await ask(websocket, "SH_NEW", expiry={"duration": 3600}))["tkn"]
            await ask(websocket, "SH_SET", tkn=tkn, keys={"a": 1})
            await ask(websocket, "KV_SET", keys={"b": [2]})
        process.kill()
        await process.wait()
    async with serving(*store) as (process, uri):
        async with plain(uri) as websocket:
            assert (await ask(websocket, "SH_GET", tkn=tkn, keys=["a"]))["keys"] == {"a": 1}
            assert (await ask(websocket, "KV_GET", keys=["b"]))["keys"] == {"b": [2]}
        await stop(process)
    assert [path.name for path in tmp_path.iterdir()] == ["sessions.db"]


async def test_two_servers_may_stand_on_one_file(tmp_path: Path) -> None:
    store = ("--store", f"sqlite:///{tmp_path / 'sessions.db'}")
    async with serving(*store) as (_, one), serving(*store) as (_, other), plain(one) as first, plain(other) as second:
        tkn = (await ask(first, "SH_NEW"))["tkn"]
        await ask(second, "SH_SET", tkn=tkn, keys={"a": 1})
        assert (await ask(first, "SH_GET", tkn=tkn, keys=["a"]))["keys"] == {"a": 1}
        assert (await ask(first, "SH_END", tkn=tkn))["st"] == 1
        assert (await ask(second, "SH_GET", tkn=tkn, keys=["a"]))["st"] == 100


async def test_servers_stand_in_front_of_one_redis_and_show_no_password() -> None:
    uri = redis_uri()
    async with serving("--store", uri) as (process, one), serving("--store", uri) as (_, other):
        async with plain(one) as first, plain(other) as second:
            tkn = (await ask(first, "SH_NEW", expiry={"duration": 3600}))["tkn"]
            await ask(second, "SH_SET", tkn=tkn, keys={"a": 1})
        process.kill()
        await process.wait()
        async with plain(other) as second:
            assert (await ask(second, "SH_GET", tkn=tkn, keys=["a"]))["keys"] == {"a": 1}
            assert (await ask(second, "SH_INFO_ALL"))["totalSessions"] == 1
    status, _, errors = await run("serve", "--port", "0", "--store", "redis://someone:sesame@127.0.0.1:1")
    assert status == 1
    assert errors.startswith("ndb-models: redis://127.0.0.1:1: ")
    assert "sesame" not in errors


async def test_a_store_that_cannot_be_opened_is_status_1_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "diary.db").write_text("Dear diary, " * 1000)
    for uri, complaint in (
        (f"sqlite:///{tmp_path / 'diary.db'}", "it is no SQLite database"),
        (f"sqlite:///{tmp_path / 'missing' / 'a.db'}", "it cannot be opened"),
    ):
        status, output, errors = await run("serve", "--port", "0", "--store", uri)
        assert (status, output) == (1, "")
        assert errors.startswith("ndb-models: ")
        assert complaint in errors
        assert len(errors.splitlines()) == 1


async def test_a_copy_says_how_much_and_again_that_it_was_there(tmp_path: Path) -> None:
    source, target = (f"sqlite:///{tmp_path / name}" for name in ("source.db", "target.db"))
    async with serving("--store", source) as (process, uri):
        async with plain(uri) as websocket:
            await ask(websocket, "SH_NEW")
            await ask(websocket, "KV_SET", keys={"a": 1, "b": 2})
        copying = ("copy", "--from", source, "--to", target)
        assert await run(*copying) == (0, "keys copied: 2; sessions copied: 1; there already: 0\n", "")
        assert await run(*copying) == (0, "keys copied: 0; sessions copied: 0; there already: 3\n", "")
        assert await run(*copying, "--only", "keys") == (
            0,
            "keys copied: 0; sessions copied: 0; there already: 2\n",
            "",
        )
        await stop(process)
    async with SqliteStore(tmp_path / "target.db") as store:
        assert await store.get_all(SHARED) == {"a": b"1", "b": b"2"}


async def test_a_copy_that_cannot_be_made_is_status_1_and_one_that_is_not_asked_for_rightly_2(tmp_path: Path) -> None:
    status, output, errors = await run("copy", "--from", "sqlite:///missing.db", "--to", "memory://")
    assert (status, output, errors) == (2, "", "ndb-models: --from: there is no file missing.db\n")
    diary = tmp_path / "diary.db"
    diary.write_text("Dear diary, " * 1000)
    status, output, errors = await run("copy", "--from", f"sqlite:///{diary}", "--to", f"sqlite:///{tmp_path / 'b.db'}")
    assert (status, output, errors.count("\n")) == (1, "", 1)
    for arguments in ((), ("--from", "sqlite:///a.db"), ("--from", "a", "--to", "b", "--only", "values")):
        status, output, errors = await run("copy", *arguments)
        assert (status, output) == (2, "")
        assert "Traceback" not in errors
