"""Errors of typed sessions. Import them from `ndb_models.errors`, which draws the whole tree."""

from __future__ import annotations

from collections.abc import Sequence

from ndb_models.error_root import NdbError, listed
from ndb_models.types import NAMESPACE_END, SessionToken, redact


class SessionError(NdbError):
    """A session cannot be used like that. Attributes: `model`, the class name; `tkn`, or None."""

    _PROBLEM = "it cannot be used like that"

    def __init__(self, model: str, tkn: SessionToken | None, problem: str | None = None) -> None:
        self.model = model
        self.tkn = tkn
        problem = problem or self._PROBLEM
        message = f"{model}: {problem}" if tkn is None else f"{model} {redact(tkn)}: {problem}"
        super().__init__(message)


class NotSavedError(SessionError):
    """The model was never saved, so it has no token."""

    def __init__(self, model: str) -> None:
        super().__init__(model, None, "it has no token yet: save it first")


class NotFreshError(SessionError):
    """The user of the session logged in too long ago for this action. The session can be used otherwise."""

    def __init__(self, model: str, tkn: SessionToken) -> None:
        super().__init__(model, tkn, "the last login is too long ago for this: log in again, then rotate() the session")


class UnusableSessionError(SessionError):
    """This code cannot use the session. Its user logs in again; other users are not affected."""

    _PROBLEM = "it cannot be used"


class SessionGoneError(UnusableSessionError):
    """There is no such session: it has ended, has expired or never existed. Saving a new model creates another."""

    _PROBLEM = "there is no such session; it has ended or expired. To start anew, save a new model"


class SessionExpiredError(SessionGoneError):
    """The session has expired: its absolute time is over, or its expiry emptied it."""

    _PROBLEM = "it has expired. To start anew, save a new model"


class WrongSchemaError(UnusableSessionError):
    """The token belongs to a session of another model, or of another namespace.

    Attributes: `stored`, the name of that model's schema; `namespace`, None if the session is in none.
    """

    def __init__(self, model: str, tkn: SessionToken, stored: str) -> None:
        namespace, _, schema = stored.rpartition(NAMESPACE_END)
        self.stored: str = schema
        self.namespace: str | None = namespace or None
        where = f" in the namespace {namespace!r}" if namespace else ""
        super().__init__(
            model, tkn, f"this is a session of schema {self.stored!r}{where}; use the repository of that model"
        )


class NewerVersionError(UnusableSessionError):
    """Newer code wrote the session. The session was left as it is.

    Attributes: `stored`, the version of the session; `version`, the version of the class.
    """

    def __init__(self, model: str, tkn: SessionToken, stored: int, version: int) -> None:
        self.stored = stored
        self.version = version
        problem = f"it is of version {stored}, and this code knows versions up to {version}: deploy the newer code"
        super().__init__(model, tkn, f"{problem} here too; the session was left as it is")


class OlderVersionError(UnusableSessionError):
    """The class no longer upgrades from the session's version. The session was left as it is.

    Attributes: `stored`, the version of the session; `oldest`, the first version that is upgraded.
    """

    def __init__(self, model: str, tkn: SessionToken, stored: int, oldest: int) -> None:
        self.stored = stored
        self.oldest = oldest
        problem = f"it is of version {stored}, and this code upgrades from version {oldest} on"
        super().__init__(model, tkn, f"{problem}: lower oldest= and add the steps again, or delete the session")


class IncompleteSessionError(UnusableSessionError):
    """The session exists without its keys: its creation was cut short, or another client emptied it."""

    _PROBLEM = "its creation was cut short, or it was emptied; delete it"


class ForeignSessionError(UnusableSessionError):
    """No repository wrote the session, so its model is unknown."""

    _PROBLEM = "it was not written by a repository; Repository(..., foreign=True) takes it"


class StoredDataError(UnusableSessionError):
    """The stored data does not fit the model. Attributes: `model`, `tkn`, `problems`: (field, reason), without values.

    The cause is Pydantic's `ValidationError`, with reasons in the place of values.
    """

    def __init__(self, model: str, tkn: SessionToken, problems: Sequence[tuple[str, str]]) -> None:
        self.problems: tuple[tuple[str, str], ...] = tuple(problems)
        super().__init__(model, tkn, f"it does not fit: {listed(problems)}; raw(tkn) shows what is stored")


class UpgradeError(StoredDataError):
    """A step of an upgrade failed on a session, or returned data that cannot be stored. The session was left as it is.

    Attributes: as of `StoredDataError`; `version`, the version from which the step upgrades. If the step raised, the
    reason names the error and its line. The error itself is not kept, since it may hold values.
    """

    def __init__(self, model: str, tkn: SessionToken, version: int, reason: str) -> None:
        self.version = version
        step = f"upgrade({version}), from version {version} to {version + 1}"
        super().__init__(model, tkn, [(step, reason)])
