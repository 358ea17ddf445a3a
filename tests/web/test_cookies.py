"""The cookie of a session, without I/O."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ndb_models import InvalidArgumentError
from ndb_models.web import CookieSettings
from ndb_models.web.answers import with_cookie_headers
from ndb_models.web.cookies import shown_cookie

NAME = b"__Host-session"


def shown(*lines: bytes) -> tuple[str | None, bool]:
    return shown_cookie([(b"host", b"shop.example"), *((b"cookie", line) for line in lines)], NAME)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([b"__Host-session=abc"], "abc"),
        ([b"a=1; __Host-session=abc; b=2"], "abc"),
        ([b"a=1;__Host-session=abc;b=2"], "abc"),
        ([b"a=1", b"__Host-session=abc", b"b=2"], "abc"),
        ([b" \t__Host-session \t= \tabc\t "], "abc"),
        ([b"__Host-session=a=b=="], "a=b=="),
        ([b'__Host-session="abc"'], '"abc"'),
        ([b"__Host-session="], ""),
        ([b"__Host-session=abc; __Host-session=abc"], "abc"),
        ([b"__Host-session=\xff\xfe"], "\xff\xfe"),
        ([b";;; ;=; =x; __Host-session=abc"], "abc"),
    ],
)
def test_a_cookie_is_found_wherever_it_stands(lines: list[bytes], text: str) -> None:
    assert shown(*lines) == (text, True)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b""],
        [b"a=1"],
        [b"__Host-session"],
        [b"x__Host-session=abc"],
        [b"__Host-sessions=abc"],
        [b"a=__Host-session"],
    ],
)
def test_what_only_looks_like_the_cookie_is_none(lines: list[bytes]) -> None:
    assert shown(*lines) == (None, False)


@pytest.mark.parametrize(
    "lines", [[b"__Host-session=abc; __Host-session=abd"], [b"__Host-session=abc", b"__Host-session=abd"]]
)
def test_of_different_cookies_of_one_name_none_is_trusted(lines: list[bytes]) -> None:
    assert shown(*lines) == (None, True)


def test_a_huge_header_is_read_in_a_moment() -> None:
    begun = time.process_time()
    assert shown(b"a=1; " * 20_000, b"__Host-session;" * 10_000, b"=;" * 50_000, b"__Host-session=abc") == ("abc", True)
    assert time.process_time() - begun < 2


def test_a_cookie_is_written_with_all_its_attributes() -> None:
    assert CookieSettings().header("abc", 60) == (
        b"__Host-session=abc; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Lax"
    )
    assert CookieSettings(same_site="none", partitioned=True).header("abc", None) == (
        b"__Host-session=abc; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"
    )
    assert CookieSettings(name="__Secure-s", path="/shop", same_site="strict").header("abc", None) == (
        b"__Secure-s=abc; Path=/shop; HttpOnly; Secure; SameSite=Strict"
    )


def test_a_cookie_is_removed_with_the_attributes_that_it_was_set_with() -> None:
    settings = CookieSettings(partitioned=True)
    assert (
        settings.clearing_header == b"__Host-session=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax; Partitioned"
    )


@pytest.mark.parametrize("name", ["__Host-session", "__Secure-session", "session"])
def test_in_development_the_cookie_needs_no_tls(name: str) -> None:
    settings = CookieSettings(name=name, same_site="none", partitioned=True).in_development
    assert settings.header("abc", 60) == b"session=abc; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"name": "a b"}, "the name of a cookie"),
        ({"name": ""}, "the name of a cookie"),
        ({"name": "a;b"}, "the name of a cookie"),
        ({"name": "s\n"}, "the name of a cookie"),
        ({"name": 7}, "the name of a cookie"),
        ({"path": "shop"}, "the path of a cookie"),
        ({"name": "s", "path": "/a; Domain=x"}, "the path of a cookie"),
        ({"name": "s", "path": "/a\r\nSet-Cookie: b=c"}, "the path of a cookie"),
        ({"path": "/shop"}, "path='/'"),
        ({"secure": False}, "secure=True"),
        ({"name": "__Secure-s", "secure": False}, "secure=True"),
        ({"name": "s", "secure": False, "same_site": "none"}, "secure=True"),
        ({"name": "s", "secure": False, "partitioned": True}, "secure=True"),
        ({"same_site": "Lax"}, "same_site="),
        ({"secure": "yes"}, "secure="),
        ({"partitioned": 1}, "partitioned="),
    ],
)
def test_settings_that_browsers_would_refuse_are_refused_first(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        CookieSettings(**options)
    assert reason in str(refused.value)


def headers(
    *given: tuple[bytes, bytes], set_cookie: bytes | None = None, private: bool = True
) -> list[tuple[bytes, bytes]]:
    return with_cookie_headers(given, set_cookie, is_private=private)


def test_an_answer_that_depends_on_a_session_says_so_to_caches() -> None:
    assert headers() == [(b"vary", b"Cookie"), (b"cache-control", b"private")]
    assert headers(private=False) == [(b"vary", b"Cookie")]


@pytest.mark.parametrize("vary", [b"Cookie", b"cookie", b"*", b"Accept-Encoding, Cookie"])
def test_what_the_application_said_to_caches_is_not_said_twice(vary: bytes) -> None:
    given = [(b"vary", vary), (b"cache-control", b"no-store")]
    assert headers(*given) == given


def test_a_vary_of_the_application_stays() -> None:
    assert headers((b"vary", b"Accept"), private=False) == [(b"vary", b"Accept"), (b"vary", b"Cookie")]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        (b"public, max-age=60", b"max-age=60, private"),
        (b"Public, s-maxage=60", b"private"),
        (b"no-store", b"no-store"),
        (b"private, max-age=5", b"private, max-age=5"),
        (b"max-age=5", b"max-age=5, private"),
    ],
)
def test_no_shared_cache_keeps_an_answer_that_sets_a_cookie(said: bytes, sent: bytes) -> None:
    assert (b"cache-control", sent) in headers((b"cache-control", said), set_cookie=b"a=b")
    assert (b"cache-control", said) in headers((b"cache-control", said))
