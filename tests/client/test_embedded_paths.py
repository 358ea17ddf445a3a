"""A path is resolved once, when the file is opened: whatever becomes of the working directory and of links."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.errors import ConnectError, InvalidArgumentError
from ndb_models.stores.contract import SHARED
from ndb_models.stores.sqlite import SqliteStore


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    return directory


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def threads() -> set[threading.Thread]:
    """Return the threads of stores."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("ndb_models")}


def has_left_none(before: set[threading.Thread]) -> bool:
    """Tell whether no thread is left that was not there before. One that closes its store may take a moment to end."""
    for thread in threads() - before:
        thread.join(30)
    return threads() <= before


@pytest.mark.parametrize("uri", ["sqlite:///sessions.db", "sqlite:///./sub/../sessions.db"])
async def test_a_client_of_a_relative_path_is_closed_from_another_directory(
    home: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    (home / "sub").mkdir()
    before = threads()
    client = await NdbClient.connect(uri)
    await client.kv_set({"a": 1})
    monkeypatch.chdir(elsewhere)
    await client.kv_set({"a": 2})
    await client.close()
    assert has_left_none(before)
    assert list(elsewhere.iterdir()) == []
    async with NdbClient.connect(f"sqlite:///{home / 'sessions.db'}") as client:
        assert await client.kv_get(("a",)) == {"a": 2}


async def test_a_client_that_nobody_closes_lets_go_from_another_directory(
    home: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await NdbClient.connect("sqlite:///sessions.db")
    monkeypatch.chdir(elsewhere)
    with pytest.warns(ResourceWarning, match="unclosed"):  # noqa: PT031 - the two are one
        del client
        await asyncio.sleep(0)
    async with NdbClient.connect(f"sqlite:///{home / 'sessions.db'}?synchronous=normal") as other:
        assert await other.kv_count() == 0


async def test_the_same_relative_path_in_another_directory_is_another_file(
    home: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with NdbClient.connect("sqlite:///sessions.db") as here:
        await here.kv_set({"a": 1})
        monkeypatch.chdir(elsewhere)
        async with NdbClient.connect("sqlite:///sessions.db") as there:
            assert await there.kv_count() == 0
        assert await here.kv_count() == 1
    assert sorted(path.name for path in (home, elsewhere) if (path / "sessions.db").exists()) == ["elsewhere", "home"]


async def test_a_link_that_is_moved_leaves_those_who_have_the_file_open_where_they_are(
    home: Path, elsewhere: Path
) -> None:
    old, new = home / "old", home / "new"
    old.mkdir()
    new.mkdir()
    link = home / "current"
    link.symlink_to(old)
    before = threads()
    client = await NdbClient.connect(f"sqlite:///{link}/sessions.db")
    await client.kv_set({"a": 1})
    link.unlink()
    link.symlink_to(new)
    await client.kv_set({"a": 2})
    async with NdbClient.connect(f"sqlite:///{link}/sessions.db") as other:
        assert await other.kv_count() == 0
    await client.close()
    assert has_left_none(before)
    async with NdbClient.connect(f"sqlite:///{old}/sessions.db") as client:
        assert await client.kv_get(("a",)) == {"a": 2}


@pytest.mark.parametrize("how", ["relative", "absolute", "symbolic link", "link to its directory", "hard link"])
async def test_all_ways_to_write_a_path_lead_to_one_engine(home: Path, elsewhere: Path, how: str) -> None:
    file = home / "sessions.db"
    async with NdbClient.connect("sqlite:///sessions.db") as first:
        match how:
            case "relative":
                uri = "sqlite:///../home/./sessions.db"
            case "absolute":
                uri = f"sqlite:///{file}"
            case "symbolic link":
                (elsewhere / "link.db").symlink_to(file)
                uri = f"sqlite:///{elsewhere}/link.db"
            case "hard link":
                os.link(file, elsewhere / "hard.db")
                uri = f"sqlite:///{elsewhere}/hard.db"
            case _:
                (elsewhere / "link").symlink_to(home)
                uri = f"sqlite:///{elsewhere}/link/sessions.db"
        alone = threads()
        async with NdbClient.connect(uri) as second:
            assert threads() <= alone
            await second.kv_set({"a": 1})
            assert await first.kv_get(("a",)) == {"a": 1}
        assert await first.kv_get(("a",)) == {"a": 1}


@pytest.mark.parametrize("store", ["sqlite:///sessions.db", "memory://paths"])
async def test_a_persist_path_is_resolved_once_too(
    home: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    (home / "data").mkdir()
    async with NdbClient.connect(f"{store}?persist_path=data") as client:
        await client.kv_set({"a": 1})
        monkeypatch.chdir(elsewhere)
        assert await client.kv_save("keys")
        await client.kv_clear()
        assert await client.kv_load("keys") == 1
    assert list((home / "data").iterdir())


async def test_a_persist_path_may_be_written_in_several_ways(home: Path) -> None:
    (home / "data").mkdir()
    async with (
        NdbClient.connect("sqlite:///sessions.db?persist_path=data"),
        NdbClient.connect(f"sqlite:///sessions.db?persist_path={home / 'data'}") as same,
    ):
        assert await same.kv_save("keys")


async def test_a_store_of_a_relative_path_is_opened_where_it_was_made(
    home: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore("sessions.db")
    monkeypatch.chdir(elsewhere)
    async with store:
        await store.set(SHARED, {"a": b"1"})
    assert (home / "sessions.db").exists()


async def test_a_working_directory_that_is_gone_is_an_error_of_this_package(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = tmp_path / "doomed"
    doomed.mkdir()
    monkeypatch.chdir(doomed)
    shutil.rmtree(doomed)
    with pytest.raises(ConnectError):
        await NdbClient.connect("sqlite:///sessions.db")
    assert await NdbClient().open("sqlite:///sessions.db") is False
    monkeypatch.chdir(home)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///a\ud800.db",
        "sqlite:///a%00.db",
        "sqlite:///" + "x" * 300,
        "sqlite:///" + "x/" * 3000 + "x",
        "sqlite:///a.db?persist_path=%00",
        "sqlite:///a.db?persist_path=\ud800",
        "sqlite:///a.db?persist_path=" + "x" * 300,
        "memory://?persist_path=%00",
        "memory://?persist_path=" + "x/" * 3000,
        "memory://a\ud800",
        "ws://a\ud800",
    ],
    ids=ascii,
)
async def test_a_uri_that_can_name_nothing_is_refused_at_once(home: Path, uri: str) -> None:
    before = threads()
    async with asyncio.timeout(60):
        with pytest.raises((InvalidArgumentError, ConnectError)):
            await NdbClient.connect(uri)
    assert has_left_none(before)
    assert list(home.iterdir()) == []
