"""The rules of the audit: what each setting means for the requirements of OWASP and NIST."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ndb_models import Expiry, InvalidArgumentError
from ndb_models.web.audit import RULE_NAMES, audit
from ndb_models.web.audited import (
    Aal,
    AuditedSettings,
    CorsSettings,
    Finding,
    Verdict,
    most_bits,
    store_settings,
)

DAYS_30 = Expiry(idle=timedelta(days=7), absolute=timedelta(days=30))
DAY = Expiry(idle=timedelta(hours=1), absolute=timedelta(hours=24))
SHIFT = Expiry(idle=timedelta(minutes=15), absolute=timedelta(hours=12))

GOOD = AuditedSettings(
    place="app",
    model="UserSession",
    expiry=SHIFT,
    short=SHIFT,
    principals=("user_id", "role"),
    user_lookup="user_id",
    user_limit=5,
    is_tracked=True,
    csrf="token",
    renew_every=timedelta(hours=1),
    store=store_settings("sqlite:///sessions.db"),
)


def found(aal: Aal = 1, accept: tuple[str, ...] = (), **changes: Any) -> dict[str, Finding]:
    return {finding.rule: finding for finding in audit(replace(GOOD, **changes), aal=aal, accept=accept)}


def verdicts(aal: Aal = 1, **changes: Any) -> dict[str, str]:
    """Return the verdicts that are not `met`, by rule."""
    return {rule: str(each.verdict) for rule, each in found(aal, **changes).items() if each.verdict != Verdict.MET}


@pytest.mark.parametrize("aal", [1, 2, 3])
def test_careful_settings_break_nothing_at_any_level(aal: Aal) -> None:
    assert verdicts(aal) == {}


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("development", {"is_development": True}),
    ("secure", {"is_secure": False}),
    ("host-prefix", {"cookie_name": "session"}),
    ("host-prefix", {"cookie_name": "__Secure-session"}),
    ("same-site", {"same_site": "none"}),
    ("cookie-size", {"cookie_name": "__Host-" + "n" * 4050}),
    ("cookie-scope", {"same_cookie": ("app/admin",)}),
    ("absolute", {"expiry": None}),
    ("absolute", {"expiry": Expiry(idle=60)}),
    ("absolute", {"expiry": Expiry(idle=60, absolute=timedelta(days=30, seconds=1))}),
    ("idle", {"expiry": None, "short": None}),
    ("idle", {"expiry": Expiry(absolute=60), "short": None}),
    ("renewal", {"principals": ()}),
    ("grace", {"grace": timedelta(seconds=61)}),
    ("all-sessions", {"user_lookup": None}),
    ("devices", {"is_tracked": False}),
    ("csrf", {"csrf": "off"}),
    ("trusted-origins", {"trusted_origins": ("http://shop.example.org",)}),
    ("trusted-origins", {"trusted_origins": ("https://shop.example.org", "https://*.example.org")}),
    ("trusted-origins", {"trusted_origins": ("*",)}),
    ("trusted-origins", {"trusted_origins": ("null",)}),
    ("cors", {"cors": (CorsSettings(("*",), None, True),)}),
    ("cors", {"cors": (CorsSettings(), CorsSettings(("null",), None, True))}),
    ("cors", {"cors": (CorsSettings(("http://shop.example.org",), None, True),)}),
    ("cors", {"cors": (CorsSettings((), ".*", True),)}),
    ("cors", {"cors": (CorsSettings((), "https?://.*", True),)}),
    ("adopted", {"adopted_bits": 64}),
    ("store-link", {"store": store_settings("ws://sessions.example.org:1987/")}),
    ("store-link", {"store": store_settings("redis+cluster://10.0.0.1:6379,10.0.0.2:6379")}),
    ("shared-store", {"store": store_settings("memory://"), "workers": 2}),
    ("debug", {"is_debug": True}),
]


@pytest.mark.parametrize(("rule", "changes"), BROKEN, ids=lambda each: each if isinstance(each, str) else "")
def test_one_bad_setting_breaks_its_rule(rule: str, changes: dict[str, Any]) -> None:
    finding = found(**changes)[rule]
    assert finding.verdict == "broken"
    assert finding.requirements
    assert finding.advice


@pytest.mark.parametrize(
    "changes",
    [
        {"same_site": "strict"},
        {"grace": timedelta()},
        {"expiry": DAYS_30},
        {"trusted_origins": ("https://shop.example.org", "https://m.example.org:8443")},
        {"cors": (CorsSettings(("https://shop.example.org",), None, True),)},
        {"cors": (CorsSettings(("*",), None, False),)},
        {"cors": (CorsSettings(("http://localhost:3000",), None, True),)},
        {"cors": (CorsSettings((), r"https://[a-z]+\.example\.org", True),)},
        {"store": store_settings("wss://sessions.example.org/")},
        {"store": store_settings("ws://127.0.0.1:1987/")},
        {"store": store_settings("ws://[::1]:1987/")},
        {"store": store_settings("ws://localhost:1987/")},
        {"store": store_settings("rediss://cache.example.org")},
        {"store": store_settings("rediss+cluster://a.example.org,b.example.org:6380")},
        {"workers": 8},
    ],
    ids=str,
)
def test_good_settings_are_met(changes: dict[str, Any]) -> None:
    assert verdicts(**changes) == {}


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("idle", {"expiry": Expiry(absolute=timedelta(days=7)), "short": DAY}),
        ("browser-end", {"short": None}),
        ("renewal-by-time", {"renew_every": None, "expiry": DAYS_30}),
        ("concurrent", {"user_limit": None}),
        ("csrf-token", {"csrf": "origin"}),
        ("adopted", {"adopted_bits": 128}),
        ("store-link", {"store": None}),
        ("shared-store", {"store": store_settings("memory://")}),
        ("other-sessions", {"signed_cookies": True}),
    ],
)
def test_what_a_standard_only_recommends_is_advice(rule: str, changes: dict[str, Any]) -> None:
    assert verdicts(**changes) == {rule: "advice"}


def test_a_short_session_needs_no_renewal_by_time() -> None:
    assert "renewal-by-time" not in found(renew_every=None, expiry=DAY)


@pytest.mark.parametrize(
    ("aal", "expiry", "broken"),
    [
        (1, DAYS_30, set[str]()),
        (2, DAYS_30, {"absolute", "idle"}),
        (2, DAY, set[str]()),
        (2, Expiry(idle=3601, absolute=86400), {"idle"}),
        (3, DAY, {"absolute", "idle"}),
        (3, SHIFT, set[str]()),
        (3, Expiry(idle=900, absolute=43201), {"absolute"}),
        (2, Expiry(absolute=86400), {"idle"}),
    ],
)
def test_lifetimes_are_those_of_the_level(aal: Aal, expiry: Expiry, broken: set[str]) -> None:
    assert verdicts(aal, expiry=expiry).keys() - {"renewal-by-time"} == broken


def test_a_lifetime_is_told_in_the_words_of_people() -> None:
    finding = found(2, expiry=DAYS_30)["absolute"]
    assert finding.value == "absolute end after 30 days"
    assert "at most 1 day at level 2" in finding.advice
    assert "Expiry(idle=timedelta(hours=1))" in found(2, expiry=Expiry(absolute=60))["idle"].advice


def test_a_rule_that_is_broken_for_a_reason_is_accepted() -> None:
    findings = found(2, ("absolute", "secure"), expiry=Expiry(idle=3600, absolute=timedelta(days=2)))
    assert findings["absolute"].verdict == "accepted"
    assert findings["secure"].verdict == "met"


def test_a_rule_or_a_level_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"there is no rule 'idel'; there are .*idle"):
        audit(GOOD, accept=["idel"])
    with pytest.raises(InvalidArgumentError, match="aal= is 1, 2 or 3"):
        audit(GOOD, aal=4)  # type: ignore[arg-type]  # the mistake


def test_findings_come_in_the_order_of_the_rules() -> None:
    rules = [finding.rule for finding in audit(GOOD)]
    assert rules == [name for name in RULE_NAMES if name in rules]


@pytest.mark.parametrize(
    ("secret", "least", "most"),
    [
        pytest.param("changeme", 0, 48, id="word"),
        pytest.param("secret", 0, 40, id="short"),
        pytest.param("a" * 100, 0, 10, id="one-letter"),
        pytest.param("password" * 2, 0, 48, id="words"),
        pytest.param("abc123" * 20, 0, 480, id="pattern"),
        pytest.param(secrets.token_hex(16), 128, 128, id="hex"),
        pytest.param(secrets.token_hex(8), 64, 64, id="half-hex"),
        pytest.param(secrets.token_urlsafe(16), 128, 132, id="base64"),
        pytest.param("", 0, 0, id="empty"),
    ],
)
def test_a_secret_is_judged_by_its_length_and_its_alphabet(secret: str, least: int, most: int) -> None:
    assert least <= most_bits(secret) <= most


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("ws://user:hunter2@sessions.example.org:1987/", "ws://sessions.example.org:1987"),
        ("redis+cluster://:hunter2@a:1,b:2/0?password=hunter2", "redis+cluster://a:1,b:2"),
        ("sqlite:///sessions.db?key=hunter2", "sqlite:///sessions.db"),
        ("memory://?key=hunter2", "memory://"),
    ],
)
def test_no_credentials_of_a_store_are_kept(uri: str, shown: str) -> None:
    store = store_settings(uri)
    assert store.shown == shown
    assert "hunter2" not in repr(store)


def test_a_secret_in_a_trusted_origin_is_not_shown() -> None:
    value = found(trusted_origins=("http://user:hunter2@shop.example.org",))["trusted-origins"].value
    assert "hunter2" not in value
