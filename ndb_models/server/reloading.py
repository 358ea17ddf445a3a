"""Which settings may change while a server runs, and which need a restart."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.server.options import ServerOptions
from ndb_models.server.settings import Settings

_FIXED: Final = frozenset({"host", "port", "reuse_port", "stop_timeout", "dashboard", "dashboard_write"})
_RELOADED: Final = ({each.name for each in fields(ServerOptions)} - _FIXED) | {"max_nesting", "token_file"}


def merged(started: Settings, read: Settings, *, guarded: bool) -> Settings:
    """Combine new settings with those at the start, for a worker that reloads or starts late.

    Address, port, store, data sets, logging, the number of workers, the engine's limits and the status page stay as
    they were at the start. So does `stop_timeout`, since the parent waits by it.

    Args:
        started: the settings at the start of the server.
        read: the settings that were read now.
        guarded: True if clients needed a token so far.

    Raises:
        InvalidArgumentError: the tokens are gone, or TLS would be turned on or off. Both need a restart.
    """
    if guarded and read.tokens is None:
        raise InvalidArgumentError(
            "there are no tokens any more, and everyone would be let in: if that is meant, restart"
        )
    if started.secure is not read.secure:
        raise InvalidArgumentError(f"TLS cannot be turned {'on' if read.secure else 'off'} at a reload: restart")
    return replace(started, **{name: getattr(read, name) for name in _RELOADED})
