"""No request holds the loop for long, or takes much memory, whatever is stored and whatever it is made of.

The limit is 50 ms on a machine that has nothing else to do. Here it is twice as much, and the best of several
tries is taken, but for requests that go through everything. Where the machine is busy, the limit grows with the time
that a MiB of objects takes to be decoded: that takes 30 ms elsewhere.
"""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ndb_models.engine import Engine
from ndb_models.engine.context import EngineLimits
from ndb_models.engine.paths import PathLimits
from ndb_models.json_text import ObjectText
from ndb_models.server.running import pass_over_program
from ndb_models.stores.contract import SHARED, ExpirySettings
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import NO_LIMITS, StoreLimits
from tests.conftest import VirtualClock
from tests.engine.evil_requests import NAMES, PATHS, TOKENS, VALUES
from tests.engine.holding import longest_hold, memory_taken
from tests.stores.watched_store import WatchedStore

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

SECONDS = 0.1
TRIES = 8
ONCE = 0.15
MEBIBYTES = 64
NUMBER = 60_000


@pytest.fixture(autouse=True)
def passed_over() -> Iterator[None]:
    """Exempt the tests' own objects from garbage collection, as `serve` does with the program's."""
    pass_over_program()
    yield
    gc.unfreeze()


def frames_of(value: str) -> list[bytes]:
    """Return requests of every kind that hold this value, with a session of token 5."""
    frames = [
        f'{{"KV_SET":{{"keys":{{"x":{value}}}}}}}',
        f'{{"KV_UPDATE":{{"key":"a","path":"$","value":{value}}}}}',
        f'{{"SH_NEW_SET":{{"tkn":6,"keys":{{"x":{value}}}}}}}',
        f'{{"SH_EXPIRE":{{"tkn":5,"expiry":{{"duration":0}},"keys":{{"b":[1,{value}]}}}}}}',
        f'{{"SH_CHANGE":{{"tkn":5,"keys":{{"b":{value}}},"digests":{{"b":"{"0" * 32}"}}}}}}',
        f'{{"UNKNOWN":{{"keys":{value}}}}}',
    ]
    if value[0] == "{":
        commands = ["KV_SET", "KV_ADD", "KV_CLEAR_SET", "SH_SET", "SH_ADD", "SH_CLEAR_SET"]
        frames += [f'{{"{command}":{{"tkn":5,"keys":{value}}}}}' for command in commands]
    else:
        commands = ["KV_GET", "KV_RMV", "SH_GET", "SH_CONTAINS"]
        frames += [f'{{"{command}":{{"tkn":5,"keys":{value}}}}}' for command in commands]
        frames += [
            f'{{"KV_ARR_APPEND":{{"key":"a","items":{value}}}}}',
            f'{{"SH_EXISTS":{{"tkns":{value}}}}}',
            f'{{"SH_SAVE":{{"name":"x","tkns":{value}}}}}',
        ]
    return [frame.encode() for frame in frames]


async def usual_hold(engine: Engine, before: tuple[bytes, ...], frame: bytes) -> tuple[float, bytes]:
    """Return how long a request holds the loop after others, and its answer: the first short try, or the last.

    More than one try is needed on a busy machine alone.
    """
    held, answer = 0.0, b""
    for _ in range(TRIES):
        for each in before:
            await engine.handle(each)
        held, answer = await longest_hold(engine.handle(frame))
        held = on_a_quick_machine(held, SECONDS)
        if held < SECONDS:
            break
    return held, answer


def on_a_quick_machine(seconds: float, limit: float) -> float:
    """Return how long it would have taken on a machine that decodes a MiB of objects in 30 ms.

    What is below the limit is returned as it is. A machine counts as slower by a factor of five at the most.
    """
    if seconds < limit:
        return seconds
    began = time.process_time()
    msgspec.json.decode(VALUES["objects"])
    return seconds * max(0.2, min(1.0, 0.03 / (time.process_time() - began)))


# What takes longest to be read is sent in every request that takes a value, all else in those that keep it.
COSTLY = {"objects": VALUES["objects"], "deep objects": VALUES["deep objects"], "strings": VALUES["strings"]}
COSTLY |= {"members": VALUES["members"], "names": NAMES, "tokens": TOKENS}
OTHERS = {name: value for name, value in VALUES.items() if name not in COSTLY}
KEPT = 5


@pytest.mark.parametrize(
    "frames",
    [*map(frames_of, COSTLY.values()), *(frames_of(value)[:KEPT] for value in OTHERS.values())],
    ids=[*COSTLY, *OTHERS],
)
async def test_no_frame_holds_the_loop_or_takes_much_memory(frames: list[bytes], tmp_path: Path) -> None:
    engine = Engine(MemoryStore(), persist_path=tmp_path)
    before = (b'{"KV_CLEAR_SET":{"keys":{"a":[]}}}', b'{"SH_NEW_SET":{"tkn":5,"keys":{"b":1}}}')
    for frame in frames:
        held, answer = await usual_hold(engine, before, frame)
        assert held < SECONDS, (frame[:40], answer[:80], threading.enumerate())
    taken, _ = await memory_taken(engine.handle(frames[0]))
    assert taken < MEBIBYTES


@pytest.mark.parametrize("value", ["objects", "strings"])
async def test_no_path_holds_the_loop_or_takes_much_memory(value: str) -> None:
    engine = Engine(MemoryStore(), limits=EngineLimits(paths=PathLimits(seconds=0.1)))
    write = f'{{"KV_SET":{{"keys":{{"x":{VALUES[value]}}}}}}}'.encode()
    for path in PATHS.values():
        find = json.dumps({"KV_FIND": {"path": path, "rsp": "paths"}}).encode()
        update = json.dumps({"KV_UPDATE": {"key": "x", "path": path, "value": 1}}).encode()
        for frame in (find, update):
            held, answer = await usual_hold(engine, (write,), frame)
            assert held < SECONDS, (path[:40], answer[:80])
    await engine.handle(write)
    taken, _ = await memory_taken(engine.handle(json.dumps({"KV_FIND": {"path": "$..*", "rsp": "paths"}}).encode()))
    assert taken < MEBIBYTES


def full_of_sessions(store: MemoryStore) -> None:
    names = ("a", "__ndb__")
    assert store.verbs is not None
    for token in range(NUMBER):
        keys = ObjectText(b'{"a":%d,"__ndb__":{}}' % token, names)
        store.verbs.create(token, ExpirySettings(60 + token % 50, delete_session=True), keys)


@pytest.mark.parametrize("limits", [NO_LIMITS, StoreLimits(size=2**40)], ids=["memory", "limited memory"])
async def test_what_goes_through_all_sessions_holds_nobody_up(
    tmp_path: Path, clock: VirtualClock, limits: StoreLimits
) -> None:
    store = MemoryStore(limits, clock=clock)
    engine = Engine(store, persist_path=tmp_path)
    full_of_sessions(store)

    async def held(command: str, **body: Any) -> float:
        seconds, answer = await longest_hold(engine.handle(json.dumps({command: body}).encode()))
        assert json.loads(answer)[f"{command}_RSP"]["st"] in (1, 121, 141)
        return on_a_quick_machine(seconds, ONCE)

    assert await held("SH_SAVE", name="all") < ONCE
    assert await held("SH_INFO_ALL") < ONCE
    assert on_a_quick_machine((await longest_hold(engine.statistics()))[0], ONCE) < ONCE
    assert await held("SH_END_ALL") < ONCE
    full_of_sessions(store)
    clock.move(1000)
    assert on_a_quick_machine((await longest_hold(engine.sweep()))[0], ONCE) < ONCE
    assert await store.totals() == (0, 0)
    assert await held("SH_LOAD", name="all") < 2 * ONCE  # collecting garbage takes part of it
    assert await store.totals() == (NUMBER, 2 * NUMBER)


async def test_what_goes_through_all_keys_holds_nobody_up(tmp_path: Path) -> None:
    store = MemoryStore()
    engine = Engine(store, persist_path=tmp_path)
    for start in range(0, NUMBER, 10_000):
        await store.set(SHARED, {f"key{number}": b"%d" % number for number in range(start, start + 10_000)})
    for frame in (
        b'{"KV_SAVE":{"name":"all"}}',
        b'{"KV_KEYS":{}}',
        b'{"KV_COUNT":{}}',
        b'{"KV_FIND":{"path":"$.a","rsp":"keys"}}',
        b'{"KV_CLEAR":{}}',
        b'{"KV_LOAD":{"name":"all"}}',
        b'{"KV_CLEAR_SET":{"keys":{}}}',
    ):
        held, answer = await longest_hold(engine.handle(frame))
        assert on_a_quick_machine(held, ONCE) < ONCE, (frame, answer[:80])


async def test_however_many_look_for_many_tokens_at_once_a_turn_of_the_loop_stays_short() -> None:
    turn, lookups = 0, Counter[int]()

    class Counting(WatchedStore):
        async def before(self, verb: str, *_args: Any) -> None:
            lookups[turn] += verb == "exist"

    engine = Engine(Counting())
    frame = json.dumps({"SH_EXISTS": {"tkns": list(range(1, 50_000))}}).encode()
    asking = [asyncio.create_task(engine.handle(frame)) for _ in range(20)]
    while not all(task.done() for task in asking):
        await asyncio.sleep(0)
        turn += 1
    assert lookups.total() > 200
    assert max(lookups.values()) == 1
