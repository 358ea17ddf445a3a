"""The rules of the audit, one function each: from settings to what they mean. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from ndb_models.schema.expiry import Expiry
from ndb_models.web.audited import Aal, AuditedSettings, CorsSettings, Verdict, is_loopback

LONGEST_GRACE: Final = timedelta(minutes=1)
FEWEST_BITS: Final = 128
_COOKIE_SIZE: Final = 4096
_CREDENTIAL_SIZE: Final = 54
_DAY: Final = 24 * 60 * 60

LONGEST_ABSOLUTE: Final[dict[Aal, int]] = {1: 30 * _DAY, 2: _DAY, 3: _DAY // 2}
"""NIST SP 800-63B-4: the longest absolute lifetime by level, in seconds."""

LONGEST_IDLE: Final[dict[Aal, int | None]] = {1: None, 2: 60 * 60, 3: 15 * 60}
"""NIST SP 800-63B-4: the longest idle lifetime by level, in seconds. Level 1 has no limit."""


class Judged(NamedTuple):
    """The verdict of a rule, what is set, and what to do."""

    verdict: Verdict
    value: str
    advice: str = ""


Judge: TypeAlias = Callable[[AuditedSettings, Aal], Judged | None]


class Rule(NamedTuple):
    """A rule: its name, the requirements that it judges, and the function. None: the settings do not bear on it."""

    name: str
    requirements: tuple[str, ...]
    judge: Judge


def _met(value: str) -> Judged:
    return Judged(Verdict.MET, value)


def _broken(value: str, advice: str) -> Judged:
    return Judged(Verdict.BROKEN, value, advice)


def _advised(value: str, advice: str) -> Judged:
    return Judged(Verdict.ADVICE, value, advice)


def _development(given: AuditedSettings, _: Aal) -> Judged | None:
    if not given.is_development:
        return _met("development mode is off")
    return _broken("development=True", "leave out development= in production: the cookie has no Secure and no __Host-")


def _secure(given: AuditedSettings, _: Aal) -> Judged:
    if given.is_secure:
        return _met("Secure")
    return _broken("a cookie without Secure", "serve by HTTPS, and leave the cookie Secure")


def _host_prefix(given: AuditedSettings, _: Aal) -> Judged:
    name = given.cookie_name
    if name.startswith("__Host-"):
        return _met(f"the cookie is named {name}")
    return _broken(f"the cookie is named {name}", "give the cookie a name that starts with __Host-")


def _http_only(_given: AuditedSettings, _: Aal) -> Judged:
    return _met("HttpOnly, always; the value is in no other header and in no body")


def _same_site(given: AuditedSettings, _: Aal) -> Judged:
    value = f"SameSite={given.same_site.capitalize()}"
    if given.same_site in ("lax", "strict"):
        return _met(value)
    return _broken(value, "use 'lax' or 'strict', unless other sites embed the application in frames")


def _cookie_size(given: AuditedSettings, _: Aal) -> Judged:
    size = len(given.cookie_name) + _CREDENTIAL_SIZE
    if size <= _COOKIE_SIZE:
        return _met(f"name and value have {size} bytes")
    return _broken(f"name and value have {size} bytes", "give the cookie a shorter name: 4096 bytes at most, in all")


def _cookie_scope(given: AuditedSettings, _: Aal) -> Judged:
    if not given.same_cookie:
        return _met("one use of the cookie's name")
    places = ", ".join(given.same_cookie)
    return _broken(
        f"{given.cookie_name} holds other sessions at {places}",
        "give each a cookie name of its own, or let them share one WebSessions",
    )


def _absolute(given: AuditedSettings, aal: Aal) -> Judged:
    seconds = given.expiry.absolute_seconds if given.expiry is not None else None
    longest = LONGEST_ABSOLUTE[aal]
    if seconds is None:
        return _broken("no absolute end", f"declare expiry=Expiry(absolute={_written(longest)}) or shorter")
    value = f"absolute end after {_shown(seconds)}"
    if seconds <= longest:
        return _met(value)
    return _broken(value, f"at most {_shown(longest)} at level {aal}; a longer time needs a documented reason")


def _idle(given: AuditedSettings, aal: Aal) -> Judged:
    longest = LONGEST_IDLE[aal]
    seconds = given.expiry.idle_seconds if given.expiry is not None else None
    if seconds is None:
        fitting = _written(longest or 1800)
        if given.short is not None and given.short.idle_seconds is not None and aal == 1:
            return _advised(
                f"idle end after {_shown(given.short.idle_seconds)}, but none for remembered logins",
                f"declare expiry=Expiry(idle={_written(7 * _DAY)}) or so, or document why there is none",
            )
        return _broken("no idle end", f"declare expiry=Expiry(idle={fitting}), or another time, and document it")
    value = f"idle end after {_shown(seconds)}"
    if longest is None or seconds <= longest:
        return _met(value)
    return _broken(value, f"at most {_shown(longest)} at level {aal}; a longer time needs a documented reason")


def _persistent(given: AuditedSettings, _: Aal) -> Judged:
    if given.short is not None:
        return _met(f"the cookie ends with the browser, unless remember=True; then after {_ends(given.expiry)} at most")
    return _advised(
        "each cookie outlives the browser",
        "give WebSessions short=Expiry(...): only a login with remember=True then stays on the disk",
    )


def _ends(expiry: Expiry | None) -> str:
    return _shown(expiry.absolute_seconds or expiry.duration) if expiry is not None else "400 days"


def _renewal(given: AuditedSettings, _: Aal) -> Judged:
    if given.principals:
        return _met(f"renewed at login, and when {' or '.join(given.principals)} changes")
    return _broken(
        "no field is marked Principal()",
        "mark the user and the rights: user_id: Annotated[int, Principal(), Lookup()]",
    )


def _renewal_by_time(given: AuditedSettings, _: Aal) -> Judged | None:
    longest = given.expiry.absolute_seconds if given.expiry is not None else None
    if given.renew_every is not None:
        return _met(f"a new secret every {_shown(int(given.renew_every.total_seconds()))}")
    if longest is not None and longest <= _DAY:
        return None
    return _advised(
        "one secret for the whole session", "give WebSessions renew_every=timedelta(hours=1) for long sessions"
    )


def _grace(given: AuditedSettings, _: Aal) -> Judged:
    value = f"a replaced secret opens the session for {_shown(int(given.grace.total_seconds()))} more"
    if given.grace <= LONGEST_GRACE:
        return _met(value)
    return _broken(
        value, f"grace= is at most {_shown(int(LONGEST_GRACE.total_seconds()))}: parallel requests need less"
    )


def _all_sessions(given: AuditedSettings, _: Aal) -> Judged:
    if given.user_lookup is not None:
        return _met(f"sessions of a user are found by {given.user_lookup}")
    return _broken(
        "no field finds the sessions of a user: no logging out everywhere, no ending from elsewhere",
        "mark the user: user_id: Annotated[int, Principal(), Lookup()]",
    )


def _devices(given: AuditedSettings, _: Aal) -> Judged:
    if given.is_tracked:
        return _met("sessions have public ids, and times of creation and last use")
    return _broken(
        "sessions are not tracked: no list of devices, no step-up", "declare track=timedelta(minutes=1) on the class"
    )


def _concurrent(given: AuditedSettings, _: Aal) -> Judged:
    if given.user_limit is not None:
        return _met(f"at most {given.user_limit} sessions a user; one more ends the oldest")
    return _advised("any number of sessions a user", "document that, or limit it: Lookup(limit=5)")


def _csrf(given: AuditedSettings, _: Aal) -> Judged:
    if given.csrf != "off":
        how = "a token" if given.csrf == "token" else "the origin"
        return _met(f"unsafe requests and WebSocket handshakes are checked by {how}")
    return _broken("requests of other sites are not refused", "leave csrf= as it is by default")


def _csrf_token(given: AuditedSettings, _: Aal) -> Judged | None:
    if given.csrf == "off":
        return None
    if given.csrf == "token":
        return _met("requests that show no origin need a token, which is bound to the session")
    return _advised(
        "requests that show no origin pass, as of old browsers", "csrf='token' asks them for a token of their session"
    )


def _trusted_origins(given: AuditedSettings, _: Aal) -> Judged:
    if not given.trusted_origins:
        return _met("no other origin is trusted")
    bad = [origin for origin in given.trusted_origins if not _is_trustworthy(origin)]
    if bad:
        return _broken(
            f"trusted origins: {', '.join(map(_shown_origin, bad))}",
            "name each origin in full, with https:// and without *",
        )
    return _met(f"trusted origins: {', '.join(map(_shown_origin, given.trusted_origins))}")


def _is_trustworthy(origin: str) -> bool:
    return origin.startswith("https://") and "*" not in origin


def _shown_origin(origin: str) -> str:
    return origin.rpartition("@")[2]


def _cors(given: AuditedSettings, _: Aal) -> Judged | None:
    open_to = [name for each in given.cors if each.with_cookies for name in _dangerous(each)]
    if open_to:
        return _broken(
            f"CORS lets {' and '.join(open_to)} read answers to requests with cookies",
            "name the origins in allow_origins=, with https://; or leave out allow_credentials=",
        )
    return _met("CORS with cookies only for named origins") if given.cors else None


_ANY: Final = ("https://attacker.example", "http://attacker.example")


def _dangerous(cors: CorsSettings) -> list[str]:
    """Return in words which origins should not be let in."""
    if "*" in cors.origins:
        return ["any origin"]
    found = ["the origin null"] if "null" in cors.origins else []
    if cors.pattern is not None and _matches_any(cors.pattern):
        found.append("any origin, by its pattern,")
    return found + [_shown_origin(each) for each in cors.origins if _is_plain(each)]


def _matches_any(pattern: str) -> bool:
    try:
        return any(re.fullmatch(pattern, origin) for origin in _ANY)
    except re.error:
        return False


def _is_plain(origin: str) -> bool:
    parts = urlsplit(origin)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _adopted(given: AuditedSettings, _: Aal) -> Judged | None:
    if not given.adopted_bits:
        return None
    fewest = min(given.adopted_bits)
    if fewest < FEWEST_BITS:
        return _broken(
            f"adopted cookies are signed by a secret of at most {fewest} bits",
            "do not adopt them: anyone may find the secret and forge a session",
        )
    return _advised(
        "cookies of other middleware are adopted", "leave out adopt= as soon as the old cookies have run out"
    )


def _store_link(given: AuditedSettings, _: Aal) -> Judged | None:
    store = given.store
    if store is None or not store.hosts:
        return None
    if store.is_private:
        return _met(f"the store at {store.shown} is reached by TLS, or on this machine")
    return _broken(
        f"sessions travel to {store.shown} unencrypted",
        "use wss:// or rediss://, or a tunnel from this machine",
    )


def _shared_store(given: AuditedSettings, _: Aal) -> Judged | None:
    if given.store is None or given.store.scheme != "memory":
        return None
    if given.workers is not None and given.workers > 1:
        return _broken(
            f"{given.workers} workers, each with sessions of its own: logging out reaches one of them",
            "use sqlite:///sessions.db, or a server",
        )
    return _advised("sessions are in memory: they end with the process", "sqlite:///sessions.db keeps them")


def _debug(given: AuditedSettings, _: Aal) -> Judged:
    if given.is_debug:
        return _broken("debug=True", "leave out debug= in production: error pages show code and values")
    return _met("debug mode is off")


def _other_sessions(given: AuditedSettings, _: Aal) -> Judged | None:
    if not given.signed_cookies:
        return None
    return _advised(
        "Starlette's SessionMiddleware keeps other sessions in a signed cookie, which logging out cannot end",
        "move them: WebSessions(request_session=True, adopt=StarletteCookie(secret)), and remove the other middleware",
    )


def _shown(seconds: int) -> str:
    """Return a time in its largest unit that fits: `30 minutes`."""
    for size, unit in ((_DAY, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}{'' if seconds == size else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def _written(seconds: int) -> str:
    """Return a time as code: `timedelta(minutes=30)`."""
    number, unit = _shown(seconds).split()
    return f"timedelta({unit.removesuffix('s')}s={number})"


RULES: Final = (
    Rule("development", ("ASVS 3.3.1", "ASVS 3.3.3", "NIST 5.1 (4)"), _development),
    Rule("secure", ("ASVS 3.3.1", "NIST 5.1 (4)", "NIST 5.1.1 (1)", "sheet: Secure"), _secure),
    Rule("host-prefix", ("ASVS 3.3.3", "NIST 5.1.1 (2)", "NIST 5.1.1 (5)", "sheet: Domain and Path"), _host_prefix),
    Rule("http-only", ("ASVS 3.3.4", "NIST 5.1.1 (3)", "sheet: HttpOnly"), _http_only),
    Rule("same-site", ("ASVS 3.3.2", "NIST 5.1.1 (6)", "sheet: SameSite"), _same_site),
    Rule("cookie-size", ("ASVS 3.3.5",), _cookie_size),
    Rule("cookie-scope", ("sheet: Several cookies",), _cookie_scope),
    Rule("absolute", ("ASVS 7.1.1", "ASVS 7.3.2", "NIST 5.1 (5)", "NIST 5.2", "sheet: Absolute timeout"), _absolute),
    Rule("idle", ("ASVS 7.1.1", "ASVS 7.3.1", "NIST 5.1 (5)", "NIST 5.2", "sheet: Idle timeout"), _idle),
    Rule("browser-end", ("NIST 5.1 persistence", "sheet: Expires and Max-Age"), _persistent),
    Rule("renewal", ("ASVS 7.2.4", "sheet: Renewal at a change of rights"), _renewal),
    Rule("renewal-by-time", ("sheet: Renewal timeout",), _renewal_by_time),
    Rule("grace", ("ASVS 7.2.4", "sheet: Renewal timeout"), _grace),
    Rule("all-sessions", ("ASVS 7.4.2", "ASVS 7.4.3", "ASVS 7.4.5"), _all_sessions),
    Rule("devices", ("ASVS 7.5.1", "ASVS 7.5.2", "ASVS 7.5.3", "sheet: Simultaneous sessions"), _devices),
    Rule("concurrent", ("ASVS 7.1.2",), _concurrent),
    Rule("csrf", ("ASVS 3.5.1", "ASVS 4.4.2"), _csrf),
    Rule("csrf-token", ("ASVS 3.5.1",), _csrf_token),
    Rule("trusted-origins", ("ASVS 3.5.1",), _trusted_origins),
    Rule("cors", ("ASVS 3.4.2",), _cors),
    Rule("adopted", ("ASVS 7.2.3", "ASVS 11.2.3"), _adopted),
    Rule("store-link", ("ASVS 12.3.1",), _store_link),
    Rule("shared-store", ("ASVS 7.4.1",), _shared_store),
    Rule("debug", ("ASVS 13.4.2",), _debug),
    Rule("other-sessions", ("ASVS 7.4.1",), _other_sessions),
)
