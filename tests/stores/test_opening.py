"""Which URIs name a store, and which do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ndb_models.errors import InvalidArgumentError
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.opening import open_store
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
from ndb_models.stores.sqlite.options import parse_sqlite_uri


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///sessions.db", "sessions.db"),
        ("sqlite:///data/sessions.db", "data/sessions.db"),
        ("sqlite:////var/lib/sessions.db", "/var/lib/sessions.db"),
        ("sqlite:///C:/data/sessions.db", "C:/data/sessions.db"),
        ("sqlite:///a%20b%3F%23%25.db", "a b?#%.db"),
        ("sqlite:///caf\u00e9.db?busy_timeout=1", "caf\u00e9.db"),
    ],
)
def test_three_slashes_and_a_path(uri: str, path: str) -> None:
    assert parse_sqlite_uri(uri).path == path


def test_options_are_in_the_query() -> None:
    parsed = parse_sqlite_uri("sqlite:///a.db?synchronous=normal&busy_timeout=0.5&persist_path=/data")
    assert parsed.options == SqliteOptions(synchronous="normal", busy_timeout=0.5)
    assert parsed.persist_path == "/data"
    assert parsed.shown == "sqlite:///a.db"


def test_all_ways_to_write_a_path_are_one_file(tmp_path: Path) -> None:
    one = parse_sqlite_uri(f"sqlite:///{tmp_path}/a.db")
    other = parse_sqlite_uri(f"sqlite:///{tmp_path}/./x/../a.db")
    assert one.file == other.file


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:", "names no file"),
        ("sqlite://sessions.db", "sqlite:///sessions.db"),
        ("sqlite://host/sessions.db", "names no file"),
        ("sqlite:///a%00b.db", "names no file"),
        ("sqlite:///a#b.db", "%23"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///a.db?mode=ro", "'mode'"),
        ("sqlite:///a.db?synchronous=off", "synchronous is 'full' or 'normal'"),
        ("sqlite:///a.db?synchronous=", "synchronous is"),
        ("sqlite:///a.db?busy_timeout=soon", "busy_timeout is a number"),
        ("sqlite:///a.db?busy_timeout=-1", "busy_timeout is a number"),
        ("sqlite:///a.db?busy_timeout=nan", "busy_timeout is a number"),
        ("sqlite:///a.db?busy_timeout=inf", "busy_timeout is a number"),
        ("sqlite:///a.db?persist_path=/data", "persist_path"),
        ("memory://name", "memory"),
        ("redis://", "names no host"),
        ("redis://127.0.0.1:6379,127.0.0.1:6380", "names one server"),
        ("redis://127.0.0.1/one", "a database is a number"),
        ("redis://127.0.0.1?persist_path=/data", "persist_path"),
        ("redis://127.0.0.1?retries=1", "'retries'"),
        ("valkey+cluster://127.0.0.1/3", "only the database 0"),
        ("sessions.db", "sqlite:///sessions.db"),
        ("", "sqlite:///sessions.db"),
        ("http://[", "malformed"),
    ],
)
async def test_what_names_no_store_is_refused_with_what_to_do(uri: str, complaint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint.replace("?", r"\?")):
        await open_store(uri)


async def test_what_names_a_store_opens_it(tmp_path: Path) -> None:
    store = await open_store("memory://")
    assert isinstance(store, MemoryStore)
    await store.aclose()
    store = await open_store(f"sqlite:///{tmp_path / 'a.db'}?busy_timeout=1")
    assert isinstance(store, SqliteStore)
    assert await store.totals() == (0, 0)
    await store.aclose()
