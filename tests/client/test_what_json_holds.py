"""What can be stored comes back as it was; what JSON cannot hold is refused with its place, and nothing changes."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import re
import types
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from ndb_models.client import NdbClient
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.types import JsonInput

CANARY = "canary-7f3a"

# Types that lie to the annotations on purpose: what a program without a type checker passes.
Anything = Any


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Own(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(("a",))

    def __len__(self) -> int:
        return 1


Point = collections.namedtuple("Point", "x y")


def contains_itself() -> list[Anything]:
    value: list[Anything] = [CANARY]
    value.append(value)
    return value


def object_in_itself() -> dict[str, Anything]:
    value: dict[str, Anything] = {}
    value["a"] = [value]
    return value


def nested(levels: int) -> Anything:
    value: Anything = CANARY
    for _ in range(levels):
        value = [value]
    return value


REFUSED: dict[str, tuple[Anything, str]] = {
    "a name that is a number": ({1: CANARY}, "keys['k']"),
    "a name that is None": ({None: CANARY}, "keys['k']"),
    "a name that is bytes": ({b"a": CANARY}, "keys['k']"),
    "a deep name that is a number": ({"a": [CANARY, {"b": {2: CANARY}}]}, "keys['k']['a'][1]['b']"),
    "a name in a mapping of another kind": ({"a": types.MappingProxyType({1: CANARY})}, "keys['k']['a']"),
    "NaN": (float("nan"), "keys['k']"),
    "infinity": ([1, float("-inf")], "keys['k'][1]"),
    "NaN of a subclass": ({"a": Real("nan")}, "keys['k']['a']"),
    "bytes": (CANARY.encode(), "keys['k']"),
    "deep bytes": ([{"a": (1, CANARY.encode())}], "keys['k'][0]['a'][1]"),
    "bytearray": (bytearray(CANARY.encode()), "keys['k']"),
    "memoryview": (memoryview(CANARY.encode()), "keys['k']"),
    "datetime": ({"a": datetime.datetime(2024, 1, 31, tzinfo=datetime.UTC)}, "keys['k']['a']"),
    "date": (datetime.date(2024, 1, 31), "keys['k']"),
    "UUID": (uuid.uuid4(), "keys['k']"),
    "Decimal": (decimal.Decimal("1.10"), "keys['k']"),
    "object": ([object()], "keys['k'][0]"),
    "set": ({"a": {CANARY}}, "keys['k']['a']"),
    "frozenset": (frozenset({CANARY}), "keys['k']"),
    "complex": (1j, "keys['k']"),
    "generator": ((x for x in CANARY), "keys['k']"),
    "function": (nested, "keys['k']"),
    "class": (Colour, "keys['k']"),
    "a lone surrogate": (CANARY + "\ud800", "keys['k']"),
    "a deep lone surrogate": ({"a": [1, CANARY + "\udfff"]}, "keys['k']['a'][1]"),
    "a lone surrogate in a name": ({"a\ud800": CANARY}, "keys['k']"),
    "too deep": (nested(600), "keys['k'][0][0]"),
    "a list in itself": (contains_itself(), "keys['k'][1][1]"),
    "an object in itself": (object_in_itself(), "keys['k']['a'][0]['a']"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_json_cannot_hold_is_refused_with_its_place_and_without_its_value(
    client: NdbClient, case: str
) -> None:
    value, place = REFUSED[case]
    tkn = (await client.sh_create_session()).tkn
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: client.kv_set({"first": 1, "k": value}),
        lambda: client.kv_add({"first": 1, "k": value}),
        lambda: client.kv_clear_set({"first": 1, "k": value}),
        lambda: client.sh_set({"first": 1, "k": value}, tkn),
        lambda: client.sh_add({"first": 1, "k": value}, tkn),
        lambda: client.sh_clear_set({"first": 1, "k": value}, tkn),
    ]
    for write in writes:
        with pytest.raises(InvalidArgumentError, match=re.escape(place)) as refused:
            await write()
        assert CANARY not in str(refused.value)
        assert isinstance(refused.value, ValueError)
    assert await client.kv_keys() == []
    assert await client.sh_keys(tkn) == []


@pytest.mark.parametrize("value", [1, None, b"a", 1.5, ("a",)])
async def test_a_key_that_is_no_string_is_refused(client: NdbClient, value: Anything) -> None:
    with pytest.raises(InvalidArgumentError, match=r"keys.*strings"):
        await client.kv_set({"first": 1, value: 2})
    assert await client.kv_keys() == []


async def test_a_key_with_a_lone_surrogate_is_refused(client: NdbClient) -> None:
    with pytest.raises(InvalidArgumentError):
        await client.kv_set({"first": 1, "a\ud800": 2})
    assert await client.kv_keys() == []


@pytest.mark.parametrize(
    "write",
    [
        lambda client, value: client.kv_update("a", "$", value),
        lambda client, value: client.kv_arr_append("a", [1, value]),
    ],
)
async def test_changing_a_value_to_what_json_cannot_hold_is_refused(
    client: NdbClient, write: Callable[[NdbClient, Anything], Awaitable[object]]
) -> None:
    await client.kv_set({"a": [0]})
    for value in (object(), float("nan"), {1: CANARY}, "\ud800"):
        with pytest.raises(InvalidArgumentError):
            await write(client, value)
    assert await client.kv_get(("a",)) == {"a": [0]}


@pytest.mark.parametrize("names", [{"a"}, {"a": 1}.keys(), (name for name in "a"), frozenset("a")])
async def test_names_that_are_no_sequence_are_refused(client: NdbClient, names: Anything) -> None:
    with pytest.raises(InvalidArgumentError, match="keys"):
        await client.kv_get(names)


@pytest.mark.parametrize("keys", [[1], "abc", 1, None, True])
async def test_keys_that_are_no_mapping_are_refused(client: NdbClient, keys: Anything) -> None:
    with pytest.raises(NdbError):
        await client.kv_set(keys)
    assert await client.kv_keys() == []


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**63 - 1,
        -(2**63),
        2**64 - 1,
        10**300,
        0.1,
        -0.0,
        1e-320,
        1.7976931348623157e308,
        "",
        "null",
        '\x00\x1f\x7f"\\/',
        "\u2028\ufeffäß",
        "🎈e\u0301",
        [],
        {},
        [[], {}, [None]],
        {"": {"": []}},
        {"z": 1, "a": 2, "m": [3]},
        {"$": 1, "__proto__": 2, "a.b": 3},
    ],
    ids=repr,
)
async def test_json_comes_back_as_it_was(client: NdbClient, value: Anything) -> None:
    await client.kv_set({"k": value})
    back = (await client.kv_get(("k",)))["k"]
    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize("key", ["", " ", "keys", "tkn", "st", "__ndb__", "ä🎈", "a" * 1000, "\x00", '"\\'])
async def test_any_string_is_a_key(client: NdbClient, key: str) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({key: 1}, tkn)
    assert await client.sh_get((key,), tkn) == {key: 1}
    assert await client.sh_contains((key,), tkn) == [key]
    assert await client.sh_keys(tkn) == [key]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ((1, (2, [3])), [1, [2, [3]]]),
        (Point(1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        (collections.deque([1]), [1]),
        (collections.UserList([1]), [1]),
        (collections.OrderedDict(b=1, a=(2,)), {"b": 1, "a": [2]}),
        (types.MappingProxyType({"a": types.MappingProxyType({"b": ()})}), {"a": {"b": []}}),
        (Own(), {"a": 1}),
        (Text("text"), "text"),
        ([Text("text")], ["text"]),
        ({Text("name"): Text("text")}, {"name": "text"}),
        (Whole(3), 3),
        (Real(1.5), 1.5),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_sequences_mappings_and_subclasses_are_stored_as_what_they_are_in_json(
    client: NdbClient, value: Anything, stored: Anything
) -> None:
    await client.kv_set({"k": value})
    assert await client.kv_get(("k",)) == {"k": stored}


@pytest.mark.parametrize("names", [("a", "b"), ["a", "b"], collections.deque(["a", "b"]), collections.UserList("ab")])
async def test_names_may_be_any_sequence(client: NdbClient, names: Sequence[str]) -> None:
    await client.kv_set(types.MappingProxyType({"a": 1, "b": 2}))
    assert await client.kv_get(names) == {"a": 1, "b": 2}
    assert await client.kv_contains(names) == ["a", "b"]
    await client.kv_rmv(names)
    assert await client.kv_count() == 0


@pytest.mark.parametrize("levels", [60, 250, 490, *range(506, 514), 600])
async def test_what_is_deep_is_kept_whole_or_refused_before_it_is_sent(client: NdbClient, levels: int) -> None:
    value = nested(levels)
    try:
        await client.kv_set({"k": value})
    except InvalidArgumentError:
        assert await client.kv_keys() == []
    else:
        assert await client.kv_get(("k",)) == {"k": value}


async def test_an_integer_beyond_what_python_prints_is_refused(client: NdbClient) -> None:
    with pytest.raises(InvalidArgumentError):
        await client.kv_set({"first": 1, "k": 10**5000})
    assert await client.kv_keys() == []


async def test_writing_does_not_change_what_was_passed(client: NdbClient) -> None:
    keys: dict[str, JsonInput] = {"a": [1, {"b": (2,)}]}
    await client.kv_set(keys)
    assert keys == {"a": [1, {"b": (2,)}]}


async def test_what_was_read_is_the_readers_own(client: NdbClient) -> None:
    await client.kv_set({"a": [1]})
    first = await client.kv_get(("a",))
    first["a"] = None
    assert await client.kv_get(("a",)) == {"a": [1]}
