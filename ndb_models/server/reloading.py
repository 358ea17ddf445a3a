"""Which settings may change while a server runs, and which need a restart."""

from __future__ import annotations

from dataclasses import replace

from ndb_models.errors import InvalidArgumentError
from ndb_models.server.configuration import Configuration


def merged(started: Configuration, read: Configuration, *, guarded: bool) -> Configuration:
    """Combine new settings with those at the start, for a worker that reloads or starts late.

    Address, port, store, data sets, logging, the number of workers and the engine's limits stay as they were at the
    start. So does `stop_timeout`, since the parent waits by it.

    Args:
        started: the settings at the start of the server.
        read: the settings that were read now.
        guarded: True if clients needed a token so far.

    Raises:
        InvalidArgumentError: the tokens are gone, or TLS would be turned on or off. Both need a restart.
    """
    old, new = started.server, read.server
    if guarded and new.tokens is None:
        raise InvalidArgumentError(
            "there are no tokens any more, and everyone would be let in: if that is meant, restart"
        )
    if old.secure is not new.secure:
        raise InvalidArgumentError(f"TLS cannot be turned {'on' if new.secure else 'off'} at a reload: restart")
    server = replace(new, host=old.host, port=old.port, reuse_port=old.reuse_port, stop_timeout=old.stop_timeout)
    return replace(started, server=server, max_nesting=read.max_nesting, token_file=read.token_file)
