"""`ndb-models copy --to ws://...`: the token and the largest request of the server that is copied to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models.cli.main import main
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.stores.contract import SHARED
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.sqlite import SqliteStore

TOKEN = "a-token-that-is-long-enough"
OTHER = "another-token-that-is-long"
KEYS = {f"key{number}": b'"%s"' % (b"x" * 900) for number in range(20)}


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NDB_TOKEN", "NDB_ADMIN_TOKEN", "NDB_TOKEN_FILE", "NDB_MAX_PAYLOAD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def server(store: MemoryStore) -> AsyncIterator[NdbServer]:
    """A server that asks for a token, and takes small requests alone."""
    options = ServerOptions(port=0, max_payload=2048, tokens=Tokens([(Role.DATA, TOKEN)]))
    async with NdbServer(Engine(store), options) as server:
        yield server


@pytest.fixture
async def source(tmp_path: Path) -> str:
    async with SqliteStore(tmp_path / "source.db") as store:
        await store.set(SHARED, KEYS)
    return f"sqlite:///{tmp_path / 'source.db'}"


async def copied(source: str, target: str, *more: str) -> int:
    return await asyncio.to_thread(main, ["copy", "--from", source, "--to", target, "--only", "keys", *more])


@pytest.mark.parametrize("variable", ["NDB_TOKEN", "NDB_ADMIN_TOKEN"])
async def test_the_token_is_in_the_environment(
    server: NdbServer, store: MemoryStore, source: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, TOKEN)
    monkeypatch.setenv("NDB_MAX_PAYLOAD", "2048")
    assert await copied(source, server.uri) == 0
    assert await store.get_all(SHARED) == KEYS


async def test_the_token_is_the_first_of_a_file_which_goes_before_the_environment(
    server: NdbServer, store: MemoryStore, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# of the server\ndata:{TOKEN}\nadmin:{OTHER}\n")
    path.chmod(0o600)
    monkeypatch.setenv("NDB_TOKEN", OTHER)
    assert await copied(source, server.uri, "--max-payload", "2048", "--token-file", str(path)) == 0
    assert await store.get_all(SHARED) == KEYS


async def test_without_the_right_token_nothing_is_copied_and_none_is_shown(
    server: NdbServer,
    store: MemoryStore,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NDB_TOKEN", OTHER)
    assert await copied(source, server.uri) == 1
    errors = capsys.readouterr().err
    assert "401" in errors
    assert errors.count("\n") == 1
    assert OTHER not in errors
    assert await store.count(SHARED) == 0


async def test_a_key_that_the_server_would_not_take_is_named(
    server: NdbServer, source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NDB_TOKEN", TOKEN)
    assert await copied(source, server.uri, "--max-payload", "512") == 1
    errors = capsys.readouterr().err
    assert "512" in errors
    assert "xxx" not in errors


async def test_programs_are_told_the_numbers(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await copied(source, f"sqlite:///{tmp_path / 'target.db'}", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told.keys() == {"keys", "sessions", "there_already"}
    assert told["keys"] > 0


@pytest.mark.parametrize("flag", [("--max-payload", "2048"), ("--token-file", __file__)])
async def test_another_place_needs_neither(
    source: str, tmp_path: Path, flag: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await copied(source, f"sqlite:///{tmp_path / 'target.db'}", *flag) == 2
    assert f"{flag[0]}: it is for a server" in capsys.readouterr().err
    assert not (tmp_path / "target.db").exists()
