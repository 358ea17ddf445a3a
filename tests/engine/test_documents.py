"""Looking into shared values by JSONPath, and changing parts of them."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.engine.asking import Asker

DEEPEST_VALUE = 509

NOT_A_PATH = [
    *("a", "@", "$.", "$[", "$[]", "$..", "$.a.b..", " $", "$ ", "$[01]", "$[-0]", "$[1e5]", "$[1e400]", "$a", "$.[0]"),
    *("$[9999999999999999999999]", "$['a", '$["\\ud800"]', "$[?]", "$[?@.a==01]", "$[?@.a==1e400]", "$[?@.a = 1]"),
    *("$[?nope(@)]", "$[?count(1)>0]", "$[?length(@.a)]", "$[?'a']", "$[?@.a and @.b]", "$[?@.a in [1]]", "$.a | $.b"),
    *("^a", "$.*~", "$[?# == 1]", "$[?_.a]", "$[?:1.5]", "$" * 3000, "$[?" + "(" * 2000 + "@" + ")" * 2000 + "]"),
]
PATTERNS = [
    "$[?match(@, 'a')]",
    "$[?search(@, 'a')]",
    "$[?@ =~ /a/]",
    "$[?match(@.a, '(a+)+b')]",
    "$..[?search(@,'.')]",
]


async def update(ask: Asker, before: str, path: str, value: str) -> tuple[int, str]:
    """Return how many places were changed, and the value's text after that."""
    await ask.write("a", before)
    _, body = await ask.frame(f'{{"KV_UPDATE":{{"key":"a","path":{json.dumps(path)},"value":{value}}}}}')
    assert body["st"] == 1
    return body["cnt"], await ask.text("a")


class TestFind:
    async def test_it_tells_which_keys_have_such_a_place(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"u1": {"age": 30}, "u2": {"age": 20}, "u3": {"name": "x"}, "u4": 5})
        found = await ask("KV_FIND", path="$.age", rsp="keys")
        assert (found["st"], sorted(found["keys"])) == (1, ["u1", "u2"])

    async def test_it_gives_the_values_as_they_are(self, ask: Asker) -> None:
        await ask.write("a", '{"b": 1e3 }')
        answer = await ask.engine.handle(b'{"KV_FIND":{"path":"$.b","rsp":"kv"}}')
        assert answer == b'{"KV_FIND_RSP":{"keys":{"a":{"b": 1e3 }},"st":1}}'

    async def test_it_gives_the_places_as_normalised_paths(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": {"b": [1, {"it's": 2}]}})
        found = await ask("KV_FIND", path="$..*", rsp="paths")
        assert sorted(found["paths"]) == ["$['b']", "$['b'][0]", "$['b'][1]", "$['b'][1]['it\\'s']"]

    async def test_the_root_is_in_every_value(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": 1, "b": None})
        assert sorted((await ask("KV_FIND", path="$", rsp="keys"))["keys"]) == ["a", "b"]

    @pytest.mark.parametrize("text", ['{"x": 1}', "[[1]]", '"x"', "{", "{{", "]", "1", "null", "NaN", ""])
    async def test_a_string_that_looks_like_json_is_a_string(self, ask: Asker, text: str) -> None:
        await ask("KV_SET", keys={"a": text})
        assert await ask("KV_FIND", path="$..*", rsp="paths") == {"paths": [], "st": 1}
        assert await ask("KV_FIND", path="$", rsp="paths") == {"paths": ["$"], "st": 1}
        assert await ask("KV_UPDATE", key="a", path="$.x", value=2) == {"cnt": 0, "st": 1}
        assert await ask.shared() == {"a": text}

    async def test_it_looks_only_into_the_keys_that_are_named(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": {"x": 1}, "b": {"x": 2}})
        assert (await ask("KV_FIND", path="$.x", rsp="keys", keys=["b", "missing"]))["keys"] == ["b"]
        assert (await ask("KV_FIND", path="$.x", rsp="keys", keys=["missing"]))["keys"] == []

    async def test_entries_that_are_no_names_do_not_make_it_look_everywhere(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": {"x": 1}})
        assert (await ask("KV_FIND", path="$.x", rsp="keys", keys=[5]))["keys"] == []

    @pytest.mark.parametrize(
        ("path", "paths"),
        [
            ("$[?@ > 1]", ["$[1]", "$[2]"]),
            ("$[?@ == 2 || @ == 1]", ["$[0]", "$[1]"]),
            ("$[-1]", ["$[2]"]),
            ("$[0:2]", ["$[0]", "$[1]"]),
            ("$[::-1]", ["$[2]", "$[1]", "$[0]"]),
            ("$[?length($) == 3]", ["$[0]", "$[1]", "$[2]"]),
            ("$[3]", []),
        ],
    )
    async def test_paths_are_those_of_rfc_9535(self, ask: Asker, path: str, paths: list[str]) -> None:
        await ask("KV_SET", keys={"a": [1, 2, 3]})
        assert (await ask("KV_FIND", path=path, rsp="paths"))["paths"] == paths

    @pytest.mark.parametrize("path", ["$[0:2]", "$..[0:1]", "$.*[0:1]", "$[0:1][0:1]", "$[0]"])
    async def test_a_string_has_no_places_in_it(self, ask: Asker, path: str) -> None:
        await ask("KV_SET", keys={"a": "text"})
        assert (await ask("KV_FIND", path=path, rsp="paths"))["paths"] == []
        assert await ask("KV_UPDATE", key="a", path=path, value=1) == {"cnt": 0, "st": 1}
        assert await ask.shared() == {"a": "text"}

    async def test_a_value_at_the_limit_of_nesting_does_not_spoil_the_search(self, ask: Asker) -> None:
        await ask.write("deep", "[" * DEEPEST_VALUE + "]" * DEEPEST_VALUE)
        await ask("KV_SET", keys={"a": {"b": {"c": 1}}})
        assert await ask("KV_FIND", path="$..c", rsp="keys") == {"keys": ["a"], "st": 1}


class TestPathsThatAreRefused:
    @pytest.mark.parametrize("path", [*NOT_A_PATH, *PATTERNS], ids=lambda path: path[:24])
    async def test_by_find_and_update_and_nothing_changes(self, ask: Asker, path: str) -> None:
        await ask("KV_SET", keys={"a": ["aaa", 1]})
        for rsp in ("keys", "kv", "paths"):
            assert await ask("KV_FIND", path=path, rsp=rsp) == {"st": 4}
        assert await ask("KV_UPDATE", key="a", path=path, value=1) == {"cnt": 0, "st": 4}
        assert await ask.shared() == {"a": ["aaa", 1]}

    async def test_even_where_there_is_nothing_to_look_into(self, ask: Asker) -> None:
        assert await ask("KV_FIND", path="$[", rsp="keys") == {"st": 4}

    async def test_an_empty_path_is_no_place(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": 1})
        assert await ask.status("KV_FIND", path="", rsp="keys") == 42
        assert await ask.status("KV_UPDATE", key="a", path="", value=2) == 4


class TestUpdate:
    async def test_it_changes_a_place_and_leaves_the_rest(self, ask: Asker) -> None:
        assert await update(ask, '{"b":1,"c":[2,3]}', "$.c[1]", "4") == (1, '{"b":1,"c":[2,4]}')

    @pytest.mark.parametrize("value", ['{"x": 1e3 }', "[1 ]", '"s"', "null", "true", "1e3"])
    async def test_any_value_may_be_put_in_the_place_as_the_text_that_it_is(self, ask: Asker, value: str) -> None:
        assert await update(ask, '{"b":1}', "$.b", value) == (1, f'{{"b":{value}}}')
        assert await update(ask, '{"b":1}', "$", value) == (1, value)

    async def test_it_changes_several_places(self, ask: Asker) -> None:
        assert await update(ask, "[5,6,7]", "$[?@ > 5]", "0") == (2, "[5,0,0]")
        assert await update(ask, '{"x":{"n":1},"y":[{"n":2}]}', "$..n", '"z"') == (2, '{"x":{"n":"z"},"y":[{"n":"z"}]}')

    async def test_of_places_inside_each_other_the_outer_wins(self, ask: Asker) -> None:
        assert await update(ask, '{"a":{"a":{"a":1}},"b":[{"a":2}]}', "$..a", "0") == (4, '{"a":0,"b":[{"a":0}]}')
        assert await update(ask, "[1,[2,[3]]]", "$..*", "[9]") == (5, "[[9],[9]]")

    async def test_a_place_that_is_named_twice_is_changed_all_the_same(self, ask: Asker) -> None:
        _, text = await update(ask, "[1,2]", "$[0,0]", "9")
        assert text == "[9,2]"

    async def test_where_there_is_no_place_nothing_changes(self, ask: Asker) -> None:
        assert await update(ask, '{"b": 1e3 }', "$.missing", "1") == (0, '{"b": 1e3 }')
        assert await update(ask, "5", "$.a", "1") == (0, "5")

    async def test_numbers_elsewhere_keep_their_digits(self, ask: Asker) -> None:
        numbers = [
            "-0.0",
            "0.10",
            "1" * 30,
            "123.4567890123456789012345",
            "0.30000000000000004",
            "-5",
            "18446744073709551616",
        ]
        _, text = await update(ask, f'{{"a":1,"n":[{",".join(numbers)}]}}', "$.a", "2")
        assert text == f'{{"a":2,"n":[{",".join(numbers)}]}}'

    @pytest.mark.parametrize("number", ["1e3", "1e-7", "0.00000001", "5e-324", "1.7976931348623157e308", "1e-400"])
    async def test_numbers_elsewhere_keep_their_value_to_the_last_digit(self, ask: Asker, number: str) -> None:
        _, text = await update(ask, f'{{"a":1,"n":{number}}}', "$.a", "2")
        assert json.loads(text) == {"a": 2, "n": float(number)}

    async def test_strings_and_names_elsewhere_stay_equal(self, ask: Asker) -> None:
        value = {"a": 1, "": "é😀\u2028", 'quo"te\\': ["\0\x7f", None, True, {}, []]}
        _, text = await update(ask, json.dumps(value), "$.a", "2")
        assert json.loads(text) == {**value, "a": 2}

    async def test_an_unknown_key_is_told(self, ask: Asker) -> None:
        assert await ask("KV_UPDATE", key="missing", path="$", value=1) == {"cnt": 0, "st": 22}
        assert await ask.shared() == {}


class TestAppend:
    async def test_it_puts_the_items_at_the_end(self, ask: Asker) -> None:
        await ask.write("a", "[1e3]")
        _, body = await ask.frame('{"KV_ARR_APPEND":{"key":"a","items":[0.10,{"x": 1 },[]]}}')
        assert body == {"st": 1}
        assert json.loads(await ask.text("a")) == [1000.0, 0.1, {"x": 1}, []]
        assert '0.10,{"x": 1 },[]]' in await ask.text("a")

    async def test_it_finds_the_array_in_a_member(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"o": {"l": [1], "m": 2}})
        assert await ask("KV_ARR_APPEND", key="o", name="l", items=[2, 3]) == {"st": 1}
        assert await ask.shared() == {"o": {"l": [1, 2, 3], "m": 2}}

    async def test_of_nothing_changes_nothing(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": [1]})
        assert await ask("KV_ARR_APPEND", key="a", items=[]) == {"st": 1}
        assert await ask.shared() == {"a": [1]}

    @pytest.mark.parametrize(
        "params", [{"key": "s"}, {"key": "o"}, {"key": "o", "name": "missing"}, {"key": "o", "name": "s"}]
    )
    async def test_what_is_no_array_is_left_alone(self, ask: Asker, params: dict[str, str]) -> None:
        keys = {"s": "text", "o": {"s": "text"}}
        await ask("KV_SET", keys=keys)
        assert await ask.status("KV_ARR_APPEND", **params, items=[1]) == 1000
        assert await ask.shared() == keys

    async def test_an_array_has_no_members(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": [1]})
        assert await ask.status("KV_ARR_APPEND", key="a", name="0", items=[1]) == 1000

    async def test_an_unknown_key_is_told(self, ask: Asker) -> None:
        assert await ask.status("KV_ARR_APPEND", key="missing", items=[1]) == 22

    async def test_of_many_at_once_none_is_lost(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": []})
        await asyncio.gather(*(ask("KV_ARR_APPEND", key="a", items=[number]) for number in range(50)))
        assert sorted((await ask.shared())["a"]) == list(range(50))


class TestDepth:
    """A change makes nothing that a request could not have stored, and that a data set could not hold."""

    async def test_a_change_may_reach_the_limit_of_nesting_and_not_pass_it(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": [[]]})
        deep, deeper = ("[" * depth + "]" * depth for depth in (DEEPEST_VALUE - 1, DEEPEST_VALUE))
        assert await ask("KV_UPDATE", key="a", path="$[0]", value=json.loads(deep)) == {"cnt": 1, "st": 1}
        assert await ask.text("a") == f"[{deep}]"
        assert await ask("KV_UPDATE", key="a", path="$[0]", value=json.loads(deeper)) == {"cnt": 0, "st": 42}
        assert await ask.text("a") == f"[{deep}]"

    async def test_so_of_an_append(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": {"b": []}})
        too_deep = json.loads("[" * (DEEPEST_VALUE - 1) + "]" * (DEEPEST_VALUE - 1))
        assert await ask.status("KV_ARR_APPEND", key="a", name="b", items=[too_deep]) == 42
        assert await ask.shared() == {"a": {"b": []}}


class TestLimits:
    async def test_an_update_cannot_make_a_value_larger_than_the_server_holds(self, ask: Asker) -> None:
        await ask("KV_SET", keys={"a": [0] * 1000})
        assert await ask.status("KV_UPDATE", key="a", path="$[*]", value="x" * 10_000) == 42
        assert json.loads(await ask.text("a")) == [0] * 1000
