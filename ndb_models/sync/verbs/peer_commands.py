"""The synchronous verbs of `PeerCommands`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from ndb_models.errors import NdbError
from ndb_models.sync.verb_bases import OfClient
from ndb_models.types import JsonValue


class SyncPeerCommands(OfClient):
    """The verbs of `PeerCommands`, synchronous."""

    def sv_info(self) -> dict[str, JsonValue]:
        """Return the server's description of itself: `serverVersion`, `persistEnabled`."""
        return self._portal.call(lambda: self._asynchronous.sv_info())

    def server_version(self) -> str:
        """Return the version of the server; "" if it does not name one. It is asked once for each connection.

        `ndb_models/VERSION` is this package's server. A bare version such as `0.7.2` is a NemesisDB.

        Raises `ServerUnavailableError`, and the connection errors of `request`.
        """
        return self._portal.call(lambda: self._asynchronous.server_version())

    def keeps_values(self) -> bool:
        """Tell whether the server returns every value as it was sent. A NemesisDB does not, see `protocol.altered`.

        An engine in this process is not asked. A server is asked as by `server_version`.

        Raises as `server_version`.
        """
        return self._portal.call(lambda: self._asynchronous.keeps_values())

    def identified(self, error: NdbError) -> NdbError:
        """Return the error. An `UnsupportedServerError` gets the version of the server, if it can be asked."""
        return self._portal.call(lambda: self._asynchronous.identified(error))
