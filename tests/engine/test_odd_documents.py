"""Paths that the library takes beyond RFC 9535, values that change during a search, and data sets of other shapes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ndb_models.engine import Engine
from ndb_models.engine.context import EngineLimits
from ndb_models.engine.paths import PathLimits
from ndb_models.errors import DataSetError
from ndb_models.stores.memory import MemoryStore
from tests.engine.asking import Asker
from tests.engine.data_sets import KEYS, SESSIONS, metadata, session, write_data_set
from tests.engine.test_budgets import REFERENCE
from tests.engine.test_documents import update

VALUE = [{"a": 1}, {"a": [1]}, {"b": 2}, {"a": True}, {"a": False}, {"a": "x"}, {"a": None}]


@pytest.mark.parametrize(
    "path",
    [
        "$[?@.a <> 1]",
        "$[?@.a == [1]]",
        "$[?[1, 2] == @.a]",
        "$[?@.a == (1 == 1)]",
        "$[?(@.a == 1) == (@.b == 2)]",
        "$[?@.a == !@.b]",
        "$[?!true]",
        "$[?!'']",
        "$[?!value(@.a)]",
        "$[?!length(@.a)]",
        "$[?@.a || value(@.b)]",
        "$[?@.a == 1 == true]",
        "$[?length(length(@.a)) == 1]",
    ],
)
async def test_a_path_that_the_library_takes_finds_what_the_library_finds(ask: Asker, path: str) -> None:
    await ask("KV_SET", keys={"a": VALUE})
    found = (await ask("KV_FIND", path=path, rsp="paths"))["paths"]
    assert found == [match.path for match in REFERENCE.finditer(path, VALUE)]


async def test_hundreds_of_places_are_changed_at_once(ask: Asker) -> None:
    count = 500
    changed = await update(ask, json.dumps([[n] for n in range(count)]), "$[*][0]", "0")
    assert changed == (count, json.dumps([[0]] * count, separators=(",", ":")))


async def test_a_change_during_a_search_is_kept_and_searched_again() -> None:
    ask = Asker(Engine(MemoryStore(), limits=EngineLimits(paths=PathLimits(seconds=60))))
    value = [{"n": n} for n in range(5000)]
    await ask("KV_SET", keys={"a": value})
    updating = asyncio.create_task(ask("KV_UPDATE", key="a", path="$[?@.n == 4999].n", value="found"))
    await asyncio.sleep(0)
    assert not updating.done()
    await ask("KV_SET", keys={"a": [{"n": 4999}, {"n": 4999}, "changed"]})
    assert await updating == {"cnt": 2, "st": 1}
    assert await ask.shared() == {"a": [{"n": "found"}, {"n": "found"}, "changed"]}


async def test_an_array_in_an_object_that_is_too_large_to_decode_is_not_appended_to() -> None:
    ask = Asker(Engine(MemoryStore(), limits=EngineLimits(paths=PathLimits(size=1000))))
    large = {"items": [], "text": "x" * 1000}
    await ask("KV_SET", keys={"a": large, "b": ["x" * 1000]})
    refused = await ask("KV_ARR_APPEND", key="a", name="items", items=[1])
    assert refused["st"] == 42
    assert "1000 bytes" in refused["m"]
    assert await ask.status("KV_ARR_APPEND", key="b", items=[1]) == 1
    assert await ask.shared() == {"a": large, "b": ["x" * 1000, 1]}


async def test_what_a_later_version_adds_around_the_keys_is_passed_over(ask: Asker, persist_path: Path) -> None:
    files = ['{"more":{"keys":{"b":2}},"keys":{"a":1},"last":[1]}']
    write_data_set(persist_path, "data_set", metadata("data_set", KEYS), files)
    assert (await ask("KV_LOAD", name="data_set"))["keys"] == 1
    assert await ask.shared() == {"a": 1}


@pytest.mark.parametrize(
    ("kind", "text"),
    [(KEYS, '{"keys":{"a":1}} {}'), (KEYS, '{"keys":{"a":1}'), (SESSIONS, "[{}] x"), (SESSIONS, "[{}")],
)
async def test_a_server_does_not_start_with_a_data_set_that_has_more_or_less_than_its_value(
    persist_path: Path, kind: int, text: str
) -> None:
    store = MemoryStore()
    engine = Engine(store)
    whole = json.dumps([session(5, {"a": 1})]) if kind == SESSIONS else '{"keys":{"b":1}}'
    write_data_set(persist_path, "data_set", metadata("data_set", kind), [whole, text])
    with pytest.raises(DataSetError, match="damaged"):
        await engine.load("data_set", persist_path)
    statistics = await engine.statistics()
    assert statistics.sessions == 0
    assert await Asker(engine).shared() == {}
