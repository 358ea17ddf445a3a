"""The names of a store's keys.

All keys of one session lie in one slot: a cluster hashes only the part of a name between braces, and that is the token.
"""

from __future__ import annotations

import re
from binascii import crc_hqx

from ndb_models.stores.redis.slot_map import slot_of
from ndb_models.types import SessionToken


class KeyNames:
    """The names of the keys of a store.

    Attributes:
        start: how the key of each session begins.
        pattern: matches the keys of sessions, and few others.
        shared: the keys of the hashes of the shared map.
    """

    def __init__(self, prefix: str, shared_buckets: int = 1) -> None:
        self.start: bytes = b"%b:{" % prefix.encode()
        self.pattern: bytes = self.start + b"[0-9]*}"
        self._session = self.start + b"%d}"
        self._read = re.compile(re.escape(self.start) + rb"(0|[1-9][0-9]{0,19})}")
        tags = [b"shared", *(b"shared%d" % number for number in range(1, shared_buckets))]
        self.shared: list[bytes] = [b"%b%b}" % (self.start, tag) for tag in tags]

    def session(self, token: SessionToken) -> bytes:
        """Return the key of a session."""
        return self._session % token

    def slot(self, token: SessionToken) -> int:
        """Return the slot of a session."""
        return slot_of(self._session % token)

    def token_in(self, key: bytes) -> SessionToken | None:
        """Return the token in the key of a session; None for any other key."""
        match = self._read.fullmatch(key)
        return None if match is None else int(match[1])

    def bucket_of(self, name: str) -> bytes:
        """Return the key of the hash that holds a shared key."""
        return self.shared[crc_hqx(name.encode(errors="surrogatepass"), 0) % len(self.shared)]
