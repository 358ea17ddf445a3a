"""A process of its own that fills an engine with sessions, or loads them, and prints what that took as JSON.

`python -m benchmarks.filling fill|load COUNT PERSIST_PATH`
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore

DATA_SET = "capacity"
_FIELDS = (
    '{{"SH_NEW_SET":{{"tkn":{tkn},"expiry":{{"duration":1800,"deleteSession":true,"extendOnSetAdd":true,'
    '"extendOnGet":true}},"keys":{{"username":"user{number}","email":"user{number}@example.org","visits":{number},'
    '"theme":"dark","since":"2026-01-01T12:00:00Z"}}}}}}'
)


def requests(count: int) -> Iterator[bytes]:
    """Return requests that create so many sessions of five short fields."""
    rng = random.Random(count)
    for number in range(count):
        yield _FIELDS.format(tkn=rng.getrandbits(64), number=number).encode()


def resident_bytes() -> int:
    """Return how much memory this process occupies."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    assert found is not None
    return int(found[1]) * 1024


async def _ask(engine: Engine, command: str, **params: object) -> dict[str, Any]:
    answer: dict[str, dict[str, Any]] = json.loads(await engine.handle(json.dumps({command: params}).encode()))
    return answer[f"{command}_RSP"]


async def _fill(engine: Engine, count: int) -> None:
    for request in requests(count):
        await engine.handle(request)


async def main(way: str, count: int, persist_path: Path) -> dict[str, float]:
    """Fill an engine and save it, or load what was saved."""
    engine = Engine(MemoryStore(), persist_path=persist_path)
    before, started = resident_bytes(), time.perf_counter()
    if way == "fill":
        await _fill(engine, count)
    else:
        assert (await _ask(engine, "SH_LOAD", name=DATA_SET))["sessions"] == count
    took, after = time.perf_counter() - started, resident_bytes()
    saved_in = 0.0
    if way == "fill":
        assert (await _ask(engine, "SH_INFO_ALL"))["totalSessions"] == count
        started = time.perf_counter()
        assert (await _ask(engine, "SH_SAVE", name=DATA_SET))["st"] == 121
        saved_in = time.perf_counter() - started
    return {"bytes": (after - before) / count, "seconds": took, "saved_in": saved_in}


if __name__ == "__main__":
    result = asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
    sys.stdout.write(json.dumps(result))
