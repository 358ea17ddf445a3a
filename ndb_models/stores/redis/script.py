"""Scripts that a server runs, each as one atomic step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from ndb_models.stores.redis.packing import packed


@dataclass(frozen=True, slots=True)
class Script:
    """A script in Lua.

    Args:
        name: names it in errors.
        source: its text.
        idempotent: running it twice leaves and returns the same as once. It is then repeated if it may have run.
        writes: it may write. Replicas are waited for only then.
    """

    name: str
    source: bytes
    idempotent: bool = False
    writes: bool = True
    sha: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.source, usedforsecurity=False)  # how servers name scripts
        object.__setattr__(self, "sha", digest.hexdigest().encode())

    def frame(self, keys: Sequence[bytes], args: Sequence[bytes]) -> bytes:
        """Return the command that runs the script if the server knows it."""
        return packed(b"EVALSHA", self.sha, len(keys), *keys, *args)

    def frame_with_source(self, keys: Sequence[bytes], args: Sequence[bytes]) -> bytes:
        """Return the command that runs the script, and makes it known to the server."""
        return packed(b"EVAL", self.source, len(keys), *keys, *args)
