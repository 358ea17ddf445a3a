"""Clients of a file in this process: one engine for all of them, and errors that say what is wrong with the file."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from pathlib import Path

import pytest

from ndb_models import NdbClient, Repository, SessionModel, SessionToken
from ndb_models.errors import ConnectError, InvalidArgumentError, StoreFormatError, StoreLockedError


class User(SessionModel, schema="embedded-user"):
    username: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def threads() -> int:
    return sum(thread.name.startswith("ndb_models") for thread in threading.enumerate())


async def test_what_one_client_saves_another_has_later(path: Path) -> None:
    async with NdbClient.connect(f"sqlite:///{path}") as client:
        tkn = (await Repository(client, User).save(User(username="billy"))).tkn
    async with NdbClient.connect(f"sqlite:///{path}") as client:
        assert await Repository(client, User).get(tkn) == User(username="billy")


async def test_clients_of_one_file_share_an_engine_which_goes_with_the_last(path: Path) -> None:
    async with NdbClient.connect(f"sqlite:///{path}") as first:
        alone = threads()
        async with NdbClient.connect(f"sqlite:///{path.parent}/../{path.parent.name}/{path.name}") as second:
            assert threads() == alone
            await first.kv_set({"a": 1})
            assert await second.kv_get(("a",)) == {"a": 1}
        assert await first.kv_get(("a",)) == {"a": 1}
    async with NdbClient.connect(f"sqlite:///{path}?synchronous=normal") as third:
        assert await third.kv_get(("a",)) == {"a": 1}


async def test_clients_that_open_and_close_at_once_do_not_disturb_each_other(path: Path) -> None:
    async def use(number: int) -> None:
        for _ in range(5):
            async with NdbClient.connect(f"sqlite:///{path}") as client:
                await client.kv_set({f"{number}": number})

    await asyncio.gather(*(use(number) for number in range(5)))
    async with NdbClient.connect(f"sqlite:///{path}") as client:
        assert await client.kv_count() == 5


async def test_one_file_has_one_set_of_options_at_a_time(path: Path, tmp_path: Path) -> None:
    async with NdbClient.connect(f"sqlite:///{path}"):
        for options in ("synchronous=normal", f"persist_path={tmp_path}"):
            with pytest.raises(ConnectError, match="other options"):
                await NdbClient.connect(f"sqlite:///{path}?{options}")


async def test_data_sets_are_in_the_persist_path(path: Path, tmp_path: Path) -> None:
    async with NdbClient.connect(f"sqlite:///{path}?persist_path={tmp_path}") as client:
        await client.kv_set({"a": 1})
        assert await client.kv_save("keys")
        await client.kv_clear()
        assert await client.kv_load("keys") == 1
        assert await client.kv_get(("a",)) == {"a": 1}
    with pytest.raises(ConnectError, match="not a directory"):
        await NdbClient.connect(f"sqlite:///{path}?persist_path={tmp_path / 'missing'}")


async def test_a_file_that_is_no_store_cannot_be_connected_to(path: Path) -> None:
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(ConnectError, match="no SQLite database") as failed:
        await NdbClient.connect(f"sqlite:///{path}")
    assert failed.value.uri == f"sqlite:///{path}"
    assert isinstance(failed.value.__cause__, StoreFormatError)
    assert await NdbClient().open(f"sqlite:///{path}") is False
    path.unlink()
    async with NdbClient.connect(f"sqlite:///{path}") as client:
        assert await client.kv_count() == 0


async def test_a_uri_that_names_no_file_is_an_argument_error() -> None:
    with pytest.raises(InvalidArgumentError, match="names no file"):
        await NdbClient.connect("sqlite://sessions.db")


async def test_a_failure_of_the_store_is_raised_as_what_it_is(path: Path) -> None:
    async with NdbClient.connect(f"sqlite:///{path}?busy_timeout=0.02") as client:
        repo = Repository(client, User)
        user = await repo.save(User(username="billy"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError):
            await client.kv_set({"a": 1})
        user.username = "bob"
        with pytest.raises(StoreLockedError):
            await repo.save(user)
        with pytest.raises(StoreLockedError):
            await repo.create(User(username="eve"))
        other.close()
        assert await repo.get(user.tkn) == User(username="billy")
        await repo.save(user)
        assert await repo.get(user.tkn) == User(username="bob")
        assert (await client.sh_info_all())["totalSessions"] == 1


@pytest.mark.parametrize("turns", range(12))
async def test_a_creation_that_is_cancelled_leaves_no_session(path: Path, turns: int) -> None:
    async with NdbClient.connect(f"sqlite:///{path}") as client:

        async def create_raw() -> SessionToken:
            return (await client.sh_create_session()).tkn

        async def create_typed() -> SessionToken:
            return (await Repository(client, User).create(User(username="b"))).tkn

        for create in (create_raw, create_typed):
            creating = asyncio.ensure_future(create())
            for _ in range(turns):
                await asyncio.sleep(0)
            in_time = creating.cancel()  # on a fast disk the creation may be over
            await asyncio.wait([creating])
            assert creating.cancelled() is in_time
            if not in_time:
                assert await client.sh_end(creating.result())
            async with asyncio.timeout(30):
                while (await client.sh_info_all())["totalSessions"]:
                    await client.kv_set({"a": 1})


async def test_a_client_that_nobody_closed_warns_and_lets_go(path: Path) -> None:
    client = await NdbClient.connect(f"sqlite:///{path}")
    await client.kv_set({"a": 1})
    with pytest.warns(ResourceWarning, match="unclosed <NdbClient sqlite:///"):  # noqa: PT031 - the two are one
        del client
        gc.collect()
    async with NdbClient.connect(f"sqlite:///{path}?synchronous=normal") as other:
        assert await other.kv_get(("a",)) == {"a": 1}
