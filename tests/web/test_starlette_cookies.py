"""Cookies of Starlette's `SessionMiddleware` are read as it reads them."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from typing import Any, Final

import itsdangerous
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from ndb_models import InvalidArgumentError
from ndb_models.credentials import draw_credential
from ndb_models.web.adopting import OldSession, StarletteCookie

SECRET: Final = "correct horse battery staple"


def real_cookie(content: dict[str, Any], *, secret: str = SECRET, **options: Any) -> str:
    """Return the cookie that the real middleware sets."""
    sent: list[Message] = []

    async def fill(scope: Scope, receive: Receive, send: Send) -> None:
        Request(scope).session.update(content)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(SessionMiddleware(fill, secret, **options)(scope, receive, send))
    header = dict(sent[0]["headers"])[b"set-cookie"].decode()
    return str(header.partition("=")[2].partition(";")[0])


def signed(text: bytes, at: float, secret: str = SECRET) -> str:
    """Return a text as the middleware signs it, at a moment."""

    class Signer(itsdangerous.TimestampSigner):
        def get_timestamp(self) -> int:
            return int(at)

    return Signer(secret).sign(text).decode("latin-1")


def opened(value: str, cookie: StarletteCookie | None = None, now: float | None = None) -> OldSession | None:
    cookie = cookie or StarletteCookie(SECRET)
    line = f"{cookie.cookie}={value}".encode("latin-1", "replace")
    return cookie.opened([(b"cookie", line)], time.time() if now is None else now)


def test_a_cookie_of_the_real_middleware_is_read() -> None:
    content = {"user": {"id": 7, "näme": "Ada Ł"}, "cart": [1, 2.5, None, True], "big": "x" * 2000}
    old = opened(real_cookie(content))
    assert old is not None
    assert old.content == content
    assert old.seconds_left in range(14 * 86400 - 60, 14 * 86400 + 1)


def test_another_name_age_and_secret_are_those_of_the_middleware() -> None:
    value = real_cookie({"a": 1}, secret="other", session_cookie="app", max_age=None)
    cookie = StarletteCookie(SecretStr("other"), cookie="app", max_age=None)
    old = opened(value, cookie, now=time.time() + 10**9)
    assert old is not None
    assert old.seconds_left is None
    assert StarletteCookie("other").opened([(b"cookie", f"app={value}".encode())], time.time()) is None


def test_each_of_several_secrets_opens_what_it_signed() -> None:
    cookie = StarletteCookie(["new", SECRET, SecretStr("older")])
    for secret in ("new", SECRET, "older"):
        assert opened(real_cookie({"a": 1}, secret=secret), cookie) is not None
    assert opened(real_cookie({"a": 1}, secret="foreign"), cookie) is None


@pytest.mark.parametrize(("age", "is_read"), [(0, True), (60, True), (61, False), (10**6, False), (-1, False)])
def test_a_cookie_is_read_until_its_age(age: int, is_read: bool) -> None:
    now = 1_700_000_000.9
    value = signed(b64encode(b'{"a": 1}'), now - age)
    old = opened(value, StarletteCookie(SECRET, max_age=60), now)
    assert (old is not None) == is_read
    assert old is None or old.seconds_left == 60 - age


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"null", b"[]", b'[["a", 1]]', b'"a"', b"1", b"{}", b"\xff", b"[" * 100_000, b'{"a": ' * 100_000],
)
def test_content_that_is_no_session_is_none(text: bytes) -> None:
    now = time.time()
    assert opened(signed(b64encode(text), now), now=now) is None
    assert opened(signed(text, now), now=now) is None


def test_no_letter_of_a_cookie_can_be_changed() -> None:
    value = real_cookie({"user": "ada"})
    for place, letter in enumerate(value):
        for other in ("A", "b", ".", "=", "-", "é", ""):
            if other != letter:
                assert opened(value[:place] + other + value[place + 1 :]) is None


TEXTS: Final = st.text(max_size=20) | st.sampled_from(["null", ".", "..", "a.b.c", "...", "e30=.ZZZZ.ZZZZ"])


@given(TEXTS | st.tuples(TEXTS, st.integers(0, 2**33)).map(lambda made: signed(made[0].encode(), made[1])))
def test_what_is_read_is_what_the_middlewares_signer_takes(value: str) -> None:
    now = time.time()
    old = opened(value, now=now)
    try:
        taken: bytes | None = itsdangerous.TimestampSigner(SECRET).unsign(value.encode(), max_age=14 * 86400)
    except itsdangerous.BadSignature:
        taken = None
    assert old is None or taken is not None


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), min_size=1), st.integers(0, 14 * 86400)
)
def test_whatever_the_middleware_signs_is_read(content: dict[str, Any], age: int) -> None:
    now = 1_800_000_000.0
    old = opened(signed(b64encode(json.dumps(content).encode()), now - age), now=now)
    assert old is not None
    assert old.content == content


def test_of_several_cookies_of_one_name_the_last_genuine_one_counts() -> None:
    one, other = real_cookie({"user": "one"}), real_cookie({"user": "other"})
    cookie, now = StarletteCookie(SECRET), time.time()
    lines = [f"session={one}; session={other}", f"theme=dark; session={other}x;session=null"]
    old = cookie.opened([(b"accept", b"session=1"), *((b"cookie", line.encode()) for line in lines)], now)
    assert old is not None
    assert old.content == {"user": "other"}


def test_another_spelling_of_the_signature_has_the_same_digest() -> None:
    value = real_cookie({"user": "ada"})
    old, again = opened(value), opened(value)
    assert old is not None
    assert again is not None
    assert old.digest == again.digest
    for spelled in (value + "=", value + "==", value + "!", value[:-1] + chr(ord(value[-1]) + 1)):
        respelled = opened(spelled)
        assert respelled is None or respelled.digest == old.digest
    other = opened(real_cookie({"user": "eve"}))
    assert other is not None
    assert other.digest != old.digest


def test_a_sealed_credential_opens_with_the_same_cookie_alone() -> None:
    old, other = opened(real_cookie({"user": "ada"})), opened(real_cookie({"user": "eve"}))
    assert old is not None
    assert other is not None
    credential = draw_credential(2**64 - 1)
    sealed = old.seal(credential)
    assert old.unseal(sealed) == str(credential)
    assert other.unseal(sealed) != str(credential)
    assert str(credential) not in sealed
    assert old.seal(credential) != sealed


def test_neither_secret_nor_content_shows() -> None:
    old = opened(real_cookie({"user": "canary"}))
    assert "canary" not in repr(old)
    assert SECRET not in repr(StarletteCookie(SECRET))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((b"bytes",), {}),
        ((None,), {}),
        (("",), {}),
        (([],), {}),
        ((["a", ""],), {}),
        ((["a", 1],), {}),
        (("a",), {"max_age": 0}),
        (("a",), {"max_age": 1.5}),
        (("a",), {"max_age": True}),
        (("a",), {"cookie": "a;b"}),
        (("a",), {"cookie": "a=b"}),
        (("a",), {"cookie": ""}),
        (("a",), {"domain": "a\r\nset-cookie: b"}),
        (("a",), {"path": "/; secure"}),
    ],
)
def test_mistakes_are_refused_by_name(arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="StarletteCookie"):
        StarletteCookie(*arguments, **options)


def test_the_old_cookie_is_cleared_with_the_attributes_that_it_had() -> None:
    header = StarletteCookie("a", cookie="app", path="/x", same_site="none", https_only=True, domain="e.example")
    assert header.removing_header == (
        b"app=null; path=/x; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=none; secure; domain=e.example"
    )
