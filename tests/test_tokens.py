"""A token as text has one spelling, and anything else is none, without an error."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndb_models import InvalidArgumentError, format_token, parse_token

TOKENS = st.integers(min_value=0, max_value=2**64 - 1)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(TOKENS)
def test_a_token_comes_back_from_its_text(tkn: int) -> None:
    text = format_token(tkn)
    assert parse_token(text) == tkn
    assert type(parse_token(text)) is int


@given(TOKENS)
def test_the_text_goes_everywhere_as_it_is(tkn: int) -> None:
    text = format_token(tkn)
    assert len(text) <= 22
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert quote(text, safe="") == text
    assert json.loads(json.dumps(text)) == text


@given(st.text(ALPHABET, min_size=11, max_size=11))
def test_each_token_has_one_spelling(text: str) -> None:
    tkn = parse_token(text)
    assert tkn is None or format_token(tkn) == text


def test_the_rest_of_the_last_character_must_be_nothing() -> None:
    text = format_token(2**64 - 1)
    assert text == "_" * 10 + "8"
    assert [parse_token(text[:-1] + last) for last in "9-_"] == [None, None, None]


@given(TOKENS, st.sampled_from([" ", "\n", "=", "+", "/", "\0", "\u0661", "\ud800", "A"]), st.integers(0, 11))
def test_nothing_is_passed_over(tkn: int, extra: str, at: int) -> None:
    text = format_token(tkn)
    assert parse_token(text[:at] + extra + text[at:]) is None


@given(TOKENS, st.sampled_from([" ", "\n", "=", "+", "/", "\0", "\u0661", "\ud800", "\uff21"]), st.integers(0, 10))
def test_no_other_character_stands_for_one(tkn: int, other: str, at: int) -> None:
    text = format_token(tkn)
    assert parse_token(text[:at] + other + text[at + 1 :]) is None


@given(st.text() | st.binary() | st.integers() | st.floats() | st.none() | st.booleans())
def test_reading_never_raises(given_text: Any) -> None:
    tkn = parse_token(given_text)
    assert tkn is None or format_token(tkn) == given_text


@pytest.mark.parametrize(
    "text",
    ["", "abc", "1", "01", "+1", " 1", "-1", "0", str(2**64), "9" * 5000, "A" * 22, "A" * 12, "A" * 10, "AAAAAAAAAAA=",
     "\u0661" * 11, "\ud800" * 11, "é" * 11, None, b"AAAAAAAAAAA", 7, 16204359010587816757, 1.5, [], {}, object()],
)  # fmt: skip
def test_what_is_none_is_none(text: Any) -> None:
    assert parse_token(text) is None


@pytest.mark.parametrize("tkn", [-1, 2**64, "1", "AAAAAAAAAAA", None, True, 1.0, b"1"])
def test_what_is_no_token_has_no_text(tkn: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="64-bit") as refused:
        format_token(tkn)
    assert refused.value.__cause__ is None
    assert "18446744073709551616" not in str(refused.value)
