"""The commands that a NemesisDB does not have: what they are told, and what they answer."""

from __future__ import annotations

import hashlib
import json

import pytest

from ndb_models.engine import Engine
from ndb_models.engine.context import EngineLimits
from ndb_models.stores.memory import MemoryStore
from tests.engine.asking import Asker

EXPIRY = {"duration": 60, "deleteSession": True, "extendOnSetAdd": True, "extendOnGet": True}


async def test_peeking_answers_as_getting(ask: Asker) -> None:
    tkn = await ask.new()
    await ask("SH_SET", tkn=tkn, keys={"a": 1, "b": [2]})
    assert await ask("SH_PEEK", tkn=tkn, keys=["b", 5, "nothing"]) == {"keys": {"b": [2]}, "st": 1}


async def test_an_expiry_is_changed_and_told(ask: Asker) -> None:
    tkn = await ask.new()
    assert await ask("SH_EXPIRE", tkn=tkn, expiry=EXPIRY) == {"done": True, "st": 1}
    info = await ask("SH_INFO", tkn=tkn)
    assert info["expiry"] == {**EXPIRY, "remaining": info["expiry"]["remaining"]}
    assert await ask("SH_EXPIRE", tkn=tkn, expiry={"duration": 0}) == {"done": True, "st": 1}
    assert (await ask("SH_INFO", tkn=tkn))["expires"] is False


async def test_keys_are_replaced_if_they_are_as_told_to_the_byte(ask: Asker) -> None:
    engine = ask.engine
    tkn = await ask.new()
    await engine.handle(b'{"SH_SET":{"tkn":%d,"keys":{"a":{"x": 1.0},"b":2}}}' % tkn)
    for old, done in ((b'{"x":1.0}', False), (b'{"x": 1}', False), (b'{"x": 1.0}', True)):
        frame = b'{"SH_EXPIRE": {"tkn":%d,"expiry":{"duration":9},"keys":{"a":[ %b , {"x":2} ]}}}' % (tkn, old)
        answer = json.loads(await engine.handle(frame))
        assert answer == {"SH_EXPIRE_RSP": {"done": done, "st": 1}}
    assert await ask("SH_GET", tkn=tkn, keys=["a", "b"]) == {"keys": {"a": {"x": 2}, "b": 2}, "st": 1}


@pytest.mark.parametrize(
    "keys", [{"a": 1}, {"a": [1]}, {"a": [1, 2, 3]}, {"a": {"0": 1, "1": 2}}, {"a": [1, 2], "b": 1}]
)
async def test_keys_that_are_no_pairs_are_refused(ask: Asker, keys: object) -> None:
    tkn = await ask.new()
    await ask("SH_SET", tkn=tkn, keys={"a": 1})
    assert await ask.status("SH_EXPIRE", tkn=tkn, expiry=EXPIRY, keys=keys) == 41
    assert (await ask("SH_INFO", tkn=tkn))["expires"] is False


@pytest.mark.parametrize("duration", [2**53, 2**63 - 1, 2**63, 2**64 - 1])
async def test_the_longest_durations_are_told_exactly(ask: Asker, duration: int) -> None:
    tkn = (await ask("SH_NEW", expiry={**EXPIRY, "duration": duration}))["tkn"]
    for _ in range(2):
        info = await ask("SH_INFO", tkn=tkn)
        assert info["expiry"]["duration"] == duration
        assert 0 < info["expiry"]["remaining"] <= duration
        await ask("SH_SET", tkn=tkn, keys={"a": 1})
        assert (await ask("SH_GET", tkn=tkn, keys=["a"]))["keys"] == {"a": 1}
        assert await ask.status("SH_EXPIRE", tkn=tkn, expiry={**EXPIRY, "duration": duration}) == 1


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


async def test_keys_are_changed_in_one_step_if_the_others_are_as_told(ask: Asker) -> None:
    engine = ask.engine
    tkn = await ask.new()
    await engine.handle(b'{"SH_SET":{"tkn":%d,"keys":{"a":{"x": 1.0},"b":"\xc3\xa9","c":3}}}' % tkn)
    for told, done in (
        ({"texts": {"a": '{"x":1.0}'}}, False),
        ({"texts": {"a": '{"x": 1.0}', "b": '"e"'}}, False),
        ({"texts": {"d": "null"}}, False),
        ({"absent": ["d", "c"]}, False),
        ({"digests": {"a": digest('{"x":1.0}')}}, False),
        ({"digests": {"d": digest("null")}}, False),
        ({"texts": {"a": '{"x": 1.0}'}, "digests": {"b": digest('"é"')}, "absent": ["d", 5]}, True),
    ):
        answer = await ask("SH_CHANGE", tkn=tkn, keys={"a": 2, "d": 4}, remove=["b", 5, "missing"], **told)
        assert answer == {"done": done, "st": 1}
        there = {"a": 2, "c": 3, "d": 4} if done else {"a": {"x": 1.0}, "b": "é", "c": 3}
        assert await ask("SH_GET", tkn=tkn, keys=["a", "b", "c", "d"]) == {"keys": there, "st": 1}


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({}, 26),
        ({"keys": []}, 41),
        ({"keys": {}, "absent": {}}, 41),
        ({"keys": {}, "remove": "a"}, 41),
        ({"keys": {}, "texts": ["1"]}, 41),
        ({"keys": {}, "texts": {"a": 1}}, 41),
        ({"keys": {}, "digests": {"a": "12"}}, 41),
        ({"keys": {}, "digests": {"a": "G" * 32}}, 41),
        ({"keys": {}, "digests": {"a": "A" * 32}}, 41),
        ({"keys": {}, "digests": {"a": None}}, 41),
    ],
)
async def test_conditions_of_other_types_are_refused(ask: Asker, told: dict[str, object], status: int) -> None:
    tkn = await ask.new()
    await ask("SH_SET", tkn=tkn, keys={"a": 1})
    assert await ask.status("SH_CHANGE", tkn=tkn, **told) == status
    assert await ask("SH_GET", tkn=tkn, keys=["a"]) == {"keys": {"a": 1}, "st": 1}


async def test_sessions_are_listed_in_pages_with_one_of_their_keys(ask_any: Asker) -> None:
    engine = ask_any.engine
    for tkn in (1, 2, 2**64 - 1):
        await engine.handle(b'{"SH_NEW_SET":{"tkn":%d,"keys":{"a":{"x": 1.0},"b":2}}}' % tkn)
    await ask_any.new()
    answers = [await ask_any("SH_LIST", key="a", count=2)]
    while "next" in answers[-1]:
        answers.append(await ask_any("SH_LIST", key="a", count=2, after=answers[-1]["next"]))
    assert {answer["st"] for answer in answers} == {1}
    assert sorted(tkn for answer in answers for tkn in answer["tkns"]) == [1, 2, 2**64 - 1]
    assert [value for answer in answers for value in answer["values"]] == [{"x": 1.0}] * 3
    assert b'"values":[{"x": 1.0}' in await engine.handle(b'{"SH_LIST":{"key":"a","count":4}}')


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"count": 5}, 26),
        ({"key": "a"}, 26),
        ({"key": ["a"], "count": 5}, 41),
        ({"key": "a", "count": 0}, 42),
        ({"key": "a", "count": 4097}, 42),
        ({"key": "a", "count": -1}, 41),
        ({"key": "a", "count": 5, "after": -1}, 41),
        ({"key": "a", "count": 5, "after": None}, 41),
        ({"key": "a", "count": 5, "after": 2**64}, 41),
        ({"key": "a", "count": 5, "after": 2**64 - 1}, 1),
    ],
)
async def test_a_list_that_is_asked_for_wrongly_is_refused(ask: Asker, told: dict[str, object], status: int) -> None:
    assert await ask.status("SH_LIST", **told) == status


async def test_a_list_ends_before_the_answer_is_too_large() -> None:
    engine = Engine(MemoryStore(), limits=EngineLimits(answer=1000))
    for tkn in range(1, 11):
        await engine.handle(b'{"SH_NEW_SET":{"tkn":%d,"keys":{"a":"%b"}}}' % (tkn, b"x" * 298))
    answer = json.loads(await engine.handle(b'{"SH_LIST":{"key":"a","count":10}}'))["SH_LIST_RSP"]
    assert (answer["tkns"], answer["next"]) == ([1, 2, 3], 3)
