"""The requests that read some keys of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Parameters
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.sessions.splitting import split_names

_SH_GET: Final = COMMANDS["SH_GET"]

# Most programs read the fields of the class, those of some views, and the reserved key alone.
_KEPT: Final = 32


class ReadRequests(dict[tuple[str, ...], Sequence[Parameters]]):
    """The parameters of the requests that read keys with some names, by the names. They are made when first asked for.

    Each request reads the reserved key too. There are several if one frame cannot hold all names.

    Args:
        limit: bytes of the largest frame; None for no limit.
    """

    __slots__ = ("latest", "latest_names", "limit")

    def __init__(self, limit: int | None) -> None:
        super().__init__()
        self.limit: int | None = limit
        self.latest_names: tuple[str, ...] | None = None
        """The names that were asked for last: mostly the same tuple again and again."""
        self.latest: Sequence[Parameters] = ()
        """The parameters of the requests for these."""

    def asking_for(self, names: tuple[str, ...]) -> Sequence[Parameters]:
        """Return the parameters of the requests that read keys with these names."""
        self.latest_names, self.latest = names, self[names]
        return self.latest

    def __missing__(self, names: tuple[str, ...]) -> Sequence[Parameters]:
        if len(self) >= _KEPT:  # sessions of an open class may have any names
            self.clear()
        parts = split_names(_SH_GET, names, RESERVED_KEY, self.limit)
        requests = self[names] = [Parameters(keys=part) for part in parts]
        return requests
