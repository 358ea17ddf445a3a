"""Which requests may come from where: decided from the head of the request alone."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndb_models import InvalidArgumentError
from ndb_models.web.csrf import CsrfCheck, CsrfVerdict, RequestHead, reason_of_refusal
from ndb_models.web.origins import normal_origin, trusted

ALLOWED, REFUSED, NEEDS_TOKEN = CsrfVerdict.ALLOWED, CsrfVerdict.REFUSED, CsrfVerdict.NEEDS_TOKEN
SHOP: Final = RequestHead("POST", "https", "shop.example", None, None)


def verdict(
    *,
    check: CsrfCheck | None = None,
    method: str | None = "POST",
    scheme: str = "https",
    host: str | None = "shop.example",
    origin: str | None = None,
    fetch_site: str | None = None,
) -> CsrfVerdict:
    return (check or CsrfCheck()).verdict(RequestHead(method, scheme, host, origin, fetch_site))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "get"])
def test_methods_that_change_nothing_may_come_from_anywhere(method: str) -> None:
    assert verdict(method=method, origin="https://evil.example", fetch_site="cross-site") is ALLOWED


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY", "PROPFIND", "post", "", None])
def test_all_others_and_websockets_are_refused_to_another_site(method: str | None) -> None:
    assert verdict(method=method, origin="https://evil.example", fetch_site="cross-site") is REFUSED
    assert verdict(method=method, origin="https://evil.example") is REFUSED


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_what_the_browser_calls_our_own_passes(site: str) -> None:
    assert verdict(fetch_site=site) is ALLOWED
    # With `Referrer-Policy: no-referrer`, browsers send no origin in forms of our own pages.
    assert verdict(fetch_site=site, origin="null") is ALLOWED
    # Behind a proxy that ends TLS, the server may take the wrong origin for its own.
    assert verdict(fetch_site=site, scheme="http", origin="https://shop.example") is ALLOWED


@pytest.mark.parametrize(
    "site", ["cross-site", "same-site", "", "Same-Origin", "same-origin, cross-site", "same-origin,same-origin", "new"]
)
def test_any_other_site_needs_an_origin_that_is_ours(site: str) -> None:
    assert verdict(fetch_site=site) is REFUSED
    assert verdict(fetch_site=site, origin="null") is REFUSED
    assert verdict(fetch_site=site, origin="https://other.shop.example") is REFUSED
    assert verdict(fetch_site=site, origin="https://shop.example") is ALLOWED


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("https", "shop.example", "https://shop.example"),
        ("https", "shop.example", "https://shop.example:443"),
        ("https", "shop.example:443", "https://shop.example"),
        ("https", "SHOP.Example", "https://shop.example"),
        ("http", "shop.example:80", "http://shop.example"),
        ("http", "shop.example:8000", "http://shop.example:8000"),
        ("https", "xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http", "127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http", "[::1]:8000", "http://[::1]:8000"),
        ("http", "[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000"),
        ("wss", "shop.example", "https://shop.example"),
        ("ws", "shop.example:8000", "http://shop.example:8000"),
        ("https", "shop.example.", "https://shop.example."),
    ],
)
def test_an_origin_is_ours_by_scheme_host_and_port(scheme: str, host: str, origin: str) -> None:
    assert verdict(scheme=scheme, host=host, origin=origin) is ALLOWED


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("https", "shop.example", "http://shop.example"),
        ("http", "shop.example", "https://shop.example"),
        ("https", "shop.example", "https://shop.example:8443"),
        ("https", "shop.example:8443", "https://shop.example"),
        ("https", "shop.example", "https://shop.example.evil.example"),
        ("https", "shop.example", "https://evil-shop.example"),
        ("https", "shop.example", "https://www.shop.example"),
        ("https", "shop.example", "https://shop.example."),
        ("https", "shop.example", "https://shop.example@evil.example"),
        ("https", "shop.example", "https://evil.example/https://shop.example"),
        ("https", "shop.example", "https://shop.example/"),
        ("https", "shop.example", "https://shop.example, https://shop.example"),
        ("https", "shop.example", " https://shop.example"),
        ("https", "shop.example", "https://shop.example:99999"),
        ("https", "shop.example", "shop.example"),
        ("https", "shop.example", ""),
        ("https", "shop.example", "null"),
        ("https", "shop.example", "file://"),
        ("https", "shop.example", "https://shop\u017f.example"),  # a letter whose upper case is S
        ("https", None, "https://shop.example"),
        ("https", "", "https://"),
        ("https", "shop.example, shop.example", "https://shop.example"),
        ("http", "[::1", "http://[::1]"),
        ("http", "[::g]", "http://[::g]"),
    ],
)
def test_any_other_origin_is_refused(scheme: str, host: str | None, origin: str) -> None:
    assert verdict(scheme=scheme, host=host, origin=origin) is REFUSED


def test_a_request_that_says_nothing_passes_unless_tokens_are_asked_for() -> None:
    assert verdict() is ALLOWED
    assert verdict(check=CsrfCheck("token")) is NEEDS_TOKEN
    assert verdict(check=CsrfCheck("token"), method="GET") is ALLOWED


def test_where_tokens_are_asked_for_an_unknown_origin_of_an_old_browser_may_show_one() -> None:
    assert verdict(check=CsrfCheck("token"), origin="null") is NEEDS_TOKEN
    assert verdict(origin="null") is REFUSED


def test_no_token_helps_where_the_browser_names_another_site() -> None:
    check = CsrfCheck("token")
    assert verdict(check=check, origin="https://evil.example") is REFUSED
    assert verdict(check=check, fetch_site="cross-site") is REFUSED
    assert verdict(check=check, fetch_site="cross-site", origin="null") is REFUSED
    assert verdict(check=check, fetch_site="same-origin") is ALLOWED


def test_a_trusted_origin_passes_whatever_the_browser_calls_it() -> None:
    check = CsrfCheck(trusted_origins=["https://app.example", "http://localhost:5173/", "capacitor://localhost"])
    for origin in ("https://app.example", "http://localhost:5173", "capacitor://localhost"):
        assert verdict(check=check, origin=origin) is ALLOWED
        assert verdict(check=check, origin=origin, fetch_site="cross-site") is ALLOWED
        assert verdict(check=check, method=None, scheme="wss", origin=origin) is ALLOWED
    for origin in ("http://app.example", "https://app.example:8443", "http://localhost", "https://x.app.example"):
        assert verdict(check=check, origin=origin, fetch_site="cross-site") is REFUSED


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://APP.example", "https://app.example"),
        ("HTTPS://app.example:443/", "https://app.example"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("https://例え.example:8443", "https://xn--r8jz45g.example:8443"),
        ("http://[0:0::1]:80", "http://[::1]"),
    ],
)
def test_a_trusted_origin_may_be_written_as_people_write_it(written: str, sent: str) -> None:
    assert verdict(check=CsrfCheck(trusted_origins=[written]), origin=sent) is ALLOWED


@pytest.mark.parametrize(
    "written",
    [
        "",
        "*",
        "null",
        "app.example",
        "https://*.example",
        "https://app.example/path",
        "https://app.example?x",
        "https://user@app.example",
        "https://app.example:port",
        "https://app.example:70000",
        "https://straße.example",  # browsers and Python disagree on its ASCII form
        "https://" + "ü" * 300 + ".example",
        "//app.example",
        None,
        5,
    ],
)
def test_what_cannot_be_trusted_is_refused_by_name(written: str) -> None:
    with pytest.raises(InvalidArgumentError, match="trusted_origins="):
        CsrfCheck(trusted_origins=[written])


def test_a_single_text_is_no_list_of_origins() -> None:
    with pytest.raises(InvalidArgumentError, match="list of origins"):
        CsrfCheck(trusted_origins="https://app.example")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="csrf="):
        CsrfCheck("tokens")  # type: ignore[arg-type]  # the mistake


def test_without_the_check_everything_passes() -> None:
    assert verdict(check=CsrfCheck(mode=False), origin="https://evil.example", fetch_site="cross-site") is ALLOWED


def test_the_reason_says_what_to_do() -> None:
    foreign = reason_of_refusal(SHOP._replace(origin="https://app.example"))
    assert re.search(r"https://app\.example.*https://shop\.example:443.*trusted_origins=", foreign)
    behind_a_proxy = reason_of_refusal(SHOP._replace(scheme="http", origin="https://shop.example"))
    assert "proxy" in behind_a_proxy
    assert "Sec-Fetch-Site: 'cross-site'" in reason_of_refusal(SHOP._replace(fetch_site="cross-site"))
    assert len(reason_of_refusal(SHOP._replace(origin="x" * 100_000))) < 1000


HEADERS: Final = (
    st.none()
    | st.text(max_size=30)
    | st.sampled_from(
        ["null", "none", "same-origin", "cross-site", "https://shop.example", "https://app.example", "shop.example"]
    )
)


@given(st.sampled_from(["POST", None]), st.sampled_from(["http", "https", "ws", "wss"]), HEADERS, HEADERS, HEADERS)
def test_only_our_own_origin_a_trusted_one_or_silence_passes_any_headers(
    method: str | None, scheme: str, host: str | None, origin: str | None, site: str | None
) -> None:
    head = RequestHead(method, scheme, host, origin, site)
    passes = CsrfCheck(trusted_origins=["https://app.example"]).verdict(head) is ALLOWED
    assert isinstance(reason_of_refusal(head), str)
    ours = {normal_origin(f"{'https' if scheme in ('https', 'wss') else 'http'}://{host}"), "https://app.example:443"}
    is_ours = origin is not None and normal_origin(origin) in ours - {None}
    says_nothing = origin is None and site is None
    assert passes == (site in {"same-origin", "none"} or says_nothing or is_ours)


@given(st.text(max_size=60) | st.from_regex(r"[a-z]{1,5}://[a-z.]{1,9}(:[0-9]{1,5})?", fullmatch=True))
def test_the_normal_form_of_an_origin_is_its_own_normal_form(text: str) -> None:
    normal = normal_origin(text)
    if normal is not None and not normal.endswith(":0"):
        assert normal_origin(normal) == normal
        assert trusted([normal]) == {normal}
