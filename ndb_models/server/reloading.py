"""What may change while a server runs, and what needs a restart."""

from __future__ import annotations

from dataclasses import replace

from ndb_models.errors import InvalidArgumentError
from ndb_models.server.configuration import Configuration


def merged(started: Configuration, read: Configuration, *, guarded: bool) -> Configuration:
    """Return the settings of a worker that starts, or reloads, after others: what was read, as far as it may differ.

    Address, port, store, data sets, logging and the number of workers stay as they were at the start. So does
    `stop_timeout`, by which the parent waits.

    Args:
        started: the settings at the start of all.
        read: those that were read now.
        guarded: clients needed a token so far.

    Raises:
        InvalidArgumentError: the tokens are gone, or TLS is to be turned on or off. That needs a restart.
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
