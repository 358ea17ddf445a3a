"""One request's session, from the cookie that came in to the cookie that goes out. Decided without I/O.

An adapter to a framework makes a `Visit`, and tells it the events of the request:

1. The application asks for the session: the adapter reads it with `visit.text`, and calls `visit.opened(...)`.
2. The application logs in or out: `visit.log_in(...)`, `visit.log_out()`.
3. The answer is about to begin. If the request succeeded, the adapter carries out `visit.steps(...)` in order. If it
   failed, or a step did, `visit.fail()` returns the sessions to end again.
4. `visit.cookie` is the change of the browser's cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from ndb_models.credentials import Credential
from ndb_models.repository import OpenedSession
from ndb_models.schema import Expiry, SessionModel
from ndb_models.types import SessionToken
from ndb_models.web.cookies import LONGEST, ShownCookie

M = TypeVar("M", bound=SessionModel)

_ROLLING_AT_LATEST: Final = LONGEST / 2
"""The age in seconds at which a cookie that lasts is replaced."""


class Step(Enum):
    """One step at the end of a request that succeeded."""

    LIMIT = "give the session the expiry of a short or of a long login"
    ISSUE = "give the session a new credential; all others are dead"
    RENEW = "give the session a new credential, with grace for the one before, unless another request has just done so"
    ROLL = "give the session a new credential; the one before works until the browser shows the new one"
    SEND_AGAIN = "send the new credential again: the answer with it may be lost"
    NOTE_SEEN = "begin the grace period of the credential before this one, as the browser shows this one"
    SAVE = "save the changes of the session"
    END_FORMER = "end the sessions that the login takes the place of"


class CookieChange(Enum):
    """The change of the browser's cookie that an answer makes."""

    NONE = "leave it alone"
    SET = "keep the new one"
    CLEAR = "remove it"
    CLEAR_IF_ALONE = "remove it, unless another answer may have brought a new one meanwhile"


# Looking a member up in its enum takes several times as long.
_SAVE: Final = (Step.SAVE,)
LEAVE: Final = CookieChange.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitRules:
    """The rules of an application for its sessions.

    `principal` are the marked fields, the user first. `renew_every` is in seconds. `short` is the expiry of a login
    without `remember=True`; None if all logins are alike.
    """

    principal: tuple[str, ...] = ()
    renew_every: float | None = None
    short: Expiry | None = None

    def is_short(self, opened: OpenedSession[M]) -> bool:
        """Return True if a session is one of a login without `remember=True`."""
        short = self.short
        if short is None or not opened.has_own_expiry:
            return False
        return (opened.idle, opened.absolute) == (short.idle_seconds, short.absolute_seconds)


class Visit(Generic[M]):
    """The session of one request.

    Args:
        shown: the cookie of the request.
        rules: the rules of the application.
    """

    # Defaults of the class: a request sets few of them.
    is_known: bool = False
    """True once it is known whether the request has a session."""
    session: M | None = None
    """The session of the request by now."""
    former: M | None = None
    """The session that the cookie opened."""
    credential: Credential | None = None
    """The new credential for the browser, if there is one."""
    adopted: Credential | None = None
    """The credential of a session that was carried over from a cookie of another middleware."""
    keeps_cookie: bool = False
    """True if the cookie stays in the browser, though it opens no session here."""
    saved_itself: frozenset[str] = frozenset()
    """Marked fields that the application has changed and saved itself, in this request."""
    _opened: OpenedSession[M] | None = None
    _created: tuple[M, ...] = ()
    _logs_in = False
    _logs_out = False
    _is_remembered = False
    _limits = False
    _renews = False
    _is_lost = False

    def __init__(self, shown: ShownCookie, rules: VisitRules) -> None:
        self.text: str | None = shown.text
        """The text of the cookie to open the session with; None if there is none to read."""
        self.is_shown: bool = shown.is_shown
        self._rules = rules

    def opened(self, opened: OpenedSession[M] | None, *, keeps_cookie: bool = False) -> None:
        """Note the session that the cookie opens; None if it opens none.

        `keeps_cookie` says that it may open something elsewhere, such as in a newer release of the application.
        """
        self.is_known = True
        self.keeps_cookie = keeps_cookie
        self._opened = opened
        self.former = self.session = None if opened is None else opened.session

    def adopt(self, credential: Credential | None) -> None:
        """Note that a session is carried over. The browser gets its credential even if the request fails.

        From here on, all is as if the browser had shown that credential.
        """
        self.adopted = self.credential = credential
        self.text = None if credential is None else str(credential)

    def log_in(self, session: M, *, created: bool, remember: bool | None) -> None:
        """Make a session the one of this browser from its next request on.

        Args:
            session: a saved session, which may be the one that the cookie opened.
            created: it was created for this login, and ends again if the request fails.
            remember: it outlives the browser. None leaves the session of the request as it is.
        """
        if remember is None:
            remember = not created and self._is_remembered_here(session)
        if self._rules.short is not None and not created:
            self._limits = self._is_of_short_login(session) is remember
        self._logs_in = True
        self._is_remembered = remember
        if created:
            self._created = (*self._created, session)
            self._limits = False
        self.session = session

    def _is_remembered_here(self, session: M) -> bool:
        if self._logs_in and self.session is not None and session.tkn == self.session.tkn:
            return self._is_remembered
        opened = self._opened
        return opened is not None and session.tkn == opened.session.tkn and not self._rules.is_short(opened)

    def _is_of_short_login(self, session: M) -> bool:
        if self._logs_in and self.session is not None and session.tkn == self.session.tkn:
            return self._limits is self._is_remembered  # as the login before left it
        if self._opened is not None and session.tkn == self._opened.session.tkn:
            return self._rules.is_short(self._opened)
        return False

    def renew(self) -> None:
        """Ask for a new cookie of the session, with grace for the one before."""
        self._renews = True

    def to_end(self) -> list[M]:
        """Return the sessions that a logout ends at once, even if the request fails."""
        ending: dict[SessionToken, M] = {}
        for session in (*self._created, self.former, self.session):
            if session is not None:
                ending.setdefault(session.tkn, session)
        return [*ending.values()]

    def log_out(self) -> None:
        """Leave the session, once all in `to_end` have been ended."""
        self.session = self.former = self._opened = self.credential = self.adopted = None
        self._created = ()
        self._logs_in = self.keeps_cookie = False
        self._logs_out = True

    @property
    def _is_in_place(self) -> bool:
        return self.session is not None and self.former is not None and self.session.tkn == self.former.tkn

    @property
    def is_short(self) -> bool:
        """True if the cookie of the session ends with the browser."""
        if self._rules.short is None:
            return False
        if self._logs_in:
            return not self._is_remembered
        return self._opened is not None and self._rules.is_short(self._opened)

    def steps(self, changed: frozenset[str], now: float) -> tuple[Step, ...]:
        """Return the steps at the end of a request that succeeded, in their order.

        Args:
            changed: the fields of the session that a save would write.
            now: in milliseconds since 1970.
        """
        if self.session is None:
            return ()
        save = _SAVE if changed else ()
        if self._logs_in:
            return self._steps_of_login(save)
        if changed or self.saved_itself:
            renewal = self._renewal_by_principal(changed)
            if renewal is not None:
                return (renewal, *save)
        if self._renews:
            return (Step.RENEW, *save)
        return save + self._steps_of_cookie(now)

    def _renewal_by_principal(self, changed: frozenset[str]) -> Step | None:
        """Return the renewal that a change of marked fields asks for, before that change is stored."""
        principal = self._rules.principal
        marked = changed.union(self.saved_itself).intersection(principal)
        if not marked:
            return None
        return Step.ISSUE if principal[0] in marked else Step.RENEW  # the cookie of another user dies at once

    def _steps_of_cookie(self, now: float) -> tuple[Step, ...]:
        opened = self._opened
        if opened is None:
            return ()
        if opened.follower is not None:
            return (Step.SEND_AGAIN,)
        if not opened.is_current:  # it is replaced already
            return ()
        if not opened.is_seen:
            return (Step.NOTE_SEEN,)
        age = (now - opened.issued) / 1000
        if age >= (_ROLLING_AT_LATEST if opened.idle is None else rolling_seconds(opened.idle)) and self._rolls(opened):
            return (Step.ROLL,)
        every = self._rules.renew_every
        return () if every is None or age < every else (Step.ROLL,)

    def _rolls(self, opened: OpenedSession[M]) -> bool:
        """Return True if the cookie is replaced in time, so that it lives on in a browser that is used."""
        return opened.absolute is None and not self.is_short

    @property
    def follower(self) -> Credential | None:
        """The credential that has replaced the one of the cookie, if the browser has not shown it yet."""
        return None if self._opened is None else self._opened.follower

    @property
    def is_current(self) -> bool:
        """True if the cookie has the current credential of the session."""
        return self._opened is not None and self._opened.is_current

    def _steps_of_login(self, save: tuple[Step, ...]) -> tuple[Step, ...]:
        limit = (Step.LIMIT,) if self._limits else ()
        end = (Step.END_FORMER,) if self.to_replace() else ()
        if self._is_in_place:  # the old cookie dies before the new user is stored
            return (*limit, Step.ISSUE, *save, *end)
        return (*limit, *save, Step.ISSUE, *end)

    def to_replace(self) -> list[M]:
        """Return the sessions that the login takes the place of."""
        session = self.session
        assert session is not None
        others = [each for each in self._created if each.tkn != session.tkn]
        if self.former is not None and self.former.tkn != session.tkn:
            others.append(self.former)
        return others

    def fail(self) -> list[M]:
        """Go back to the session before the login. Return the sessions to end again."""
        created, self._created = [*self._created], ()
        if self._logs_in and not self._is_in_place:
            self.session, self.credential = self.former, self.adopted
        return created

    def lose(self, tkn: SessionToken | None) -> None:
        """Note that the session with a token has ended elsewhere."""
        if self.session is not None and self.session.tkn == tkn:
            self.session = self.former = self.credential = self.adopted = None
            self.keeps_cookie = False
            self._is_lost = True

    @property
    def cookie(self) -> CookieChange:
        """The change of the browser's cookie."""
        if self.credential is not None:
            return CookieChange.SET
        if not self.is_known or self.session is not None or self.keeps_cookie:
            return LEAVE
        if self._logs_out:
            return CookieChange.CLEAR
        if not self.is_shown:
            return LEAVE
        # A cookie that opened something a moment ago was perhaps replaced by a login that ran at the same time.
        was_replaced = self._is_lost or Credential.parse(self.text) is not None
        return CookieChange.CLEAR_IF_ALONE if was_replaced else CookieChange.CLEAR


def rolling_seconds(idle: float) -> float:
    """Return the age at which the cookie of a session without an absolute end is replaced."""
    return min(idle, _ROLLING_AT_LATEST)


def cookie_seconds(*, deadline: float | None, idle: float | None) -> int:
    """Return the seconds that a browser keeps a cookie.

    Args:
        deadline: the seconds until the session ends at the latest; None without an absolute end.
        idle: the seconds until the session ends if it is not used; None for never.
    """
    if deadline is not None:
        return max(1, min(LONGEST, int(deadline)))
    if idle is None:
        return LONGEST
    # A use just before the cookie is replaced may be followed by the next one after the whole idle time.
    return min(LONGEST, int(idle + rolling_seconds(idle)))
