"""SystemExit leaves the event loop at once, wherever it is raised; what cleans up behind it still uses the client."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from ndb_models import NdbClient
from tests.transport.servers import GUARD, Host, Visit

TOGETHER = 8


async def answer_together(visit: Visit) -> None:
    """Answer one by one first, then as many as go together, with their fence, in one write; then one by one."""
    await visit.serve(TOGETHER)
    requests = [await visit.next_request() for _ in range(TOGETHER + 1)]
    visit.write_together(*[await visit.answer(request) for request in requests])
    await visit.serve()


class Program:
    """A program of which one task exits on its answer, while others wait for theirs."""

    def __init__(self) -> None:
        self.host = Host(answer_together)
        self.client = NdbClient()
        self.calls: list[asyncio.Task[object]] = []

    async def start(self) -> None:
        await self.host.__aenter__()
        stored = {"KV_SET": {"keys": {f"key{number}": number for number in range(3 * TOGETHER)}}}
        await self.host.engine.handle(json.dumps(stored).encode())
        assert await self.client.open(self.host.uri)
        for number in range(TOGETHER):
            await self.read(number)

    async def read(self, number: int) -> None:
        assert await self.client.kv_get((f"key{number}",)) == {f"key{number}": number}

    async def read_and_exit(self, number: int) -> None:
        await self.read(number)
        sys.exit(3)

    async def exit_amid_others(self) -> None:
        self.calls = [asyncio.create_task(self.read(number)) for number in range(TOGETHER - 1)]
        self.calls.insert(2, asyncio.create_task(self.read_and_exit(TOGETHER)))
        await asyncio.wait(self.calls)

    async def clean_up(self) -> None:
        async with asyncio.timeout(GUARD):
            await asyncio.gather(*(self.read(number) for number in range(TOGETHER, 3 * TOGETHER)))
            others = [call for number, call in enumerate(self.calls) if number != 2]
            await asyncio.gather(*others)

    async def stop(self) -> None:
        await self.client.close()
        await self.host.__aexit__(None, None, None)


def test_an_exit_on_an_answer_neither_shifts_nor_stops_what_others_ask() -> None:
    with asyncio.Runner() as runner:
        program = Program()
        runner.run(program.start())
        with pytest.raises(SystemExit):
            runner.get_loop().run_until_complete(program.exit_amid_others())
        try:
            runner.run(program.clean_up())
        finally:
            runner.run(program.stop())
