"""`ndb-models backup` as a process of its own: what it says, its exit status, and signals."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.stores.contract import SHARED
from ndb_models.stores.sqlite import SqliteStore
from tests.moving.held_backup import held_backup
from tests.redis_uris import redis_uri

pytestmark = pytest.mark.slow


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "sessions.db"
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"a": b"1"})
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "backups"
    directory.mkdir()
    return directory / "backup.db"


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ndb_models", "backup", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments: str) -> tuple[int | None, str, str]:
    process = await start(*arguments)
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, output.decode(), errors.decode()


async def test_it_says_where_the_backup_is_and_how_large(path: Path, target: Path) -> None:
    status, output, errors = await run("--store", f"sqlite:///{path}", "--to", str(target))
    assert (status, errors) == (0, "")
    assert output == f"{target}: {target.stat().st_size} bytes, checked\n"


async def test_programs_are_told_the_same(path: Path, target: Path) -> None:
    status, output, errors = await run("--store", f"sqlite:///{path}", "--to", str(target), "--json")
    assert (status, errors) == (0, "")
    assert json.loads(output) == {"file": str(target), "bytes": target.stat().st_size}


async def test_the_store_may_be_named_by_the_variable(
    path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NDB_STORE", f"sqlite:///{path}")
    status, output, errors = await run("--to", str(target))
    assert (status, errors) == (0, "")
    assert output == f"{target}: {target.stat().st_size} bytes, checked\n"


async def test_a_store_on_redis_is_backed_up_too(target: Path) -> None:
    async with NdbClient.connect(uri := redis_uri()) as client:
        tkn = (await client.sh_create_session()).tkn
        await client.sh_set({"a": 1}, tkn)
    status, output, _ = await run("--store", uri, "--to", str(target))
    assert status == 0
    assert output == f"{target}: {target.stat().st_size} bytes, checked\n"
    async with SqliteStore(target) as store:
        assert await store.get_all(tkn) == {"a": b"1"}


async def test_what_is_there_is_replaced_with_overwrite_alone(path: Path, target: Path) -> None:
    target.write_text("precious")
    command = ("--store", f"sqlite:///{path}", "--to", str(target))
    status, output, errors = await run(*command)
    assert (status, output) == (2, "")
    assert errors.startswith("ndb-models: ")
    assert len(errors.splitlines()) == 1
    assert target.read_text() == "precious"
    status, _, errors = await run(*command, "--overwrite")
    assert (status, errors) == (0, "")
    async with SqliteStore(target) as store:
        assert await store.names(SHARED) == ["a"]


async def test_a_failure_is_status_1_and_one_line(path: Path, target: Path) -> None:
    path.write_text("Dear diary, " * 1000)
    status, output, errors = await run("--store", f"sqlite:///{path}", "--to", str(target))
    assert (status, output) == (1, "")
    assert errors == f"ndb-models: {path}: it is no SQLite database\n"
    assert list(target.parent.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_leaves_nothing_behind(path: Path, target: Path, number: signal.Signals) -> None:
    async with held_backup("--store", f"sqlite:///{path}", "--to", str(target)) as process:
        assert list(target.parent.iterdir())
        process.send_signal(number)
        output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, output) == (130, b"")
    assert errors == b"ndb-models: interrupted; nothing was written\n"
    assert list(target.parent.iterdir()) == []
