"""What a JSONPath may cost: every budget is named when it is met, and what a path finds is what the library finds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath import JSONPathEnvironment

from ndb_models.engine import Engine
from ndb_models.engine.context import EngineLimits
from ndb_models.engine.evaluation import Evaluation, location_of, normalised
from ndb_models.engine.paths import Budget, PathLimits, compile_path
from ndb_models.stores.memory import MemoryStore
from tests.engine.asking import Asker

NESTED = json.loads("[" * 24 + "0" + "]" * 24)
# Seconds, where another budget is to be met first on any machine.
A_LONG_TIME = 600.0


async def both(ask: Asker, path: str) -> list[dict[str, Any]]:
    """Return the answers to looking for a path, in every form, and to writing there."""
    found = [await ask("KV_FIND", path=path, rsp=rsp) for rsp in ("paths", "keys", "kv")]
    return [*found, await ask("KV_UPDATE", key="a", path=path, value=1)]


def met(answer: dict[str, Any]) -> str:
    """Return the budget that an answer names; empty where it names none."""
    if answer["st"] != 4 or "m" not in answer:
        return ""
    return str(answer["m"].partition("budget of ")[2].partition(":")[0])


@pytest.mark.parametrize(
    ("path", "budget"),
    [
        ("$" + "'\\" * 40_000, "length"),
        ("$[" + ",".join(["::1"] * 1000) + "]", "selectors"),
        ("$[?" + "||".join(["@.a"] * 300) + "]", "selectors"),
    ],
    ids=["quotes", "slices", "a filter"],
)
async def test_a_path_that_is_too_long_is_refused_before_anything_is_looked_at(
    ask: Asker, path: str, budget: str
) -> None:
    await ask("KV_SET", keys={"a": [1]})
    assert [met(answer) for answer in await both(ask, path)] == [budget] * 4
    assert await ask.shared() == {"a": [1]}


@pytest.mark.parametrize(
    ("limits", "value", "path", "budget"),
    [
        (PathLimits(results=1000), NESTED, "$" + "[*,*]" * 24, "results"),
        (PathLimits(nodes=1000), NESTED, "$" + "[*,*]" * 24, "nodes"),
        (PathLimits(nodes=1000), [[0] * 100] * 100, "$..*..*", "nodes"),
        (PathLimits(nodes=1000), [[0] * 100] * 100, "$[?count($..*) == count(@..*)]", "nodes"),
        (PathLimits(size=1000), "x" * 1000, "$", "bytes"),
        (PathLimits(containers=100), [[]] * 101, "$", "arrays and objects"),
        (PathLimits(seconds=0.0), [[0] * 100] * 1000, "$..*", "seconds"),
    ],
    ids=["results", "fan-out", "descents", "a filter", "bytes", "containers", "seconds"],
)
async def test_a_search_that_is_too_expensive_is_refused_by_the_name_of_its_budget(
    limits: PathLimits, value: Any, path: str, budget: str
) -> None:
    in_peace = limits if budget == "seconds" else replace(limits, seconds=A_LONG_TIME)
    ask = Asker(Engine(MemoryStore(), limits=EngineLimits(paths=in_peace)))
    await ask("KV_SET", keys={"a": value})
    assert met(await ask("KV_FIND", path=path, rsp="paths")) == budget
    assert met(await ask("KV_UPDATE", key="a", path=path, value=1)) == budget
    assert await ask.shared() == {"a": value}


async def test_a_search_for_keys_stops_at_the_first_place(ask: Asker) -> None:
    await ask("KV_SET", keys={"a": NESTED})
    assert await ask("KV_FIND", path="$" + "[*,*]" * 24, rsp="keys") == {"keys": ["a"], "st": 1}


async def test_an_answer_is_no_larger_than_it_may_be() -> None:
    ask = Asker(Engine(MemoryStore(), limits=EngineLimits(answer=1000)))
    keys = {name: name * 300 for name in "abcd"}
    await ask("KV_SET", keys=keys)
    token = await ask.new()
    await ask("SH_SET", tkn=token, keys=keys)
    refusals = [
        await ask("KV_GET", keys=[*keys]),
        await ask("SH_PEEK", tkn=token, keys=[*keys]),
        await ask("KV_UPDATE", key="a", path="$", value="x" * 1000),
    ]
    assert [answer["st"] for answer in refusals] == [42, 42, 42]
    assert all("1000 bytes" in answer["m"] for answer in refusals)
    assert met(await ask("KV_FIND", path="$", rsp="kv")) == "bytes"
    assert (await ask("KV_GET", keys=["a", "b"]))["st"] == 1
    await ask("KV_SET", keys={"large": "x" * 5000})
    assert (await ask("KV_GET", keys=["large"]))["keys"] == {"large": "x" * 5000}
    await ask("KV_SET", keys={"n" * 600: 1, "m" * 600: 1})
    assert await ask.status("KV_KEYS") == 42


async def test_an_array_grows_to_the_limit_and_no_further() -> None:
    ask = Asker(Engine(MemoryStore(), limits=EngineLimits(answer=1000)))
    await ask("KV_SET", keys={"a": []})
    statuses = [await ask.status("KV_ARR_APPEND", key="a", items=["x" * 100] * 3) for _ in range(5)]
    assert statuses == [1, 1, 1, 42, 42]
    assert len((await ask.shared())["a"]) == 9


@pytest.mark.parametrize("payload", [2**20, 3 * 2**20])
async def test_what_the_largest_request_stores_is_searched_and_read_in_one_answer(payload: int) -> None:
    limits = EngineLimits.for_payload(payload)
    in_peace = replace(limits, paths=replace(limits.paths, seconds=A_LONG_TIME))
    ask = Asker(Engine(MemoryStore(), limits=in_peace))
    # Many arrays, as small data has them, and several keys in one request.
    array = [["twenty bytes of text"]] * (payload // 60)
    await ask("KV_SET", keys={"a": array, "b": array})
    await ask("KV_UPDATE", key="a", path="$[1][0]", value="found")
    assert await ask("KV_FIND", path="$[1][0]", rsp="paths", keys=["a"]) == {"paths": ["$[1][0]"], "st": 1}
    assert len((await ask("KV_GET", keys=["a", "b"]))["keys"]["b"]) == len(array)
    assert await ask.status("KV_UPDATE", key="b", path="$", value="x" * (payload - 1000)) == 1


async def test_a_larger_payload_needs_larger_limits() -> None:
    ask = Asker(Engine(MemoryStore()))
    await ask("KV_SET", keys={"a": "x" * 2**20})
    assert met(await ask("KV_FIND", path="$", rsp="paths")) == "bytes"
    _, body = await ask.frame(json.dumps({"KV_SET": {"keys": {"a": [[]] * 100_001}}}))
    assert body["st"] == 3
    assert "100000 arrays and objects" in body["m"]


class Reference(JSONPathEnvironment):
    """The library. Its slices cut strings too; in RFC 9535 a string has no children."""

    def getitem(self, obj: Any, key: Any) -> Any:
        return () if isinstance(obj, str) else super().getitem(obj, key)


REFERENCE = Reference(strict=True)

NAMES = ["a", "b", "it's", "0"]
DOCUMENTS = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, -1, 1.5, "", "a", 'x"y', 10**20]),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=15,
).filter(lambda document: not isinstance(document, str))
SINGULAR = st.lists(st.sampled_from([".a", ".b", "[0]", "['a']", "[-1]"]), max_size=2).map("".join)
STARTS = st.sampled_from(["@", "@", "$"])


@st.composite
def selectors(draw: st.DrawFn, depth: int) -> str:
    simple = [
        *("'a'", '"b"', "'it\\'s'", "0", "1", "-1", "-3", "*", ":", "1:", "::-1", ":-1", "::2", "::0", "-2:", "3:0:-1"),
    ]
    if depth < 3 and draw(st.booleans()):
        return "?" + draw(filters(depth + 1))
    return draw(st.sampled_from(simple))


@st.composite
def segments(draw: st.DrawFn, depth: int) -> str:
    listed = ",".join(draw(st.lists(selectors(depth), min_size=1, max_size=2)))
    return draw(st.sampled_from([".a", ".b", ".*", "..*", "..a", f"..[{listed}]", f"[{listed}]", f"[{listed}]"]))


@st.composite
def queries(draw: st.DrawFn, depth: int, least: int = 0) -> str:
    parts = draw(st.lists(segments(depth), min_size=least, max_size=2))
    return draw(STARTS) + "".join(parts)


@st.composite
def operands(draw: st.DrawFn, depth: int) -> str:
    return draw(
        st.one_of(
            st.tuples(STARTS, SINGULAR).map("".join),
            st.sampled_from(["1", "0", "null", "true", "false", "'a'", "1.5", "''"]),
            # Of `@` alone, where that is no array and no object, the library counts characters.
            queries(depth, 1).map("count({})".format),
            queries(depth, 1).map("value({})".format),
            st.tuples(STARTS, SINGULAR).map(lambda parts: f"length({''.join(parts)})"),
        )
    )


@st.composite
def filters(draw: st.DrawFn, depth: int) -> str:
    kind = draw(st.integers(0, 5 if depth < 4 else 2))
    if kind == 0:
        return draw(queries(depth))
    if kind == 3:
        return f"({draw(filters(depth + 1))} && {draw(filters(depth + 1))})"
    if kind == 4:
        return f"({draw(filters(depth + 1))} || {draw(filters(depth + 1))})"
    if kind == 5:
        return f"!({draw(filters(depth + 1))})"
    operator = draw(st.sampled_from(["==", "!=", "<", ">", "<=", ">="]))
    return f"{draw(operands(depth))} {operator} {draw(operands(depth))}"


@pytest.mark.parametrize(
    ("path", "spaced"),
    [("$[0,:]", "$[0, :]"), ("$..[0,::]", "$..[0, ::]"), ("$[?@.a == ',:',:1]", "$[?@.a == ',:', :1]")],
)
def test_a_slice_may_follow_a_comma_at_once(path: str, spaced: str) -> None:
    document = [{"a": ",:"}, {"a": ", :"}, [1, 2]]

    def found(text: str) -> list[Any]:
        budget = Budget(PathLimits())
        nodes = Evaluation(budget).find(compile_path(text, PathLimits()), document)
        return [location_of(node, budget) for node in nodes if node is not None]

    assert found(path) == found(spaced) != []


TOLD: list[Any] = [
    {"a": 1, "b": "x", "c": [1, 2], "d": None},
    {"a": 2, "b": "xy", "c": {"a": [1, 2, 3]}, "d": True},
    {"a": 1.5, "b": "", "c": [], "d": False},
    *([1, 2], "text", None, True, 0),
]


@pytest.mark.parametrize(
    "path",
    [
        *("$[?@.a]", "$[?!@.a]", "$[?@.d]", "$[?@]", "$[?@.c[0]]", "$[?!(@.a && @.d)]", "$[?@.x]", "$[?(@.a || @.d)]"),
        *("$[?@.a == 1]", "$[?@.a != 1]", "$[?@.a < 2]", "$[?@.a > 1]", "$[?@.a <= 1.5]", "$[?@.a >= 1.5]"),
        *("$[?@.b < 'xy']", "$[?@.b >= 'x']", "$[?@.b == '']", "$[?@.a < @.b]", "$[?@.d == true]", "$[?@.d == null]"),
        *("$[?@.d == false]", "$[?@.x == @.y]", "$[?@.x == 1]", "$[?@.x <= @.y]", "$[?@.c == $[0].c]", "$[?@.d == 1]"),
        *("$[?length(@.b) == 2]", "$[?length(@.c) >= 1]", "$[?length(@.a) == 1]", "$[?count(@.c.*) == 2]"),
        *("$[?value(@.c.*) == 1]", "$[?value(@.c.a[0:1]) == 1]", "$[?count($[*]) == 8]", "$[?@.a == 1 && @.b == 'x']"),
        *("$[?@.a == 5 || @.b == 'xy']", "$[?count(@..a) == 2]", "$..[?@ > 1]", "$[1:3][?@[0] == 1]", "$[::2].a"),
    ],
)
def test_a_filter_selects_what_the_library_says(path: str) -> None:
    assert_found_as_by_the_library(path, TOLD)


def test_a_search_can_be_interrupted_in_each_selector() -> None:
    document = {"a": [[number, {"b": number}] for number in range(200)]}
    for path in ("$.a[:]", "$.a.*", "$..b", "$.a[?@[0] > 5]", "$.a[?count($.a.*) > 5][1].b"):
        nodes = list(Evaluation(Budget(PathLimits())).find(compile_path(path, PathLimits()), document))
        assert None in nodes, path
        assert_found_as_by_the_library(path, document)


@pytest.mark.slow
@given(st.lists(segments(0), min_size=1, max_size=3).map("".join), DOCUMENTS)
def test_a_path_leads_where_the_library_says_and_in_its_order(path: str, document: Any) -> None:
    assert_found_as_by_the_library("$" + path, document)


def assert_found_as_by_the_library(path: str, document: Any) -> None:
    limits = PathLimits()
    budget = Budget(limits)
    found = [
        location_of(node, budget)
        for node in Evaluation(budget).find(compile_path(path, limits), document)
        if node is not None
    ]
    matches = list(REFERENCE.finditer(path.replace(",:", ", :"), document))  # else it refuses `[0,:]`
    assert found == [match.parts for match in matches]
    assert [normalised(place) for place in found] == [match.path for match in matches]
