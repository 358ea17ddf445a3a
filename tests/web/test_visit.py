"""What becomes of one request's session, decided without I/O."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from ndb_models import Expiry, SessionModel
from ndb_models.credentials import draw_credential
from ndb_models.repository import OpenedSession
from ndb_models.schema.model import Stored, set_stored
from ndb_models.web import Principal
from ndb_models.web.cookies import LONGEST, ShownCookie
from ndb_models.web.visit import CookieChange, Step, Visit, VisitRules, cookie_seconds

HOUR = 3600_000
NOTHING: frozenset[str] = frozenset()
SHORT = Expiry(idle=600, absolute=3600)


class Guest(SessionModel, schema="web.guest"):
    user: Annotated[int | None, Principal()] = None
    role: Annotated[str, Principal()] = ""
    cart: dict[str, int] = {}


RULES = VisitRules(principal=("user", "role"))


def stored(tkn: int) -> Guest:
    guest = Guest()
    set_stored(guest, Stored(tkn, b"{}"))
    return guest


def opened(tkn: int = 1, **facts: Any) -> OpenedSession[Guest]:
    usual: dict[str, Any] = {
        "is_current": True,
        "is_seen": True,
        "follower": None,
        "issued": 0,
        "idle": 1800,
        "absolute": 86400,
        "has_own_expiry": False,
        "use": lambda _: None,
    }
    return OpenedSession(stored(tkn), **(usual | facts))


def visit(found: OpenedSession[Guest] | None = None, rules: VisitRules = RULES, text: str | None = "x") -> Visit[Guest]:
    made: Visit[Guest] = Visit(ShownCookie(text, text is not None), rules)
    made.opened(found)
    return made


def test_a_visit_that_opened_nothing_does_nothing() -> None:
    assert visit().steps(NOTHING, HOUR) == ()
    assert visit(opened()).steps(NOTHING, HOUR) == ()


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ({"cart"}, (Step.SAVE,)),
        ({"role"}, (Step.RENEW, Step.SAVE)),
        ({"role", "cart"}, (Step.RENEW, Step.SAVE)),
        ({"user"}, (Step.ISSUE, Step.SAVE)),
        ({"user", "role"}, (Step.ISSUE, Step.SAVE)),
    ],
)
def test_a_change_of_the_principal_brings_a_new_cookie_before_it_is_stored(
    changed: set[str], steps: tuple[Step, ...]
) -> None:
    assert visit(opened()).steps(frozenset(changed), HOUR) == steps


def test_a_class_without_principals_only_saves() -> None:
    assert visit(opened(), VisitRules()).steps(frozenset({"user"}), HOUR) == (Step.SAVE,)


def test_a_new_session_is_saved_and_issued_before_the_one_it_replaces_ends() -> None:
    made = visit(opened(1))
    made.log_in(stored(2), created=True, remember=False)
    assert made.steps(frozenset({"cart"}), HOUR) == (Step.SAVE, Step.ISSUE, Step.END_FORMER)
    assert [each.tkn for each in made.to_replace()] == [1]


def test_a_first_login_replaces_nothing() -> None:
    made = visit(text=None)
    made.log_in(stored(2), created=True, remember=False)
    assert made.steps(NOTHING, HOUR) == (Step.ISSUE,)


def test_a_login_in_place_kills_the_old_cookie_before_the_user_is_stored() -> None:
    found = opened(1)
    made = visit(found)
    made.log_in(found.session, created=False, remember=False)
    assert made.steps(frozenset({"user"}), HOUR) == (Step.ISSUE, Step.SAVE)


def test_of_two_sessions_created_in_a_request_the_first_is_ended_too() -> None:
    made = visit(opened(1))
    made.log_in(stored(2), created=True, remember=False)
    made.log_in(stored(3), created=True, remember=False)
    assert made.steps(NOTHING, HOUR) == (Step.ISSUE, Step.END_FORMER)
    assert {each.tkn for each in made.to_replace()} == {1, 2}


def test_a_failed_request_returns_to_the_session_before_and_ends_what_it_created() -> None:
    found = opened(1)
    made = visit(found)
    made.log_in(stored(2), created=True, remember=False)
    made.credential = draw_credential(2)
    assert [each.tkn for each in made.fail()] == [2]
    assert (made.session, made.cookie) == (found.session, CookieChange.NONE)
    assert made.fail() == []


def test_a_new_cookie_in_place_is_sent_even_if_the_request_fails_after_all() -> None:
    found = opened(1)
    made = visit(found)
    made.log_in(found.session, created=False, remember=False)
    made.credential = draw_credential(1)  # the old one is dead
    assert made.fail() == []
    assert made.cookie is CookieChange.SET


@pytest.mark.parametrize("way", ["logout", "lost", "unusable"])
def test_a_cookie_is_removed_when_it_opens_nothing_any_more(way: str) -> None:
    made = visit(opened(1))
    if way == "logout":
        assert [each.tkn for each in made.to_end()] == [1]
        made.log_out()
        assert made.cookie is CookieChange.CLEAR
    elif way == "lost":
        seen = []
        for tkn in (2, 1):
            made.lose(tkn)
            seen.append(made.cookie)
        assert seen == [CookieChange.NONE, CookieChange.CLEAR_IF_ALONE]
    else:
        made.opened(None, keeps_cookie=True)
        assert made.cookie is CookieChange.NONE


@pytest.mark.parametrize(
    ("text", "change"),
    [(None, CookieChange.NONE), ("x", CookieChange.CLEAR), ("A" * 54, CookieChange.CLEAR_IF_ALONE)],
)
def test_a_bad_cookie_is_removed_and_one_that_may_just_have_been_replaced_only_by_a_page(
    text: str | None, change: CookieChange
) -> None:
    assert visit(text=text).cookie is change


def test_an_untouched_cookie_is_left_alone() -> None:
    untouched: Visit[Guest] = Visit(ShownCookie("x", True), RULES)
    assert untouched.cookie is CookieChange.NONE


@pytest.mark.parametrize(
    ("every", "facts", "age", "rolls"),
    [
        (None, {}, 10**9, False),
        (900, {}, 899, False),
        (900, {}, 900, True),
        (900, {"is_current": False}, 900, False),
        (900, {"has_own_expiry": True, "idle": 600, "absolute": 3600}, 900, True),
        (None, {"absolute": None}, 1799, False),
        (None, {"absolute": None}, 1800, True),
        (None, {"absolute": None, "idle": None}, LONGEST // 2 - 1, False),
        (None, {"absolute": None, "idle": None}, LONGEST // 2, True),
        (None, {"absolute": None, "idle": LONGEST}, LONGEST // 2, True),
        (60, {"absolute": None}, 60, True),
    ],
)
def test_a_cookie_is_replaced_by_age_where_it_must(every: float | None, facts: Any, age: float, rolls: bool) -> None:
    rules = VisitRules(renew_every=every)
    assert visit(opened(issued=5, **facts), rules).steps(NOTHING, 5 + age * 1000) == ((Step.ROLL,) if rolls else ())


def test_a_short_session_needs_no_replacement_to_live_on_in_its_browser() -> None:
    short = Expiry(idle=600)
    made = visit(opened(idle=600, absolute=None, has_own_expiry=True), VisitRules(short=short))
    assert made.is_short
    assert made.steps(NOTHING, 10**12) == ()


@pytest.mark.parametrize("is_short", [False, True])
@pytest.mark.parametrize("remember", [False, True])
def test_a_login_in_place_changes_the_expiry_only_if_it_is_of_the_other_kind(is_short: bool, remember: bool) -> None:
    facts = {"idle": 600, "absolute": 3600, "has_own_expiry": True} if is_short else {}
    found = opened(1, **facts)
    made = visit(found, VisitRules(short=SHORT))
    made.log_in(found.session, created=False, remember=remember)
    limit = (Step.LIMIT,) if is_short is remember else ()
    assert made.steps(NOTHING, HOUR) == (*limit, Step.ISSUE)
    assert made.is_short is not remember


@pytest.mark.parametrize("is_short", [False, True])
def test_a_login_in_place_that_says_neither_leaves_the_kind_of_the_session(is_short: bool) -> None:
    facts = {"idle": 600, "absolute": 3600, "has_own_expiry": True} if is_short else {}
    found = opened(1, **facts)
    made = visit(found, VisitRules(short=SHORT))
    made.log_in(found.session, created=False, remember=None)
    assert made.steps(NOTHING, HOUR) == (Step.ISSUE,)
    assert made.is_short is is_short


def test_the_last_login_of_a_request_says_whether_the_session_is_short() -> None:
    new = stored(2)
    made = visit(rules=VisitRules(short=SHORT), text=None)
    made.log_in(new, created=True, remember=False)
    made.log_in(new, created=False, remember=True)
    assert made.steps(NOTHING, HOUR) == (Step.LIMIT, Step.ISSUE)
    made.log_in(new, created=False, remember=False)
    assert made.steps(NOTHING, HOUR) == (Step.ISSUE,)


def test_a_cookie_lives_as_long_as_its_session_may() -> None:
    assert cookie_seconds(deadline=600.9, idle=60) == 600
    assert cookie_seconds(deadline=0.2, idle=None) == 1
    assert cookie_seconds(deadline=10**12, idle=None) == LONGEST
    assert cookie_seconds(deadline=None, idle=None) == LONGEST
    assert cookie_seconds(deadline=None, idle=1800) == 3600
    assert cookie_seconds(deadline=None, idle=10**12) == LONGEST
