"""Many tasks on one client: each gets the answers to its own requests, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import functools

from websockets.asyncio.server import ServerConnection

from ndb_models.client import NdbClient
from tests.client.scripted_server import honest_answer, own_value, scripted

TASKS = 64


async def test_gathered_reads_each_get_their_own(client: NdbClient) -> None:
    await client.kv_set({"a": 1, "b": 2, "c": 3, "d": 4})
    answers = await asyncio.gather(*(client.kv_get((name,)) for name in "abcd"))
    assert answers == [{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}]


async def test_many_tasks_with_many_keys_each_get_their_own(client: NdbClient) -> None:
    async def one_user(number: int) -> None:
        tkn = (await client.sh_create_session()).tkn
        keys = {f"key{k}": f"{number}/{k} " * (1 + k * number % 23) for k in range(24)}
        await client.sh_set(keys, tkn)
        for name, value in keys.items():
            assert await client.sh_get((name,), tkn) == {name: value}
        everything, count, names = await asyncio.gather(
            client.sh_get(list(keys), tkn), client.sh_count(tkn), client.sh_keys(tkn)
        )
        assert everything == keys
        assert count == len(keys)
        assert set(names) == set(keys)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(TASKS):
            group.create_task(one_user(number))


async def test_large_and_small_answers_in_one_burst_each_go_to_their_own(client: NdbClient) -> None:
    keys = {f"key{number}": f"{number}" * (1 if number % 3 else 3500) for number in range(TASKS)}
    for name, value in keys.items():
        await client.kv_set({name: value})
    answers = await asyncio.gather(*(client.kv_get((name,)) for name in keys))
    assert answers == [{name: value} for name, value in keys.items()]


async def test_refusals_in_a_burst_go_to_those_who_caused_them(client: NdbClient) -> None:
    await client.kv_set({"a": 1})
    calls = (client.kv_get(("a",)) if number % 2 else client.kv_rmv(()) for number in range(TASKS))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, Exception) for answer in answers] == [number % 2 == 0 for number in range(TASKS)]
    assert answers[1::2] == [{"a": 1}] * (TASKS // 2)


async def test_two_clients_of_one_server_do_not_mix(client: NdbClient) -> None:
    async with NdbClient.connect("memory://") as other:
        await asyncio.gather(client.kv_set({"a": "here"}), other.kv_set({"a": "there"}))
        answers = await asyncio.gather(*(each.kv_get(("a",)) for each in (client, other) * TASKS))
    assert answers == [{"a": "here"}, {"a": "there"}] * TASKS


async def test_a_cancelled_call_does_not_shift_later_answers() -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def hold_the_first(connection: ServerConnection) -> None:
        first = await connection.recv()
        arrived.set()
        await release.wait()
        await connection.send(honest_answer(first))
        async for request in connection:
            await connection.send(honest_answer(request))

    async with scripted(hold_the_first) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        cancelled = asyncio.create_task(client.kv_get(("cancelled",)))
        await arrived.wait()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        later = [asyncio.create_task(client.kv_get((name,))) for name in "abc"]
        release.set()
        assert await asyncio.gather(*later) == [{name: own_value(name)} for name in "abc"]
        assert await client.kv_get(("d",)) == {"d": own_value("d")}


async def test_a_call_that_runs_out_of_its_callers_time_does_not_shift_later_answers(client: NdbClient) -> None:
    names = [f"key{number}" for number in range(TASKS)]
    await client.kv_set({name: name for name in names})

    async def hurried(name: str) -> None:
        try:
            async with asyncio.timeout(0):
                assert await client.kv_get((name,)) == {name: name}
        except TimeoutError:
            pass

    async def patient(name: str) -> None:
        assert await client.kv_get((name,)) == {name: name}

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for number, name in enumerate(names):
            group.create_task(hurried(name) if number % 2 else patient(name))
    for name in names[:8]:
        await patient(name)


async def test_tasks_cancelled_at_every_point_of_a_burst_leave_the_others_right(client: NdbClient) -> None:
    names = [f"key{number}" for number in range(TASKS)]
    await client.kv_set({name: name for name in names})
    calls = [asyncio.create_task(client.kv_get((name,))) for name in names]

    def take_along(victim: asyncio.Task[object], _ended: object) -> None:
        victim.cancel()

    # Each call that ends takes one with it that may not have been sent, may be in flight, or may be answered already.
    for number in range(0, TASKS, 2):
        calls[number].add_done_callback(functools.partial(take_along, calls[(number * 7 + 1) % TASKS]))
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    for name, answer in zip(names, answers, strict=True):
        assert isinstance(answer, asyncio.CancelledError) or answer == {name: name}
    assert await client.kv_get(("key1",)) == {"key1": "key1"}
