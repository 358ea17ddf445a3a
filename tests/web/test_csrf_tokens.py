"""CSRF tokens: bound to a session, and different each time."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndb_models.web.csrf import draw_csrf_token, is_csrf_token_of

TOKENS = st.integers(0, 2**64 - 1)


@given(TOKENS, TOKENS)
def test_a_token_is_of_its_own_session_alone(tkn: int, other: int) -> None:
    text = draw_csrf_token(tkn)
    assert is_csrf_token_of(tkn, text)
    assert is_csrf_token_of(other, text) == (tkn == other)


def test_no_byte_is_the_same_in_all_tokens_of_a_session() -> None:
    drawn = [base64.urlsafe_b64decode(draw_csrf_token(7)) for _ in range(40)]
    assert all(len(set(column)) > 1 for column in zip(*drawn, strict=True))


def test_a_token_can_stand_in_a_page_and_in_a_header() -> None:
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in draw_csrf_token(2**64 - 1))


@given(st.integers(0, 47), st.integers(1, 255))
def test_no_byte_of_a_token_can_be_changed(place: int, change: int) -> None:
    decoded = bytearray(base64.urlsafe_b64decode(draw_csrf_token(7)))
    decoded[place] ^= change
    assert not is_csrf_token_of(7, base64.urlsafe_b64encode(decoded).decode())


@given(st.none() | st.text() | st.text(min_size=64, max_size=64))
def test_any_other_text_is_no_token(text: str | None) -> None:
    assert not is_csrf_token_of(7, text)


@pytest.mark.parametrize("text", ["", "A" * 64, "A" * 63 + "=", "é" * 64, "A" * 10**6, "!" * 64])
def test_malformed_texts_are_no_tokens(text: str) -> None:
    assert not is_csrf_token_of(7, text)
