"""The synchronous verbs of `ListingVerbs`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from collections.abc import Generator

from ndb_models.errors import SessionError
from ndb_models.repository.listing_verbs import M
from ndb_models.sync.stepping import stepping
from ndb_models.sync.verb_bases import OfRepository


class SyncListingVerbs(OfRepository[M]):
    """The verbs of `ListingVerbs`, synchronous."""

    def sessions(self, *, page: int = 256) -> Generator[M | SessionError]:
        """Yield all sessions of this model, page by page, in no particular order. Extends no expiry.

            for session in repo.sessions():
                if not isinstance(session, SessionError):
                    print(session.username)

        Others may create, change and end sessions meanwhile. A session that lives all the time is yielded exactly once.
        One that is created or ends meanwhile is yielded once or not at all. A session is as it was when its page was
        read, and may have ended since. Expired, incomplete and foreign sessions are not yielded.

        Where `get` would raise a `SessionError` for another reason, that error is yielded in place of the session:
        the stored data does not fit the model, or is of another version. With `on_invalid="end"` such sessions are
        ended as by `get`. Every other error ends the iteration. It cannot be resumed; a new one begins from the start.

        One page is in memory at a time. If the iteration is cancelled or left early, nothing is left to clean up.

        Args:
            page: how many sessions of the store, of any model, are looked at with one request. 1 to 4096.

        Raises (at the first step):
            UnsupportedError: the server is a NemesisDB, which cannot list sessions.
            ResponseError: the client's token is for data alone (status 14). A list shows tokens, so it is for admins.
            InvalidArgumentError: `page` is out of range.
        """
        return stepping(self._portal, lambda: self._asynchronous.sessions(page=page))
