"""The synchronous verbs of `Requester`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from typing import Any

from ndb_models.protocol.prepared import Prepared
from ndb_models.sync.verb_bases import OfClient


class SyncRequester(OfClient):
    """The verbs of `Requester`, synchronous."""

    def perform(self, prepared: Prepared) -> dict[str, Any]:
        """Send a prepared request, wait for its answer, and return the body. See `begin`."""
        return self._portal.call(lambda: self._asynchronous.perform(prepared))

    def attempt(self, prepared: Prepared) -> dict[str, Any] | None:
        """Send a prepared request beyond NemesisDB's protocol; return the body of its answer, also on a failure status.

        Return None if the server does not know the command. It is not asked again on the same connection.

        Raises as `request`.
        """
        return self._portal.call(lambda: self._asynchronous.attempt(prepared))
