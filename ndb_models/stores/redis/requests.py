"""A command on its way to a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ndb_models.stores.redis.script import Script

if TYPE_CHECKING:
    from ndb_models.stores.redis.topology import Server


class RedisRequest:
    """A command on its way, and what has become of it.

    Attributes:
        deadline: a time of the event loop.
        script: the script that it runs, with `args`; None for a plain command.
        note: the key where the script notes its answer; None for none.
        has_source: whether the frame has the script's source.
        server: the only server that can carry it out; None for the master of the key.
        asked: the server that a redirection names for this once.
        attempts: how many error replies there were.
        maybe_done: whether it may have been carried out, and writes.
        reason: why the last attempt failed.
    """

    deadline: float = 0.0
    script: Script | None = None
    args: Sequence[bytes] = ()
    note: bytes | None = None
    has_source: bool = False
    server: Server | None = None
    asked: Server | None = None
    attempts: int = 0
    maybe_done: bool = False
    reason: str = ""

    def __init__(
        self, name: str, frame: bytes, slot_key: bytes, keys: Sequence[bytes], *, idempotent: bool, writes: bool
    ) -> None:
        self.name: str = name
        self.frame: bytes = frame
        self.slot_key: bytes = slot_key
        self.keys: Sequence[bytes] = keys
        self.idempotent: bool = idempotent
        self.writes: bool = writes

    def send_source(self) -> None:
        """Send the source of the script from now on."""
        if self.script is not None:
            keys = self.keys if self.note is None else (*self.keys, self.note)
            self.frame = self.script.frame_with_source(keys, self.args)
            self.has_source = True

    def leave_note_out(self) -> None:
        """Run the script without the key for its note from now on, and once at most."""
        self.note = None
        self.idempotent = False
        self.send_source()
