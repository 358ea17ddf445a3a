"""Tells this package's server from a NemesisDB, by the `serverVersion` in its answer to `SV_INFO`."""

from __future__ import annotations

from typing import Final

OWN_SERVER: Final = "ndb_models/"
"""The prefix of the version of this package's server. A NemesisDB answers a bare version, such as `0.7.2`."""

SUPPORTED: Final = "0.7 to 0.8"
"""The versions of NemesisDB with the sessions that this package needs. Older ones have others, newer ones have none."""

_LONGEST_SHOWN: Final = 40


def keeps_values(server_version: object) -> bool:
    """Tell whether a server returns each value as it was sent. For an unknown server the answer is no.

    A NemesisDB changes some numbers, and sorts the names in objects.
    """
    return isinstance(server_version, str) and server_version.startswith(OWN_SERVER)


def no_sessions(server_version: str | None) -> str:
    """Return the meaning of status 10 in the answer to a session command; `server_version` may be unknown (None)."""
    is_shown = server_version and server_version.isprintable() and len(server_version) <= _LONGEST_SHOWN
    server = f"server (NemesisDB {server_version})" if is_shown else "server"
    return (
        f"status 10 COMMAND_NOT_EXIST: the {server} has no sessions of this kind; use a NemesisDB of {SUPPORTED},"
        " or `ndb-models serve`"
    )
