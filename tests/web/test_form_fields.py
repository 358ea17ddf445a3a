"""A field is found in the beginning of a form's body, in whatever pieces it comes."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from ndb_models.web.form_field import search_of

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = 'multipart/form-data; boundary="--x\'1"'


def found(content_type: str, chunks: list[bytes], limit: int = 65536) -> str | None:
    search = search_of(content_type, "csrf_token", limit)
    assert search is not None
    for number, chunk in enumerate(chunks, 1):
        assert not search.is_over
        value = search.feed(chunk, is_last=number == len(chunks))
        if value is not None:
            return value
    return None


def part(name: str, value: bytes, more: str = "") -> bytes:
    return b'----x\'1\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
        name.encode(),
        more.encode(),
        value,
    )


END: Final = b"----x'1--\r\n"


def in_pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)] or [b""]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "body",
    [b"csrf_token=a+b%26", b"x=1&csrf_token=a+b%26", b"csrf_token=a+b%26&x=1", b"csrf%5Ftoken=a%20b%26&x"],
)
def test_a_field_of_an_urlencoded_form_is_found(body: bytes, size: int) -> None:
    assert found(URLENCODED + "; charset=utf-8", in_pieces(body, size)) == "a b&"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_field_of_a_multipart_form_is_found(size: int) -> None:
    for body in (
        part("csrf_token", b"value") + END,
        part("x", b"1") + part("csrf_token", b"value") + part("y", b"2") + END,
        part("file", b"\0\r\n--", '; filename="a.bin"') + part("csrf_token", b"value") + END,
        b"preamble\r\n" + part("csrf_token", b"value") + END,
    ):
        assert found(MULTIPART, in_pieces(body, size)) == "value"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (URLENCODED, b""),
        (URLENCODED, b"token=1&csrf_tokens=2&xcsrf_token=3"),
        (URLENCODED, b"x=csrf_token=1"),
        (MULTIPART, b""),
        (MULTIPART, part("other", b"csrf_token") + END),
        (MULTIPART, part("csrf_token", b"a file", '; filename="a"') + END),
        (MULTIPART, part("x", b'Content-Disposition: form-data; name="csrf_token"') + END),
        (MULTIPART, part("x", b"1", '; filename="; name=\\"csrf_token\\""') + END),
        (MULTIPART, part("csrf_token", b"cut short")[:-9]),
        (MULTIPART, b"csrf_token=1"),
    ],
)
def test_anything_else_is_not_the_field(content_type: str, body: bytes) -> None:
    for size in (1, 1000):
        assert found(content_type, in_pieces(body, size)) is None


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "text/plain",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=",
    ],
)
def test_other_bodies_are_not_searched(content_type: str) -> None:
    assert search_of(content_type, "csrf_token") is None


def test_a_field_beyond_the_limit_is_not_found_and_the_search_is_over_by_then() -> None:
    assert found(URLENCODED, [b"x" * 90 + b"&csrf_token=1"], limit=100) is None
    search = search_of(URLENCODED, "csrf_token", 100)
    assert search is not None
    assert search.feed(b"x" * 100, is_last=False) is None
    assert search.is_over
    assert search.feed(b"&csrf_token=1", is_last=True) is None


def test_a_field_cut_by_the_limit_is_not_found() -> None:
    assert found(URLENCODED, [b"csrf_token=" + b"a" * 100], limit=50) is None


def test_single_bytes_cost_no_more_than_their_number() -> None:
    started = time.process_time()
    assert found(MULTIPART, [b"-"] * 65535, limit=65536) is None
    assert time.process_time() - started < 2


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=20)), max_size=5), st.integers(1, 50))
def test_an_urlencoded_field_is_read_as_forms_are(others: list[tuple[str, str]], size: int) -> None:
    pairs = [*((name, value) for name, value in others if name != "csrf_token"), ("csrf_token", "wanted&=%+ ")]
    assert found(URLENCODED, in_pieces(urlencode(pairs).encode(), size)) == "wanted&=%+ "


@given(st.binary(max_size=300), st.integers(1, 50), st.sampled_from([URLENCODED, MULTIPART]))
def test_any_bytes_are_searched_without_an_error(body: bytes, size: int, content_type: str) -> None:
    search = search_of(content_type, "csrf_token", 200)
    assert search is not None
    for chunk in in_pieces(body, size):
        search.feed(chunk, is_last=False)
    search.feed(b"", is_last=True)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "csrf_token"]), st.binary(max_size=20)), max_size=4),
    st.integers(1, 60),
)
async def test_the_search_and_the_framework_read_the_same_field(fields: list[tuple[str, bytes]], size: int) -> None:
    body = b"".join(part(name, value.replace(b"-", b"")) for name, value in fields) + END

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", MULTIPART.encode())]}
    form = await Request(scope, receive).form()
    first = next((value for name, value in form.multi_items() if name == "csrf_token"), None)
    value = found(MULTIPART, in_pieces(body, size))
    assert (value is None) == (first is None)
    if value is not None and value.isascii():
        assert value == first
