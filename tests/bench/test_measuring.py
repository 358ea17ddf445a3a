"""A measurement counts what it did, and ends its own sessions however it ends. It is not about speed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest

from ndb_models import InvalidArgumentError, NdbClient, UnavailableError
from ndb_models.bench import measure
from ndb_models.bench.latencies import Latencies
from ndb_models.testing import RunningServer

SHORT = 0.3


async def sessions(client: NdbClient) -> object:
    return (await client.sh_info_all())["totalSessions"]


async def test_each_verb_is_measured_and_nothing_is_left(client: NdbClient) -> None:
    mine = (await client.sh_create_session()).tkn
    begun: list[str] = []
    report = await measure(client, seconds=SHORT, tasks=4, report=begun.append)
    assert begun == ["create", "get", "change", "end"]
    assert [each.verb for each in report.measured] == begun
    for each in report.measured:
        assert each.count > 0
        assert each.rate > 0
        assert not each.failed
        assert list(each.latencies.values()) == sorted(each.latencies.values())
        assert max(each.latencies.values()) <= each.longest
    assert report.created == report.measured[0].count == report.measured[3].count
    assert report.left == 0
    assert await client.sh_session_exists([mine]) == [mine]
    assert await sessions(client) == 1


async def test_a_measurement_that_is_cancelled_ends_its_sessions(client: NdbClient) -> None:
    begun = asyncio.Event()

    task = asyncio.create_task(measure(client, seconds=30, tasks=4, report=lambda _: begun.set()))
    await begun.wait()
    for _ in range(100_000):  # turns in which sessions are created
        await asyncio.sleep(0)
        if await sessions(client):
            break
    assert await sessions(client)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    for _ in range(100_000):  # turns in which creations that were cancelled under way are ended in the background
        if not await sessions(client):
            break
        await asyncio.sleep(0)
    assert await sessions(client) == 0


async def test_a_store_that_fails_is_an_error_and_not_a_figure() -> None:
    with RunningServer() as server:
        async with server.connect(reconnect=False) as client:
            server.stop()
            with pytest.raises(UnavailableError):
                await measure(client, seconds=SHORT, tasks=2)


@pytest.mark.parametrize("options", [{"seconds": 0}, {"seconds": 4000}, {"tasks": 0}, {"tasks": 1001}])
async def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    async with NdbClient.connect("memory://") as client:
        with pytest.raises(InvalidArgumentError):
            await measure(client, **options)


def test_percentiles_are_right_to_two_percent() -> None:
    latencies = Latencies()
    values = [random.Random(1).uniform(0.0001, 0.5) for _ in range(5)] + [number / 1000 for number in range(1, 1001)]
    for value in values:
        latencies.add(value)
    for percentile in (50.0, 90.0, 99.0):
        exact = sorted(values)[int(len(values) * percentile / 100)]
        assert exact * 0.97 <= latencies.percentile(percentile) <= exact * 1.03
    assert latencies.percentile(100.0) == latencies.longest == 1.0


def test_no_latency_has_no_percentile() -> None:
    assert Latencies().percentile(50.0) == 0.0
