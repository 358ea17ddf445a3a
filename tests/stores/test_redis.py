"""What is special to the store on a Redis: runs that are repeated, the server's own clock and expiry, its refusals."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from ndb_models import ConnectError, NdbClient
from ndb_models.errors import InvalidArgumentError, StoreError, StoreFullError
from ndb_models.json_text import ObjectText
from ndb_models.stores.contract import NEVER, SHARED, ExpirySettings, LimitError, Store, UnknownSessionError
from tests.conftest import VirtualClock
from tests.redis_uris import KINDS, redis_uri
from tests.stores.conftest import TOKEN

pytest.importorskip("hiredis")
from ndb_models.stores.redis.driver import Driver
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.redis.slot_map import slot_of
from ndb_models.stores.redis.store import RedisStore
from tests.redis_driver.peers import proxy_to
from tests.redis_servers import Servers, Shared, valkey

HOUR = ExpirySettings(3600, delete_session=True, extend_on_set_add=True, extend_on_get=True)


@pytest.fixture
def uri() -> str:
    return redis_uri()


@pytest.fixture
async def store(uri: str) -> AsyncIterator[RedisStore]:
    """An empty store on the server's own clock."""
    async with RedisStore(parse_redis_uri(uri)) as store:
        yield store


@pytest.fixture
async def raw(uri: str) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Sends commands about the key of the session `TOKEN`."""
    parsed = parse_redis_uri(uri)
    key = f"{parsed.options.prefix}:{{{TOKEN}}}".encode()
    driver = Driver(parsed)
    await driver.open()

    async def send(command: str, *args: bytes) -> Any:
        return await driver.command(command.encode(), key, *args, slot_key=key)

    yield send
    await driver.aclose()


class TestRepeatedRuns:
    """A verb whose answer was lost is run again: it is done once, and answers as the first run did."""

    @pytest.fixture
    async def lossy(self, redis_servers: Shared, store: RedisStore, uri: str) -> AsyncIterator[Callable[..., Any]]:
        """Has another store carry out a verb whose first answer is lost, and do something else before the second."""
        await store.create(1, HOUR)  # from here on the server knows the scripts
        await store.change(1, {}, expected={"a": None})
        await store.expire(1, HOUR)
        await store.replace(1, {})
        await store.end(1)
        async with proxy_to(redis_servers.single["valkey"]) as (proxy, proxied):
            prefix = parse_redis_uri(uri).options.prefix
            async with RedisStore(parse_redis_uri(f"{proxied}?prefix={prefix}")) as other:

                async def lose(
                    verb: Callable[[Store], Awaitable[object]],
                    is_done: Callable[[], Awaitable[bool]],
                    meanwhile: Callable[[], Awaitable[object]] | None = None,
                ) -> object:
                    proxy.deaf = True
                    doing = asyncio.ensure_future(verb(other))
                    while not await is_done():
                        assert not doing.done()
                    if meanwhile is not None:
                        await meanwhile()
                    proxy.deaf = False
                    proxy.cut()
                    return await doing

                yield lose

    @staticmethod
    def value(store: Store, expected: bytes) -> Callable[[], Awaitable[bool]]:
        async def is_there() -> bool:
            return (await store.peek(TOKEN, ["a"])).get("a") == expected

        return is_there

    async def test_a_creation_says_that_it_created(self, store: RedisStore, lossy: Any) -> None:
        async def is_there() -> bool:
            return bool(await store.exist([TOKEN]))

        assert await lossy(lambda other: other.create(TOKEN, HOUR, {"a": b"1"}), is_there)
        assert not await store.create(TOKEN, HOUR)

    async def test_a_change_is_not_made_over_a_later_one(self, store: RedisStore, lossy: Any) -> None:
        await store.create(TOKEN, HOUR, {"a": b"5"})
        assert await lossy(
            lambda other: other.change(TOKEN, {"a": b"6"}, expected={"a": b"5"}),
            self.value(store, b"6"),
            lambda: store.change(TOKEN, {"a": b"7"}, expected={"a": b"6"}),
        )
        assert await store.get_all(TOKEN) == {"a": b"7"}

    async def test_an_end_ends_once_and_no_other_session_of_its_token(self, store: RedisStore, lossy: Any) -> None:
        await store.create(TOKEN, HOUR, {"a": b"5"})

        async def is_gone() -> bool:
            return not await store.exist([TOKEN])

        assert await lossy(lambda other: other.end(TOKEN), is_gone, lambda: store.create(TOKEN, HOUR, {"a": b"new"}))
        assert await store.get_all(TOKEN) == {"a": b"new"}

    async def test_a_replacement_counts_the_keys_that_it_replaced(self, store: RedisStore, lossy: Any) -> None:
        await store.create(TOKEN, HOUR, {"a": b"5", "b": b"6", "c": b"7"})
        assert await lossy(lambda other: other.replace(TOKEN, {"a": b"1"}), self.value(store, b"1")) == 3
        assert await store.get_all(TOKEN) == {"a": b"1"}

    async def test_another_expiry_is_set_with_its_swaps(self, store: RedisStore, lossy: Any) -> None:
        await store.create(TOKEN, HOUR, {"a": b"5"})
        assert await lossy(lambda other: other.expire(TOKEN, NEVER, swaps={"a": (b"5", b"6")}), self.value(store, b"6"))
        assert (await store.info(TOKEN)).expiry == NEVER


class TestTheServersOwnExpiry:
    """It frees the sessions that have ended, and none before."""

    @contextlib.asynccontextmanager
    async def due_in_a_minute(self, raw: Callable[..., Awaitable[int]]) -> AsyncIterator[None]:
        """Check that the block makes the server free the session a minute later."""
        before = time.time()
        yield
        assert before + 60 - 0.01 <= await raw("PEXPIRETIME") / 1000 <= time.time() + 60 + 0.01

    async def test_it_is_set_and_moves_with_the_session(self, store: RedisStore, raw: Any) -> None:
        async with self.due_in_a_minute(raw):
            await store.create(TOKEN, ExpirySettings(60, delete_session=True, extend_on_get=True), {"a": b"1"})
        first = await raw("PEXPIRETIME")
        while await raw("PEXPIRETIME") == first:
            async with self.due_in_a_minute(raw):
                await store.get(TOKEN, ["a"])
        before = await raw("PEXPIRETIME")
        await store.replace(TOKEN, {"b": b"1"})
        assert await raw("PEXPIRETIME") == before
        asked = time.time()
        info = await store.info(TOKEN)
        assert info.remaining is not None
        assert asked - 0.01 <= before / 1000 - info.remaining <= time.time() + 0.01

    async def test_a_session_that_never_ends_has_none(self, store: RedisStore, raw: Any) -> None:
        for expiry in (NEVER, ExpirySettings(60, delete_session=False), ExpirySettings(2**64 - 1, delete_session=True)):
            await store.create(TOKEN, expiry, {"a": b"1"})
            assert await raw("PTTL") == -1
            async with self.due_in_a_minute(raw):
                await store.expire(TOKEN, ExpirySettings(60, delete_session=True))
            await store.expire(TOKEN, expiry)
            assert await raw("PTTL") == -1
            await store.end(TOKEN)

    async def test_a_session_that_has_ended_leaves_nothing(self, store: RedisStore, raw: Any) -> None:
        await store.create(TOKEN, ExpirySettings(3, delete_session=True), {"a": b"1"})
        await store.set(TOKEN, {"a": b"2"})
        async with asyncio.timeout(30):
            while await store.exist([TOKEN]):  # noqa: ASYNC110 - the server does it
                await asyncio.sleep(0.05)
        with pytest.raises(UnknownSessionError):
            await store.set(TOKEN, {"a": b"3"})
        assert await raw("EXISTS") == 0


async def test_a_sweep_frees_the_keys_of_emptied_sessions(uri: str, clock: VirtualClock, raw: Any) -> None:
    async with RedisStore(parse_redis_uri(uri), clock=clock) as store:
        await store.create(TOKEN, ExpirySettings(60), {"a": b"1", "b": b"2"})
        clock.move(60)
        assert await raw("HLEN") == 3
        while await raw("HLEN") == 3:  # a part of the server's keys is looked at each time
            await store.sweep()
        assert await raw("HLEN") == 1
        assert await store.info(TOKEN) == await store.info(TOKEN)


async def test_a_look_reads_no_session_whose_time_has_come(uri: str, store: RedisStore) -> None:
    """The server does not free a session that only loses its keys."""
    async with RedisStore(parse_redis_uri(uri), clock=lambda: time.time() - 90) as late:
        await late.create(TOKEN, ExpirySettings(60), {"a": b"1"})
    assert await store.peek(TOKEN, ["a"]) == {}
    assert await store.get_all(TOKEN) == {}
    await store.set(TOKEN, {"a": b"2"})
    assert await store.peek(TOKEN, ["b", "a"]) == {"a": b"2"}
    await store.end(TOKEN)
    with pytest.raises(UnknownSessionError):
        await store.peek(TOKEN, ["a"])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_look_finds_what_is_stored_on_each_kind_of_server(kind: str) -> None:
    names = [f"key{number}" for number in range(100)]
    async with RedisStore(parse_redis_uri(redis_uri(kind))) as store:
        for token in range(1, 20):
            await store.create(token, HOUR, dict.fromkeys(names[:90], b'"%d"' % token))
        for token in range(1, 20):
            assert await store.peek(token, names) == dict.fromkeys(names[:90], b'"%d"' % token)
            assert await store.peek(token, ["missing"]) == await store.peek(token, []) == {}
        assert await store.end_all() == 19
        for token in range(1, 20):
            with pytest.raises(UnknownSessionError):
                await store.peek(token, names)


@pytest.mark.parametrize("expiry", [HOUR, NEVER, ExpirySettings(60, extend_on_set_add=True)])
async def test_a_look_extends_nothing(store: RedisStore, raw: Any, expiry: ExpirySettings) -> None:
    await store.create(TOKEN, expiry, {"a": b"1"})
    before = await raw("HGETALL"), await raw("PEXPIRETIME")
    assert await store.peek(TOKEN, ["a", "b"]) == {"a": b"1"}
    assert (await raw("HGETALL"), await raw("PEXPIRETIME")) == before


async def test_what_others_keep_at_its_key_is_no_session(store: RedisStore, raw: Any) -> None:
    await raw("HSET", b"a", b"1")
    for verb in (store.get_all, store.count, store.info):
        with pytest.raises(UnknownSessionError):
            await verb(TOKEN)
    assert await store.exist([TOKEN]) == []
    assert await store.create(TOKEN, HOUR, {"b": b"2"})
    assert await store.get_all(TOKEN) == {"b": b"2"}


async def test_a_key_of_another_kind_is_an_error_that_shows_nothing(store: RedisStore, raw: Any) -> None:
    await raw("SET", b"secret value")
    with pytest.raises(StoreError, match="another kind") as failed:
        await store.get(TOKEN, ["secret name"])
    assert "secret" not in f"{failed.value!r} {failed.value.__cause__!r} {failed.value.__context__!r}"
    assert str(TOKEN) not in str(failed.value)


async def test_what_a_server_cannot_take_is_refused_before_it_is_sent(store: RedisStore) -> None:
    await store.create(TOKEN, NEVER)
    with pytest.raises(LimitError):
        await store.set(SHARED, {f"{number}": b"1" for number in range(500_001)})
    for verb in (store.set(SHARED, {"\ud800": b"1"}), store.get(SHARED, ["\ud800"]), store.page("\ud800", None, 1, 1)):
        with pytest.raises(InvalidArgumentError, match="half a surrogate") as refused:
            await verb
        assert refused.value.__context__ is None
    assert await store.get_all(SHARED) == {}


async def test_prefixes_keep_stores_apart(store: RedisStore) -> None:
    async with RedisStore(parse_redis_uri(redis_uri())) as other:
        for each in (store, other):
            assert await each.create(TOKEN, NEVER, {"a": b"1"})
            await each.set(SHARED, {"a": b"1"})
        assert await store.end_all() == 1
        assert await store.clear(SHARED) == 1
        assert await other.get_all(TOKEN) == await other.get_all(SHARED) == {"a": b"1"}


async def test_verbs_on_many_sessions_fail_as_others_do(redis_servers: Shared) -> None:
    async with RedisStore(parse_redis_uri(redis_uri("cluster"))) as store:
        await asyncio.gather(*(store.create(token, NEVER) for token in range(1, 20)))
        await store.aclose()
        for verb in (store.exist(range(1, 20)), store.totals(), store.export(), store.end_all()):
            with pytest.raises(StoreError, match="not open"):
                await verb


async def test_a_listing_goes_on_in_another_process(store: RedisStore, uri: str) -> None:
    for token in range(1, 30):
        await store.create(token, NEVER, {"a": b"1"})
    found: list[int] = []
    async with RedisStore(parse_redis_uri(uri)) as other:
        page = await store.page("a", None, 7, 1000)
        for each in (other, store) * 5:
            found += page.values
            if page.last is None:
                break
            page = await each.page("a", page.last, 7, 1000)
    assert found == [*range(1, 30)]


@pytest.fixture
async def spread(uri: str) -> AsyncIterator[RedisStore]:
    """A store whose shared map is in five hashes."""
    async with RedisStore(parse_redis_uri(f"{uri}&shared_buckets=5")) as store:
        yield store


class TestASharedMapInBuckets:
    KEYS = {f"key{number}": b"%d" % number for number in range(50)}

    async def test_it_is_one_map(self, spread: RedisStore) -> None:
        await spread.set(SHARED, self.KEYS)
        assert await spread.get_all(SHARED) == self.KEYS
        names = [*self.KEYS][::-1]
        found = await spread.get(SHARED, (*names, "missing"))
        assert list(found.items()) == [(name, self.KEYS[name]) for name in names]
        assert await spread.count(SHARED) == 50
        assert sorted(await spread.names(SHARED)) == sorted(self.KEYS)
        assert len(await spread.names(SHARED, 7)) == 7
        assert await spread.contains(SHARED, ["key3", "missing", "key1", "key3"]) == ["key3", "key1", "key3"]
        await spread.add(SHARED, {"key1": b"9", "new": b"9"})
        await spread.remove(SHARED, ["key2", "key3"])
        assert await spread.get(SHARED, ["key1", "key2", "new"]) == {"key1": b"1", "new": b"9"}
        assert await spread.replace(SHARED, ObjectText.joined({"a": b"1", "b": b"2"})) == 49
        assert await spread.get_all(SHARED) == {"a": b"1", "b": b"2"}
        assert await spread.clear(SHARED) == 2

    async def test_a_value_is_compared_and_set(self, spread: RedisStore) -> None:
        await spread.set(SHARED, self.KEYS)
        assert not await spread.change(SHARED, {"key1": b"9"}, expected={"key1": b"8"})
        assert await spread.change(SHARED, {"key1": b"9"}, expected={"key1": b"1"})
        assert await spread.change(SHARED, {"key2": b"9", "key4": b"9"}, ["key3"])
        assert await spread.get(SHARED, ["key1", "key2", "key3", "key4"]) == dict.fromkeys(
            ("key1", "key2", "key4"), b"9"
        )

    async def test_values_in_several_are_not_compared(self, spread: RedisStore) -> None:
        await spread.set(SHARED, self.KEYS)
        with pytest.raises(InvalidArgumentError, match="several buckets"):
            await spread.change(SHARED, {"key1": b"9"}, expected=self.KEYS)
        assert await spread.get_all(SHARED) == self.KEYS


@contextlib.asynccontextmanager
async def on_own_server(*options: str, patience: float = 30) -> AsyncIterator[RedisStore]:
    program = valkey()
    assert program is not None
    with Servers() as servers:
        uri = f"{servers.start(program, *options).uri}?timeout={patience}"
        async with RedisStore(parse_redis_uri(uri)) as store:
            yield store


async def test_a_look_runs_no_script_and_a_change_writes_by_one_command() -> None:
    async with on_own_server() as store:
        driver = store._driver  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # to ask what the server did

        async def commands(doing: Awaitable[object]) -> set[tuple[str, str]]:
            await driver.command(b"CONFIG", b"RESETSTAT", slot_key=None)
            await doing
            told: bytes = await driver.command(b"INFO", b"commandstats", slot_key=None)
            counts = set(re.findall(r"cmdstat_(\w+):calls=(\d+)", told.decode()))
            return {count for count in counts if count[0] not in ("config", "config|resetstat", "info")}

        await store.create(TOKEN, HOUR, {"a": b"1", "b": b"2"})
        await store.set(TOKEN, {"a": b"1"})
        assert await commands(store.peek(TOKEN, ["a", "b"])) == {("hmget", "1")}
        assert await commands(store.peek(SHARED, ["a"])) == await commands(store.get(SHARED, ["a"])) == {("hmget", "1")}
        writing = await commands(store.set(TOKEN, {"a": b"3", "b": b"4"}))
        assert writing == {(name, "1") for name in ("evalsha", "time", "hget", "hset", "pexpireat")}


async def test_a_full_server_refuses_a_change_whole() -> None:
    async with on_own_server("--maxmemory", "4mb") as store:
        await store.create(TOKEN, HOUR, {"a": b"1", "b": b"2"})

        async def fill() -> None:
            for number in range(100):
                await store.create(number, NEVER, {"a": b"x" * 100_000})

        with pytest.raises(StoreFullError):
            await fill()
        large = {"a": b"x" * 100_000}
        for change in (
            store.set(TOKEN, large),
            store.change(TOKEN, large, ["b"], {"b": b"2"}),
            store.replace(TOKEN, large),
            store.expire(TOKEN, NEVER, swaps={"a": (b"1", large["a"])}),
            store.set(SHARED, large),
            store.replace(SHARED, large),
        ):
            with pytest.raises(StoreFullError):
                await change
        assert await store.get(TOKEN, ["a", "b"]) == {"a": b"1", "b": b"2"}
        assert (await store.info(TOKEN)).expiry == HOUR
        assert await store.get_all(SHARED) == {}
        await store.check()
        await store.remove(TOKEN, ["a"])
        assert await store.clear(TOKEN) == 1
        assert await store.end_all() > 10
        await store.create(TOKEN, NEVER, large)


async def test_a_server_that_loses_new_writes_fails_the_check() -> None:
    async with on_own_server(patience=1) as store:
        await store.check()
        driver = store._driver  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # to set the server up
        await driver.command(b"CONFIG", b"SET", b"min-replicas-to-write", b"1", slot_key=None)
        with pytest.raises(StoreError):
            await store.check()


class TestClients:
    async def test_two_share_the_sessions_of_a_prefix(self, uri: str) -> None:
        async with NdbClient.connect(uri) as one, NdbClient.connect(uri) as other:
            tkn = (await one.sh_create_session()).tkn
            await one.sh_set({"a": [1]}, tkn)
            assert await other.sh_get(["a"], tkn) == {"a": [1]}

    @pytest.mark.parametrize(
        "scheme", ["redis", "rediss", "valkey", "valkeys", "redis+cluster", "rediss+cluster", "valkey+cluster"]
    )
    async def test_no_error_shows_a_password(self, scheme: str) -> None:
        uri = f"{scheme}://someone:open%20sesame@127.0.0.1:1?timeout=0.2&attempt_timeout=0.1"
        client = NdbClient(uri)
        with pytest.raises(ConnectError) as failed:
            await client.kv_get(["a"])
        shown = f"{client!r} {failed.value} {failed.value!r} {failed.value.__cause__!r} {failed.value.__context__!r}"
        assert not any(secret in shown for secret in ("someone", "sesame", "timeout"))
        assert f"{scheme}://127.0.0.1:1" in shown

    @pytest.mark.parametrize(
        ("rest", "complaint"),
        [
            ("", "names no host"),
            ("h:0x1", "wrong port"),
            ("h:70000", "wrong port"),
            ("h:0", "wrong port"),
            ("h:" + "9" * 5000, "wrong port"),
            ("h/" + "9" * 5000, "a database is a number"),
            ("a..b", "names no host"),
            ("x" * 70, "names no host"),
            ("h\x00", "names no host"),
            ("a b", "names no host"),
            ("user@h", "a user and no password"),
            ("h?tls_ca=/ca.pem", "tls_ca is for TLS"),
            ("h/1?prefix=a{b}", "prefix is"),
            ("h?timeout=60", "timeout is"),
            ("h?wait_replicas=-1", "wait_replicas is"),
            ("h?shared_buckets=0", "shared_buckets is"),
            ("h?shared_buckets=many", "shared_buckets is a number"),
            ("u:p@h?secret=1", "unknown option"),
            ("u:p#q@h", "%23"),
        ],
    )
    def test_a_wrong_uri_is_refused_at_once_with_what_to_do(self, rest: str, complaint: str) -> None:
        with pytest.raises(InvalidArgumentError, match=complaint) as refused:
            NdbClient(f"redis://{rest}")
        assert "u:p" not in str(refused.value)

    async def test_without_hiredis_the_extra_is_named(self, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "hiredis", None)
        with pytest.raises(InvalidArgumentError, match=r"pip install 'ndb_models\[redis\]'"):
            await NdbClient.connect(uri)

    async def test_one_that_is_forgotten_is_warned_of_and_closes_its_connections(self, uri: str) -> None:
        clients = [await NdbClient.connect(uri)]
        await clients[0].kv_set({"a": 1})
        with pytest.warns(ResourceWarning, match="unclosed"):
            clients.clear()
        await asyncio.sleep(0.05)

    async def test_a_persist_path_must_be_a_directory(self, uri: str) -> None:
        with pytest.raises(ConnectError, match="persist_path is not a directory"):
            await NdbClient.connect(f"{uri}&persist_path=/nowhere/at/all")

    def test_a_closed_client_may_be_used_in_another_loop(self, uri: str) -> None:
        client = NdbClient(uri)

        async def use() -> int:
            await client.kv_set({secrets.token_hex(4): 1})
            count = await client.kv_count()
            await client.close()
            return count

        assert [asyncio.run(use()) for _ in range(2)] == [1, 2]


@pytest.mark.slow
async def test_sessions_of_slots_on_their_way_are_listed_once_and_all_the_time() -> None:
    program = valkey()
    assert program is not None
    with Servers() as servers:
        cluster = await asyncio.to_thread(servers.cluster, program)
        async with RedisStore(parse_redis_uri(cluster.uri)) as store:
            tokens = [*range(1, 401)]
            await asyncio.gather(*(store.create(token, NEVER, {"a": b"1"}) for token in tokens))
            first, second = cluster.masters()[:2]
            slots = sorted({slot_of(b"{%d}" % token) for token in tokens}.intersection(cluster.slots_of(first)))[:25]

            listed = threading.Event()

            def move() -> None:
                while not listed.is_set():
                    for source, target in ((first, second), (second, first)):
                        for slot in slots:
                            cluster.migrate(slot, source, target, 0.001)

            moving = asyncio.ensure_future(asyncio.to_thread(move))
            try:
                for _ in range(3):
                    found: list[int] = []
                    page = await store.page("a", None, 150, 10**6)
                    while page.last is not None:
                        found += page.values
                        page = await store.page("a", page.last, 150, 10**6)
                    found += page.values
                    assert sorted(found) == tokens
                    assert await store.totals() == (400, 400)
                    assert not moving.done()
            finally:
                listed.set()
                await moving
