"""Whatever is done with a configuration, it is what a plain dict would have become."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from ndb_models import ConfigRepository, NdbClient, StoredConfigError
from tests.configuration.stepping import Time
from tests.zoo_values import JSON


class Plain(BaseModel):
    number: int = 0
    text: str = "t"
    flag: bool = False
    numbers: list[int] = []
    table: dict[str, int] = {}
    anything: Any = None


DEFAULTS = Plain().model_dump()

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "number": st.integers(-3, 3),
    "text": st.sampled_from(["t", "", "é"]),
    "flag": st.booleans(),
    "numbers": st.lists(st.integers(0, 2), max_size=2),
    "table": st.dictionaries(st.sampled_from("ab"), st.integers(0, 2), max_size=2),
    "anything": st.sampled_from([None, 0, 1, True, False, 1.0, "1", [1], [True], {"a": 1}, {"a": True}]) | JSON,
}
FIELDS = st.fixed_dictionaries({}, optional=VALUES)
BAD = st.sampled_from([{"number": "no number"}, {"flag": [1]}, {"numbers": None}, {"text": 5, "table": 5}])
STEPS = st.lists(
    st.tuples(st.sampled_from(["save", "update", "edit", "set"]), FIELDS)
    | st.tuples(st.just("remove"), st.lists(st.sampled_from(sorted(VALUES)), min_size=1).map(dict.fromkeys))
    | st.tuples(st.just("spoil"), BAD)
    | st.tuples(st.just("look"), st.just({})),
    max_size=12,
)

runs = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def typed(value: object) -> object:
    """Make a value comparable with its types: `True` is not `1`, nor is `1.0`."""
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), value


def fits(stored: dict[str, Any]) -> bool:
    try:
        Plain.model_validate(stored)
    except ValueError:
        return False
    return True


def expected(stored: dict[str, Any]) -> object:
    return typed(Plain.model_validate(stored).model_dump())


async def carry_out(
    verb: str, values: dict[str, Any], config: ConfigRepository[Plain], client: NdbClient, stored: dict[str, Any]
) -> None:
    """Do one step with the repository or the raw client, and the same with the dict."""
    match verb:
        case "save":
            await config.save(Plain(**values))
            stored.update(DEFAULTS | values)
        case "update":
            await config.update(**values)
            stored.update(values)
        case "edit":
            before = Plain.model_validate(stored).model_dump()
            async with config.edit() as edited:
                for name, value in values.items():
                    setattr(edited, name, value)
            stored.update({name: value for name, value in values.items() if typed(before[name]) != typed(value)})
        case "remove":
            await client.kv_rmv([f"plain:{name}" for name in values])
            for name in values:
                stored.pop(name, None)
        case _:
            if values:
                await client.kv_set({f"plain:{name}": value for name, value in values.items()})
            stored.update(values)


async def keys_of(client: NdbClient) -> dict[str, Any]:
    keys = await client.kv_get(await client.kv_keys())
    return {key.removeprefix("plain:"): value for key, value in keys.items()}


@pytest.mark.slow
@pytest.mark.unmeasured
@runs
@given(steps=STEPS)
async def test_the_store_is_what_a_dict_would_be_and_a_watch_tells_the_way_there(
    steps: list[tuple[str, dict[str, Any]]],
) -> None:
    async with NdbClient.connect("memory://") as client:
        config = ConfigRepository(client, Plain, namespace="plain")
        stored: dict[str, Any] = {}
        known, reported = expected({}), list[StoredConfigError]()
        time = Time()
        watch = config.watch(Plain(), on_invalid=reported.append, clock=time, sleep=time.sleep)
        for number, (verb, values) in zip(count(), steps):
            if verb == "look" or number == len(steps) - 1:
                known = await look(watch, time, known, stored)
            if fits(stored) or verb in ("set", "remove", "spoil"):
                await carry_out(verb, values, config, client, stored)
            else:
                await refused(verb, values, config)
            assert typed(await keys_of(client)) == typed(stored)
            assert [problem.key for problem in await config.check()] == [] or not fits(stored)
        await look(watch, time, known, stored)


async def look(watch: Any, time: Time, known: object, stored: dict[str, Any]) -> object:
    """Let a watch look once; what it yields leads from what was known to what is stored."""
    stepping = asyncio.ensure_future(anext(watch))
    sleeping = asyncio.ensure_future(time.asleep())
    time.move(1)
    await asyncio.wait((stepping, sleeping), return_when=asyncio.FIRST_COMPLETED)
    sleeping.cancel()
    if not stepping.done():
        stepping.cancel()
        await asyncio.wait((stepping,))
        assert not fits(stored) or expected(stored) == known
        assert bool(watch.problems) is not fits(stored)
        return known
    change = stepping.result()
    assert fits(stored)
    assert typed(change.old.model_dump()) == known != expected(stored)
    assert typed(change.new.model_dump()) == expected(stored)
    assert set(change.fields) == {
        name for name in VALUES if typed(getattr(change.old, name)) != typed(getattr(change.new, name))
    }
    return expected(stored)


async def refused(verb: str, values: dict[str, Any], config: ConfigRepository[Plain]) -> None:
    """Whatever is tried while what is stored does not fit is refused."""
    try:
        match verb:
            case "save":
                await config.save(Plain(**values))
            case "edit":
                async with config.edit():
                    pass
            case _:
                await config.update(**values)
    except StoredConfigError:
        return
    raise AssertionError
