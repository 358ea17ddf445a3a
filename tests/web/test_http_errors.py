"""The errors that Starlette answers: a status, a text for the user, and a message for the log."""

from __future__ import annotations

from ndb_models import NotFreshError
from ndb_models.web import LoginTooOldError


def test_a_login_that_is_too_old_is_403() -> None:
    error = LoginTooOldError("UserSession", 5)
    assert isinstance(error, NotFreshError)
    assert (error.status_code, error.detail, error.model, error.tkn) == (403, "Log in again", "UserSession", 5)
