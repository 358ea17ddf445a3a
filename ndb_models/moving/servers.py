"""A server as a place to copy keys to.

Sessions come and go through the server's data sets: the protocol cannot list sessions, and chooses their tokens itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import InvalidArgumentError
from ndb_models.json_text import ObjectText
from ndb_models.moving.endpoints import Keys, Kinds, Target
from ndb_models.protocol.altered import why_altered
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Prepared, key_size
from ndb_models.protocol.statuses import Status
from ndb_models.stores.contract import SessionRecord
from ndb_models.types import SessionToken


class ServerPlace(Target):
    """A server that takes keys."""

    kinds: Kinds = Kinds.KEYS
    refusal: str = (
        "bring them by 'sessions export' and 'sessions import', or, to a NemesisDB, in a data set"
        " ('snapshot:///DIR?sessions=NAME') that it loads (SH_LOAD); and copy with '--only keys'"
    )

    def __init__(self, client: NdbClient) -> None:
        self._client = client

    async def put_keys(self, keys: Keys) -> None:
        if not await self._client.keeps_values():
            _refuse_altered(keys)
        for part in _parts(keys, (self._client.max_payload or 0) // 2):
            command = COMMANDS["KV_ADD"]
            answer: Any = await self._client.perform(Prepared(command, values=ObjectText.joined(part)))
            if answer["st"] != Status.OK:
                raise failure(command, answer)

    async def lacking(self, tokens: Sequence[SessionToken]) -> Sequence[SessionToken]:
        raise InvalidArgumentError(self.refusal)

    async def put_sessions(self, records: Sequence[SessionRecord]) -> int:
        raise InvalidArgumentError(self.refusal)

    async def finish(self, kinds: Kinds) -> None:
        return

    async def aclose(self) -> None:
        await self._client.close()


def _refuse_altered(keys: Keys) -> None:
    """Refuse values that a NemesisDB would not return unchanged.

    Raises:
        InvalidArgumentError: there is such a value. Keys copied before stay.
    """
    for name, text in keys.items():
        reason = why_altered(text)
        if reason is not None:
            raise InvalidArgumentError(f"the key {name!r} cannot be copied to this server: {reason}")


def _parts(keys: Keys, limit: int) -> Iterator[dict[str, bytes]]:
    """Cut keys into parts of at most `limit` bytes. A larger key is a part of its own."""
    part: dict[str, bytes] = {}
    size = 0
    for name, text in keys.items():
        size += key_size(name, text)
        if part and size > limit:
            yield part
            part, size = {}, key_size(name, text)
        part[name] = text
    if part:
        yield part
