"""What is copied is there with its tokens, its settings and to the byte; what was there is left; again is going on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.engine import Engine
from ndb_models.engine.snapshots import Kind, Snapshots, keys_texts, sessions_texts
from ndb_models.errors import ConnectError, InvalidArgumentError, PayloadTooLargeError, StoreError, StoreFormatError
from ndb_models.moving import Copied, Kinds, copy
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.contract import NEVER, SHARED, ExpirySettings, SessionRecord
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.sqlite import SqliteStore
from tests.redis_uris import redis_uri

KEYS = {"a": b"1e3", "\u00e9": b'[1 ,\t"2"]', **{f"key{number}": b"%d" % number for number in range(600)}}
SESSIONS = {
    record.token: record
    for record in (
        SessionRecord(0, NEVER, {}),
        SessionRecord(2**64 - 1, ExpirySettings(60, True, True, True), {"a": b"1.0", "b": b"[1 ]"}),
        *(
            SessionRecord(token, ExpirySettings(3600), {"n": b"%d" % token})
            for token in range(2**63 - 300, 2**63 + 300)
        ),
    )
}


def nothing(_copied: Copied) -> None:
    """Report to nobody."""


@pytest.fixture
async def source(tmp_path: Path) -> str:
    """A file with all of that."""
    path = tmp_path / "source.db"
    async with SqliteStore(path) as store:
        await store.set(SHARED, KEYS)
        await asyncio.gather(*(store.create(each.token, each.expiry, each.keys) for each in SESSIONS.values()))
    return f"sqlite:///{path}"


async def content(uri: str) -> tuple[Mapping[str, bytes], dict[int, SessionRecord]]:
    async with SqliteStore(uri.removeprefix("sqlite:///")) as store:
        return await store.get_all(SHARED), {record.token: record for record in await store.export()}


async def test_keys_that_a_nemesisdb_would_alter_are_not_copied_to_it(tmp_path: Path, nemesisdb: NdbServer) -> None:
    path = tmp_path / "source.db"
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"kept": b"18446744073709551615", "large": b"[18446744073709551616]"})
    with pytest.raises(InvalidArgumentError, match="'large' cannot be copied to this server: it holds an integer"):
        await copy(f"sqlite:///{path}", nemesisdb.uri, only=Kinds.KEYS, report=nothing)
    async with NdbClient.connect(nemesisdb.uri) as client:
        assert await client.kv_count() == 0


async def test_a_file_is_copied_to_a_file(source: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path / 'target.db'}"
    reports: list[tuple[int, int]] = []
    copied = await copy(source, target, report=lambda copied: reports.append((copied.keys, copied.sessions)))
    assert copied == Copied(len(KEYS), len(SESSIONS), 0)
    assert await content(target) == (KEYS, SESSIONS)
    assert len(reports) > 4
    assert reports == sorted(reports)
    assert reports[-1] == (len(KEYS), len(SESSIONS))


@pytest.mark.parametrize("kind", ["valkey", pytest.param("cluster", marks=pytest.mark.slow)])
async def test_from_a_file_to_redis_and_back_nothing_changes(source: str, tmp_path: Path, kind: str) -> None:
    redis, target = redis_uri(kind), f"sqlite:///{tmp_path / 'target.db'}"

    def stop(copied: Copied) -> None:
        if copied.sessions:
            raise KeyError

    for one, other in ((source, redis), (redis, target)):
        with pytest.raises(KeyError):
            await copy(one, other, report=stop)
        copied = await copy(one, other, report=nothing)
        assert 0 < copied.sessions < len(SESSIONS)
        assert copied.sessions + copied.found == len(SESSIONS) + len(KEYS)
    assert await content(target) == (KEYS, SESSIONS)


async def test_what_was_cut_short_is_gone_on_with(source: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path / 'target.db'}"

    def stop(copied: Copied) -> None:
        if copied.sessions:
            raise KeyError

    with pytest.raises(KeyError):
        await copy(source, target, report=stop)
    _, there = await content(target)
    assert 0 < len(there) < len(SESSIONS)
    copied = await copy(source, target, report=nothing)
    assert copied == Copied(0, len(SESSIONS) - len(there), len(KEYS) + len(there))
    assert await content(target) == (KEYS, SESSIONS)


async def test_sessions_that_are_there_are_not_read_again(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"sqlite:///{tmp_path / 'target.db'}"
    await copy(source, target, report=nothing)
    async with SqliteStore(tmp_path / "target.db") as store:
        await store.end(0)
    export, read = SqliteStore.export, list[int]()

    async def noting(store: SqliteStore, tokens: Sequence[int] | None = None) -> list[SessionRecord]:
        read.extend(tokens or ())
        return await export(store, tokens)

    monkeypatch.setattr(SqliteStore, "export", noting)
    counts: list[int] = []
    copied = await copy(source, target, report=lambda copied: counts.append(copied.found))
    assert copied == Copied(0, 1, len(KEYS) + len(SESSIONS) - 1)
    assert read == [0]
    assert len({*counts}) > 4  # progress is reported all the same


async def test_what_is_there_is_left_alone(source: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path / 'target.db'}"
    mine = SessionRecord(0, NEVER, {"mine": b"1"})
    async with SqliteStore(tmp_path / "target.db") as store:
        await store.set(SHARED, {"a": b'"mine"', "b": b'"mine"'})
        await store.create(mine.token, mine.expiry, mine.keys)
    copied = await copy(source, target, report=nothing)
    assert copied == Copied(len(KEYS) - 1, len(SESSIONS) - 1, 2)
    assert await content(target) == (KEYS | {"a": b'"mine"', "b": b'"mine"'}, SESSIONS | {0: mine})


@pytest.mark.parametrize("only", Kinds)
async def test_only_one_kind_may_be_copied(source: str, tmp_path: Path, only: Kinds) -> None:
    target = f"sqlite:///{tmp_path / 'target.db'}"
    await copy(source, target, only=only, report=nothing)
    keys, sessions = await content(target)
    assert (bool(keys), bool(sessions)) == (only is Kinds.KEYS, only is Kinds.SESSIONS)


async def test_through_data_sets_and_back_nothing_changes(source: str, tmp_path: Path) -> None:
    directory = tmp_path / "sets"
    directory.mkdir()
    sets = f"snapshot:///{directory}?sessions=s&keys=k"
    target = f"sqlite:///{tmp_path / 'target.db'}"
    for _ in range(2):
        assert await copy(source, sets, report=nothing) == Copied(len(KEYS), len(SESSIONS), 0)
    assert {path.name for path in directory.iterdir()} == {"s", "k"}
    assert await copy(sets, target, report=nothing) == Copied(len(KEYS), len(SESSIONS), 0)
    assert await content(target) == (KEYS, SESSIONS)


async def test_a_data_set_is_left_alone_if_its_kind_is_not_copied(source: str, tmp_path: Path) -> None:
    sets = f"snapshot:///{tmp_path}?sessions=s&keys=k"
    await copy(source, sets, report=nothing)
    await copy(source, sets, only=Kinds.KEYS, report=nothing)
    assert len(list((tmp_path / "s").iterdir())) == 1
    assert len(Snapshots(tmp_path).load_sessions("s")) == len(SESSIONS)


async def test_a_kind_of_which_the_source_has_nothing_is_an_empty_data_set(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "empty.db"):
        pass
    await copy(f"sqlite:///{tmp_path / 'empty.db'}", f"snapshot:///{tmp_path}?sessions=s&keys=k", report=nothing)
    assert Snapshots(tmp_path).load_sessions("s") == []
    assert Snapshots(tmp_path).load_keys("k") == {}


async def test_a_server_loads_what_was_copied_to_its_data_sets_and_a_file_takes_what_it_saved(
    source: str, tmp_path: Path
) -> None:
    async with NdbClient.connect(f"memory://?persist_path={tmp_path}") as client:
        await copy(source, f"snapshot:///{tmp_path}?sessions=s&keys=k", report=nothing)
        assert (await client.sh_load("s"))["sessions"] == len(SESSIONS)
        assert await client.kv_load("k") == len(KEYS)
        await client.sh_save("saved")
        target = f"sqlite:///{tmp_path / 'target.db'}"
        await copy(f"snapshot:///{tmp_path}?sessions=saved", target, report=nothing)
        assert await content(target) == ({}, SESSIONS)


async def test_data_sets_that_are_cut_short_leave_nothing_behind(source: str, tmp_path: Path) -> None:
    directory = tmp_path / "sets"
    directory.mkdir()

    def stop(copied: Copied) -> None:
        if copied.sessions:
            raise KeyError

    with pytest.raises(KeyError):
        await copy(source, f"snapshot:///{directory}?sessions=s&keys=k", report=stop)
    assert list(directory.iterdir()) == []


class TestServers:
    @pytest.fixture
    async def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    async def server(self, store: MemoryStore) -> AsyncIterator[NdbServer]:
        async with NdbServer(Engine(store), ServerOptions(port=0)) as server:
            yield server

    async def test_keys_can_be_copied_to_one(self, source: str, server: NdbServer, store: MemoryStore) -> None:
        await store.set(SHARED, {"a": b'"mine"'})
        await copy(source, server.uri, only=Kinds.KEYS, report=nothing)
        assert await store.get_all(SHARED) == KEYS | {"a": b'"mine"'}

    async def test_sessions_cannot_and_nothing_is_copied(
        self, source: str, server: NdbServer, store: MemoryStore
    ) -> None:
        with pytest.raises(InvalidArgumentError, match=r"SH_LOAD.*--only keys"):
            await copy(source, server.uri, report=nothing)
        assert await store.count(SHARED) == 0

    async def test_a_key_that_is_too_large_for_it_is_named(self, tmp_path: Path, server: NdbServer) -> None:
        async with SqliteStore(tmp_path / "a.db") as store:
            await store.set(SHARED, {"large": b'"%s"' % (b"x" * 2_000_000)})
        with pytest.raises(PayloadTooLargeError):
            await copy(f"sqlite:///{tmp_path / 'a.db'}", server.uri, only=Kinds.KEYS, report=nothing)

    async def test_nothing_can_be_copied_from_one(self, server: NdbServer, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgumentError, match="SH_SAVE"):
            await copy(server.uri, f"sqlite:///{tmp_path / 'a.db'}", report=nothing)

    async def test_one_that_is_not_there_is_a_connection_error(self, source: str) -> None:
        with pytest.raises(ConnectError):
            await copy(source, "ws://127.0.0.1:1/", only=Kinds.KEYS, report=nothing)


WRONG: dict[str, tuple[str, str, str]] = {
    "no file there": ("sqlite:///{0}/missing.db", "sqlite:///{0}/target.db", "there is no file"),
    "a wrong Redis": ("redis://", "sqlite:///{0}/target.db", "names no host"),
    "a persist path on a Redis": ("{1}", "redis://127.0.0.1?persist_path={0}", "persist_path means nothing"),
    "memory": ("memory://", "sqlite:///{0}/target.db", "places are"),
    "to memory": ("{1}", "memory://", "places are"),
    "no scheme": ("source.db", "sqlite:///{0}/target.db", "places are"),
    "malformed": ("http://[", "sqlite:///{0}/target.db", "malformed"),
    "no names": ("snapshot:///{0}", "sqlite:///{0}/target.db", "snapshot:///DIR"),
    "an unknown option": ("snapshot:///{0}?session=a", "sqlite:///{0}/target.db", "snapshot:///DIR"),
    "one name for two data sets": ("{1}", "snapshot:///{0}?sessions=a&keys=a", "two names"),
    "no directory": ("snapshot:///{0}/missing?keys=a", "sqlite:///{0}/target.db", "not a directory"),
    "a persist path": ("{1}?persist_path={0}", "sqlite:///{0}/target.db", "snapshot:///DIR"),
    "a kind that is not named": ("{1}", "snapshot:///{0}?keys=k", "no sessions: the URI names no data set"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_no_place_is_refused_with_what_to_do(source: str, tmp_path: Path, case: str) -> None:
    origin, target, complaint = WRONG[case]
    with pytest.raises(InvalidArgumentError, match=complaint):
        await copy(origin.format(tmp_path, source), target.format(tmp_path, source), report=nothing)


async def test_a_kind_that_the_source_does_not_name_is_refused(source: str, tmp_path: Path) -> None:
    Snapshots(tmp_path).save("k", Kind.KEYS, keys_texts({"a": b"1"}))
    with pytest.raises(InvalidArgumentError, match="names no sessions"):
        await copy(f"snapshot:///{tmp_path}?keys=k", source, only=Kinds.SESSIONS, report=nothing)


FAILING: dict[str, tuple[Callable[[Path], object], str, type[StoreError]]] = {
    "a file that is no store": (lambda home: (home / "a.db").write_text("no"), "sqlite:///{0}/a.db", StoreFormatError),
    "a data set that is not there": (lambda _home: None, "snapshot:///{0}?keys=missing", StoreError),
    "a data set of the other kind": (
        lambda home: Snapshots(home).save("s", Kind.SESSIONS, sessions_texts([])),
        "snapshot:///{0}?keys=s",
        StoreError,
    ),
}


@pytest.mark.parametrize("case", FAILING)
async def test_a_place_that_cannot_be_read_says_so(tmp_path: Path, case: str) -> None:
    prepare, origin, error = FAILING[case]
    prepare(tmp_path)
    with pytest.raises(error):
        await copy(origin.format(tmp_path), f"sqlite:///{tmp_path}/target.db", report=nothing)
