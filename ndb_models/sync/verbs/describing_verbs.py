"""The synchronous verbs of `DescribingVerbs`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from datetime import timedelta

from ndb_models.repository.describing_verbs import M
from ndb_models.repository.description import SessionDescription
from ndb_models.sync.verb_bases import OfRepository
from ndb_models.types import SessionToken


class SyncDescribingVerbs(OfRepository[M]):
    """The verbs of `DescribingVerbs`, synchronous."""

    def describe(self, session: M | SessionToken, *, current: M | SessionToken | None = None) -> SessionDescription:
        """Return facts about a session: when it was created, used and logged in, when it ends, and its public id.

        Extends no expiry. `current` is the session of the request, for the description's `is_current`.

        Raises:
            UnsupportedError: the server is a NemesisDB, which cannot read without extending.
        """
        return self._portal.call(lambda: self._asynchronous.describe(session, current=current))

    def is_fresh(self, session: M | SessionToken, within: timedelta | float) -> bool:
        """Return True if the user of a session logged in at most `within` ago, a timedelta or whole seconds.

        The last `rotate`, `issue` or `renew(login=True)` counts as the login, or else the creation. A session that was
        created before its class said `track=` is not fresh until then. Reads the session, and extends no expiry; on a
        NemesisDB it does.

        Raises:
            InvalidArgumentError: the class does not say `track=`; or `within` is no time.
        """
        return self._portal.call(lambda: self._asynchronous.is_fresh(session, within))

    def require_fresh(self, session: M | SessionToken, within: timedelta | float) -> None:
        """Return if the session `is_fresh` within that time, for a step-up before a sensitive action.

        Raises:
            NotFreshError: the login is longer ago, or its time is not known. After the next login call `rotate`.
        """
        return self._portal.call(lambda: self._asynchronous.require_fresh(session, within))
