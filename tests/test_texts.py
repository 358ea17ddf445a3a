"""JSON objects as text: whole, in members, and what may stay one text."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndb_models.json_text import ObjectText, before_last, members_as_decoded, members_of, split_members, taking_apart

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(NAMES, values, max_size=3),
    max_leaves=5,
)
SPACES = st.text(" \n\t", max_size=1)


@st.composite
def objects(draw: st.DrawFn) -> str:
    """Texts of objects as anybody may write them: with spaces, escapes and repeated names."""
    members = [
        f"{draw(SPACES)}{json.dumps(name, ensure_ascii=draw(st.booleans()))}{draw(SPACES)}:{json.dumps(value)}"
        for name, value in draw(st.lists(st.tuples(st.sampled_from(["a", "b", "é"]) | NAMES, VALUES), max_size=4))
    ]
    return "{" + ",".join(members) + draw(SPACES) + "}"


@given(objects())
def test_members_are_those_that_a_parser_sees(text: str) -> None:
    members = members_of(text.encode())
    assert {name: json.loads(value) for name, value in members.items()} == json.loads(text)


@given(objects())
def test_what_stays_one_text_names_each_member_once(text: str) -> None:
    members = members_of(text.encode())
    if isinstance(members, ObjectText):
        pairs = json.loads(members.text, object_pairs_hook=list)
        assert [name for name, _ in pairs] == list(members.names) == list(dict.fromkeys(members.names))


@given(
    objects() | st.dictionaries(NAMES, VALUES, max_size=4).map(lambda members: msgspec.json.encode(members).decode())
)
def test_who_has_decoded_a_text_gets_the_same_members(text: str) -> None:
    members = members_as_decoded(text.encode(), msgspec.json.decode(text))
    assert dict(members) == dict(members_of(text.encode()))
    if isinstance(members, ObjectText):
        assert members.text == text.encode()
        assert members.names == tuple(members.split())


@pytest.mark.parametrize("text", [b'{"a":18446744073709551616}', b'{"a":1e400}', b'{"a":1.0,"b":1}', b'{"a":1,"a":1}'])
def test_a_text_that_is_encoded_otherwise_has_its_own_members(text: bytes) -> None:
    members = members_as_decoded(text, json.loads(text))
    assert dict(members) == dict(members_of(text))


def test_the_shortest_text_stays_one() -> None:
    text = b'{"a":[1, 2],"b":"x"}'
    members = members_of(text)
    assert isinstance(members, ObjectText)
    assert members.text == text


@pytest.mark.parametrize("text", [b'{"a":1, "b":2}', b'{"a":1,"a":2}', b'{"\\u0061":1}', '{"é":1}'.encode(), b"{}"])
def test_any_other_does_not(text: bytes) -> None:
    assert not isinstance(members_of(text), ObjectText)


@given(st.dictionaries(NAMES, VALUES, max_size=4), VALUES)
def test_a_member_put_last_is_taken_off_again(members: dict[str, object], value: object) -> None:
    texts = {name: json.dumps(each).encode() for name, each in members.items() if name != "last"}
    whole = ObjectText.joined(texts).with_last("last", json.dumps(value).encode())
    assert json.loads(whole.text) == {**{n: members[n] for n in texts}, "last": value}
    assert whole.names == (*texts, "last")
    if texts:
        rest, last = before_last(whole.text, b',"last":') or (b"", b"")
        assert (split_members(rest), json.loads(last)) == (texts, value)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_what_is_taken_off_and_is_json_was_the_last_member(members: dict[str, object]) -> None:
    """Whatever the values hold: the start of the last member too, in a string or deeper."""
    tricky = {"first": ',"last":1}', "deep": {"x": {"a": 1, "last": 2}}, **members}
    text = json.dumps(tricky, separators=(",", ":"), ensure_ascii=False).encode()
    parts = before_last(text, b',"last":')
    if parts is not None:
        try:
            json.loads(parts[1])
        except ValueError:
            return
        assert list(tricky)[-1] == "last"
        assert json.loads(parts[0]) == {name: value for name, value in tricky.items() if name != "last"}


def test_it_is_a_mapping() -> None:
    text = ObjectText(b'{"a":1,"b":2}')
    assert text == {"a": b"1", "b": b"2"}
    assert (len(text), list(text), text["b"], text.get("c"), "a" in text) == (2, ["a", "b"], b"2", None, True)
    assert repr(text) == "<ObjectText of 13 bytes>"


@pytest.mark.parametrize("count", [0, 1, 4096, 4097, 9000])
def test_however_many_members_there_are_each_is_there_and_a_long_split_can_be_interrupted(count: int) -> None:
    expected = {f"name{number}": b"%d" % number for number in range(count)}
    text = json.dumps({name: int(value) for name, value in expected.items()}, separators=(",", ":")).encode()
    assert dict(members_of(text)) == expected
    pauses, members = finished(taking_apart(text))
    assert dict(members) == expected
    assert pauses == (1 if count <= 4096 else 1 + -(-count // 4096))


def finished(work: Generator[None, None, Mapping[str, bytes]]) -> tuple[int, Mapping[str, bytes]]:
    """Do the work; return how often it paused, and its result."""
    pauses = 0
    while True:
        try:
            next(work)
        except StopIteration as done:
            return pauses, done.value
        pauses += 1


def test_the_last_member_is_chosen_as_well_from_texts_that_hold_its_name_elsewhere() -> None:
    nested = {"n": 1, "last": {"x": 1, "last": 2}}
    quoted = {'a":1,"last': 1, "text": ',"last":3', "last": [1, ',"last":4', {"b": 0, "last": 5}]}
    for members in ({"last": 1}, {"x": 1, "last": 2}, nested, quoted, {"ü": 1, "é": {"": 1, "é": 2}}):
        whole = ObjectText.joined({name: msgspec.json.encode(value) for name, value in members.items()})
        name = whole.names[-1]
        chosen = whole.chosen((name,))
        assert dict(chosen) == {name: msgspec.json.encode(members[name])}
        assert chosen.text == msgspec.json.encode({name: members[name]})
        assert ObjectText(whole.text).chosen((name,)).text == chosen.text
