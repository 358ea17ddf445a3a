"""Carries sessions of another middleware over, each cookie once. No framework.

A signed cookie cannot be taken back: someone may keep a copy and show it after the logout. So each cookie that was
carried over leaves a note in the store, itself a session, that ends when the cookie would have. The note comes first,
under a unique name, so that of several requests with one cookie only one makes a session.

The others, and a browser that lost the answer, get the same session: for a grace period the note holds its credential,
sealed with the cookie and the program's secret. After the logout that credential opens nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Annotated, Final, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from ndb_models.client import NdbClient
from ndb_models.clocks import sleep
from ndb_models.credentials import Credential
from ndb_models.errors import DuplicateError, InvalidArgumentError, PayloadTooLargeError, UnstorableError
from ndb_models.repository import OpenedSession, Repository
from ndb_models.schema import Expiry, Lookup, SessionModel
from ndb_models.schema.problems import problems_of
from ndb_models.types import Clock
from ndb_models.web.adopting import OldSession, StarletteCookie
from ndb_models.web.running_visit import RunningVisit

M = TypeVar("M", bound=SessionModel)

GRACE: Final = 30.0
"""Seconds for which a cookie that was carried over still opens the session, for requests under way."""

# A request that made a note fills it at once, unless it died.
_ABANDONED: Final = 10.0
_PAUSE: Final = 0.02
_PAUSES: Final = 100

# For clocks of several machines that differ.
_MARGIN: Final = 60

# In place of a sealed credential, and unsealed to no credential: the browser logged out before its session was moved.
_BURNT: Final = ""

# Of the same reason, one line of the log is enough.
_MOST_LOGGED: Final = 50

_UNFIT: Final = (DuplicateError, PayloadTooLargeError, UnstorableError)

_logger = logging.getLogger("ndb_models.web")


class AdoptedCookie(SessionModel, schema="ndb_models.adopted_cookie"):
    """The note of a cookie that was carried over: the digest of its signed part, when, and its sealed credential."""

    digest: Annotated[str, Lookup(unique=True)]
    at: float
    sealed: str | None = None


class Adopted(NamedTuple):
    """The result of carrying an old cookie over.

    Attributes:
        text: a credential of the session that it was carried over into; None if it opens none.
        keeps_cookie: True if the browser should keep the old cookie, since it may be carried over later.
    """

    text: str | None
    keeps_cookie: bool = False


_LATER: Final = Adopted(None, keeps_cookie=True)
_SPENT: Final = Adopted(None)


class Adoption(Generic[M]):
    """Carries the sessions of old cookies over into sessions of a repository.

    Args:
        client: the client of the repository.
        repo: the repository.
        model: its class.
        cookie: the old cookies.
        namespace: that of the repository.
        clock: tells the time in seconds since 1970.
    """

    def __init__(
        self,
        client: NdbClient,
        repo: Repository[M],
        model: type[M],
        cookie: StarletteCookie,
        *,
        namespace: str | None,
        clock: Clock,
    ) -> None:
        given: object = cookie
        if not isinstance(given, StarletteCookie):
            raise InvalidArgumentError('adopt= is a StarletteCookie: adopt=StarletteCookie("the secret_key it had")')
        self.cookie: StarletteCookie = cookie
        self._client = client
        self._repo = repo
        self._model = model
        self._clock = clock
        self._logged: set[str] = set()
        self._notes = Repository(client, AdoptedCookie, namespace=namespace, clock=clock)

    async def open(self, visit: RunningVisit[M]) -> tuple[OpenedSession[M] | None, bool]:
        """Return the session that the old cookie of a request is carried over into, or None.

        Also returns whether the browser keeps the old cookie. Raises as `adopt`.
        """
        old = self.cookie.opened(visit.headers, self._clock())
        adopted = _SPENT if old is None else await self.adopt(old)
        opened = await self._repo.opened_by(adopted.text)
        if opened is not None:
            visit.adopt(Credential.parse(adopted.text))
        visit.removes_old = not adopted.keeps_cookie and self.cookie.is_in(visit.headers)
        return opened, adopted.keeps_cookie

    async def burn(self, visit: RunningVisit[M]) -> None:
        """See to it that the old cookie of a request is never carried over from now on. Raises as `adopt`."""
        old = self.cookie.opened(visit.headers, self._clock())
        if old is not None:
            with contextlib.suppress(DuplicateError):  # it was carried over, or is being
                await self._note(old, _BURNT)
        visit.removes_old = self.cookie.is_in(visit.headers)

    async def adopt(self, old: OldSession) -> Adopted:
        """Return a credential for the session of an old cookie.

        The first call makes the session. Later ones return the same credential for the grace period, then none. Content
        that does not fit the class makes no session; the log says why, and the cookie is left for a later release. The
        same holds if another request makes the session, and is not done within two seconds.

        Raises:
            UnavailableError: the store is away. The next call tries again.
        """
        made = self._model_of(old)
        if made is None:
            return _LATER
        for _ in range(_PAUSES):
            note = await self._notes.find_one(digest=old.digest)
            if note is None:
                try:
                    return await self._client.to_the_end(self._carried_over(old, made))
                except DuplicateError:  # another request was quicker
                    pass
            elif note.sealed is not None:
                return Adopted(old.unseal(note.sealed)) if self._clock() < note.at + GRACE else _SPENT
            elif self._clock() >= note.at + _ABANDONED:
                await self._notes.delete(note.tkn)
                continue
            await sleep(_PAUSE)
        return _LATER

    def _model_of(self, old: OldSession) -> M | None:
        """Return the session that the content of an old one makes, or None if it makes none."""
        to_model = self.cookie.to_model
        try:
            made: object = self._default(old) if to_model is None else to_model(old.content)
        except ValidationError as exc:
            self._log_unfit(", ".join(f"{name}: {reason}" for name, reason in problems_of(exc)))
            return None
        except Exception as exc:  # noqa: BLE001 - content that the program does not expect is no fault of this request
            self._log_unfit(f"to_model raised {type(exc).__name__}")
            return None
        if made is None or (isinstance(made, self._model) and type(made) is self._model):
            return made
        self._log_unfit(f"to_model returned a {type(made).__name__}")
        return None

    def _default(self, old: OldSession) -> M:
        return self._model.model_validate_json(json.dumps(old.content), by_alias=True, by_name=True)

    def _log_unfit(self, reason: str) -> None:
        if reason not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(reason)
            _logger.warning("the content of old cookies does not fit %s: %s", self._model.__name__, reason)

    async def _carried_over(self, old: OldSession, made: M) -> Adopted:
        """Make the session of an old cookie.

        Raises:
            DuplicateError: another request has made it, or makes it.
        """
        note = await self._note(old)
        session: M | None = None
        try:
            session = await self._repo.create(made)
            credential = await self._repo.issue(session)
            note.sealed = old.seal(credential)
            await self._notes.save(note)
        except BaseException as exc:
            if session is not None:
                await self._repo.delete(session.tkn)
            await self._notes.delete(note.tkn)
            if isinstance(exc, _UNFIT):
                self._log_unfit(str(exc))
                return _SPENT
            raise
        return Adopted(str(credential))

    async def _note(self, old: OldSession, sealed: str | None = None) -> AdoptedCookie:
        left = old.seconds_left
        expiry = None if left is None else Expiry(absolute=left + _MARGIN)
        return await self._notes.create(
            AdoptedCookie(digest=old.digest, at=self._clock(), sealed=sealed), expiry=expiry
        )
