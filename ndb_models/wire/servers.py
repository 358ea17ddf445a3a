"""What a server is, by the `serverVersion` in its answer to `SV_INFO`: one of this package, or a NemesisDB."""

from __future__ import annotations

import re
from typing import Final

OWN_SERVER: Final = "ndb_models/"
"""What this package's server puts before its version. A NemesisDB answers a bare version, such as `0.7.2`."""

SUPPORTED: Final = "0.7 to 0.8"
"""The versions of NemesisDB that have the session commands that a repository needs."""

_VERSION: Final = re.compile(r"(\d{1,9})\.(\d{1,9})(?:[.+-].*)?", re.DOTALL)
_OLDEST: Final = (0, 7)
_NEWEST: Final = (0, 8)


def keeps_values(server_version: object) -> bool:
    """Tell whether a server returns each value as it was sent. An unknown server does not.

    A NemesisDB changes some numbers, and sorts the names in objects.
    """
    return isinstance(server_version, str) and server_version.startswith(OWN_SERVER)


def has_sessions(server_version: object) -> bool:
    """Tell whether a server may have the session commands: False only for a NemesisDB that is known to lack them."""
    version = _VERSION.fullmatch(server_version) if isinstance(server_version, str) else None
    return version is None or _OLDEST <= (int(version[1]), int(version[2])) <= _NEWEST
