"""The visit of a request that runs: a `Visit`, and the notes of the shell around it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, TypeVar

from ndb_models.errors import NdbError
from ndb_models.repository import OpenedSession, PendingSave
from ndb_models.schema import SessionModel
from ndb_models.web.cookies import ShownCookie
from ndb_models.web.visit import Visit, VisitRules

M = TypeVar("M", bound=SessionModel)

_NO_FIELDS: Final[frozenset[str]] = frozenset()


class RunningVisit(Visit[M]):
    """A visit while its request runs. Verbs that a request calls at the same time take turns."""

    __slots__ = ("as_read", "headers", "is_saved", "max_age", "pending", "removes_old", "turn", "unsaved", "used")

    def __init__(self, shown: ShownCookie, rules: VisitRules, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(shown, rules)
        self.headers: Iterable[tuple[bytes, bytes]] = headers
        """Those of the request."""
        self.removes_old: bool = False
        """True if the browser is told to remove the cookie of another middleware."""
        self.turn: asyncio.Lock = asyncio.Lock()
        self.as_read: bytes = b""
        """The stored keys of the session when it was opened."""
        self.pending: PendingSave | None = None
        """The changes to save as the request ends."""
        self.is_saved: bool = False
        """True once the changes were saved."""
        self.used: OpenedSession[M] | None = None
        """What the cookie opened, until the request has counted as its use."""
        self.max_age: int | None = None
        """The seconds for which the browser is to keep the new credential; None for until it ends."""
        self.unsaved: frozenset[str] | None = _NO_FIELDS
        """The changes that were not stored, since the request failed; None if later ones cannot be told from them."""

    def count_use(self) -> None:
        """Let the request count as a use of its session, once. If it was saved, that has extended it already."""
        opened, self.used = self.used, None
        if opened is not None and self.session is opened.session:
            try:  # noqa: SIM105 - each request comes here, and a context manager takes longer
                opened.use(self.is_saved)
            except NdbError:  # the request is answered all the same
                pass
