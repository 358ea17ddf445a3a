"""Errors of sessions that Starlette answers with a status. The application may answer them itself."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException

from ndb_models.errors import NdbError, NotFreshError, UnavailableError
from ndb_models.types import SessionToken

RETRY_AFTER: Final = 5
"""Seconds after which a client may try again."""


class NotLoggedInError(NdbError, HTTPException):
    """The request has no session: 401. Attributes: as of Starlette's `HTTPException`; `model`, the class name."""

    def __init__(self, model: str) -> None:
        self.model = model
        HTTPException.__init__(self, 401, "Not logged in")

    def __str__(self) -> str:
        return f"{self.model}: the request has no session; sessions.optional returns None instead"


class SessionsUnavailableError(UnavailableError, HTTPException):
    """The store of the sessions is away: 503, with Retry-After. All cookies stay. The cause says more.

    Attributes: as of Starlette's `HTTPException`; `model`, the class name.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        HTTPException.__init__(self, 503, "Try again later", {"Retry-After": str(RETRY_AFTER)})

    def __str__(self) -> str:
        return f"{self.model}: the store of the sessions is away"


class LoginTooOldError(NotFreshError, HTTPException):
    """The last login is too long ago for this action: 403. Attributes: as of `NotFreshError` and `HTTPException`."""

    def __init__(self, model: str, tkn: SessionToken) -> None:
        self.model = model
        self.tkn = tkn
        self._text = str(NotFreshError(model, tkn))  # its constructor would call that of HTTPException
        HTTPException.__init__(self, 403, "Log in again")

    def __str__(self) -> str:
        return self._text


class CrossSiteError(NdbError, HTTPException):
    """A page of another site makes a request that would begin a session: 403.

    Attributes: as of Starlette's `HTTPException`; `model`, the class name.
    """

    def __init__(self, model: str, reason: str) -> None:
        self.model = model
        self.reason = reason
        HTTPException.__init__(self, 403, "This request does not come from a page of this site")

    def __str__(self) -> str:
        return f"{self.model}: a page of another site may not begin a session: {self.reason}"
