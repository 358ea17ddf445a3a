"""A command on its way to a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ndb_models.errors import NdbError
from ndb_models.stores.redis.script import Script

if TYPE_CHECKING:
    from ndb_models.stores.redis.topology import Server


class DividedSlotError(NdbError):
    """Some keys of a request are at one server already, and others still at another one. The request was not run."""


class RedisRequest(msgspec.Struct, eq=False):
    """A command on its way, and its state.

    Attributes:
        name: names it in errors.
        frame: its bytes.
        slot_key: a key in the slot of its keys; empty for none.
        idempotent: it may be repeated if it may have been carried out.
        writes: replicas are waited for, if that is the store's option.
        script: the script that it runs, with `keys` and `args`; None for a plain command.
        note: the key where the script notes its answer; None for none.
        deadline: a time of the event loop; 0 until it is known.
        is_divisible: the script may as well be run for each of its keys alone.
        has_source: whether the frame has the script's source.
        server: the only server that can carry it out; None for the master of the key.
        asked: the server to ask once, as named by a redirection.
        mark: a write that is sent along; None for none. See `written_along`.
        attempts: how many error replies there were.
        maybe_done: True if it writes, and may have been carried out.
        reason: why the last attempt failed.
    """

    name: str
    frame: bytes
    slot_key: bytes
    idempotent: bool
    writes: bool
    script: Script | None = None
    keys: Sequence[bytes] = ()
    args: Sequence[bytes] = ()
    note: bytes | None = None
    deadline: float = 0.0
    is_divisible: bool = False
    has_source: bool = False
    server: Server | None = None
    asked: Server | None = None
    mark: bytes | None = None
    attempts: int = 0
    maybe_done: bool = False
    reason: str = ""

    def __repr__(self) -> str:
        return f"<RedisRequest {self.name}>"  # without keys and values

    def divided(self) -> list[RedisRequest]:
        """Return a request for each of the keys, with the deadline of this one."""
        assert self.script is not None
        parts = [run_of(self.script, key, (key,), self.args) for key in self.keys]
        for part in parts:
            part.deadline = self.deadline
            part.maybe_done = self.maybe_done
        return parts

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


def run_of(
    script: Script, slot_key: bytes, keys: Sequence[bytes], args: Sequence[bytes], note: bytes | None = None
) -> RedisRequest:
    """Return a request that runs a script. See `Driver.run`."""
    frame = script.frame(keys if note is None else (*keys, note), args)
    writes = script.writes
    return RedisRequest(script.name, frame, slot_key, script.idempotent or not writes, writes, script, keys, args, note)
