"""Whatever comes in: every value comes back as it went in, and every frame is answered once, in order."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ndb_models.engine import Engine
from ndb_models.protocol.commands import COMMANDS
from ndb_models.stores.memory import MemoryStore
from tests.engine.asking import Asker

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
WAYS_TO_WRITE = st.sampled_from([(None, True), (None, False), (2, False)])
PATHS = st.lists(
    st.sampled_from(
        [
            *(
                "@",
                ".",
                "..",
                "[",
                "]",
                "*",
                "?",
                "(",
                ")",
                '"',
                "'",
                "a",
                "b",
                "length",
                "count",
                "value",
                "match",
                "search",
            ),
            *("0", "-1", "1e5", "1.5", "1e400", "==", "<", "&&", "||", "!", ",", ":", " ", "\\", "\\u0041", "\\ud800"),
            *("true", "null", "é", "😀", "\0", "@.a", "$.b", "['a']", "[0]", "[?", "[*]", "[0:2:1]", "[::-1]"),
        ]
    ),
    max_size=9,
).map(lambda tokens: "$" + "".join(tokens))
PARAMETERS = st.dictionaries(
    st.sampled_from(["keys", "tkn", "tkns", "path", "rsp", "key", "value", "items", "name", "expiry"]),
    VALUES,
    max_size=5,
)
FRAMES = st.one_of(
    st.binary(max_size=200),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.tuples(st.sampled_from(list(COMMANDS)), PARAMETERS | VALUES).map(lambda pair: json.dumps(dict([pair])).encode()),
    st.text(st.sampled_from('[]{}",:\\u0123dKV_SET e-.\n'), max_size=60).map(str.encode),
    st.tuples(st.sampled_from(list(COMMANDS)), TEXTS).map(lambda pair: f'{{"{pair[0]}":{{{pair[1]}}}}}'.encode()),
)

# Requests fail in no other way than by their status: a handler's own fault would be logged.
quiet = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def stocked() -> Asker:
    """Ask an engine that has something in it, and no persist path."""
    ask = Asker(Engine(MemoryStore()))
    await ask(
        "KV_SET", keys={"a": {"a": [1, {"a": "x"}], "b": [[1.5]]}, "b": [1, "text", None], "c": "text", "d": 10**40}
    )
    return ask


@pytest.mark.slow
@given(value=VALUES, name=TEXTS, way=WAYS_TO_WRITE)
async def test_any_value_is_read_back_as_the_text_that_was_set(
    value: object, name: str, way: tuple[int | None, bool]
) -> None:
    indent, ascii_only = way
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    ask = Asker(Engine(MemoryStore()))
    await ask.write(name, text)
    assert await ask.text(name) == text
    assert json.loads(await ask.text(name)) == value


@pytest.mark.slow
@given(value=VALUES, name=TEXTS)
async def test_any_value_is_read_back_from_a_session(value: object, name: str) -> None:
    ask = Asker(Engine(MemoryStore()))
    token = await ask.new(duration=60)
    await ask("SH_SET", tkn=token, keys={name: value})
    assert (await ask("SH_GET", tkn=token, keys=[name]))["keys"] == {name: value}


@pytest.mark.slow
@quiet
@given(frames=st.lists(FRAMES, min_size=1, max_size=4))
@example(frames=[b'{"KV_SET":5,"KV_SET":{"keys":{"a":1}}}'])
async def test_any_bytes_get_one_answer_with_a_status(frames: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    ask = await stocked()
    for frame in frames:
        await ask.frame(frame)
    assert not caplog.records


@pytest.mark.slow
@quiet
@given(path=PATHS, value=VALUES)
@example(path="$[0:2]", value=0)
@example(path="$[1e5]", value=0)
@example(path="$[?@ == 1e400]", value=0)
async def test_any_path_is_either_followed_or_refused(
    path: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    ask = await stocked()
    before = await ask.shared()
    found = await ask("KV_FIND", path=path, rsp="paths")
    assert found["st"] in (1, 4)
    for name in before:
        updated = await ask("KV_UPDATE", key=name, path=path, value=value)
        assert updated["st"] == found["st"]
    if not found.get("paths"):
        assert await ask.shared() == before
    assert not caplog.records
