"""The commands that a NemesisDB does not have: what they are told, and what they answer."""

from __future__ import annotations

import json

import pytest

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
