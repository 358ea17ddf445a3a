"""Members that are picked again and again are the same as those that are picked once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndb_models.json_text import ObjectText
from ndb_models.stores.member_picking import MemberPicker

OFTEN = 40

NAMES = st.one_of(st.text(max_size=4), st.sampled_from(["a", "b", "a b", "", "visits", "__ndb__", 'b"x', "é", "\\"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


def pick_often(text: bytes, names: tuple[str, ...]) -> ObjectText:
    picker, keys = MemberPicker(), ObjectText(text)
    for _ in range(OFTEN):
        picker.pick(keys, names)
    return picker.pick(keys, names)


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.lists(NAMES, max_size=5))
def test_they_are_those_of_one_pick(members: dict[str, object], names: list[str]) -> None:
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    picked = pick_often(text, tuple(names))
    assert picked.text == ObjectText(text).chosen(tuple(names)).text
    assert picked.names == tuple(name for name in dict.fromkeys(names) if name in members)


@pytest.mark.parametrize(
    "names",
    [
        tuple(f"name{number}" for number in range(500)),
        ("a" * 100_000, "b"),
        ("\ud800", "b"),
        ("a\nb", "b"),
        ("b", "b"),
    ],
)
def test_odd_names_are_picked_too(names: tuple[str, ...]) -> None:
    assert pick_often(b'{"b":1,"c":2}', names).text == (b'{"b":1}' if "b" in names else b"{}")


def test_one_picker_serves_more_names_than_it_remembers() -> None:
    picker, keys = MemberPicker(), ObjectText(b'{"a":1,"b":2}')
    for number in range(2_000):
        for names in (("a", f"other{number}"), ("b", "a")):
            assert picker.pick(keys, names).text == keys.chosen(names).text


def test_a_picked_text_is_taken_apart_like_any() -> None:
    picked = pick_often(b'{"a":[1,{"c":2}],"b":2,"c":"x"}', ("c", "a"))
    assert dict(picked) == {"c": b'"x"', "a": b'[1,{"c":2}]'}
    assert len(picked) == 2
