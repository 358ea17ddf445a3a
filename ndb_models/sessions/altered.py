"""Refuses values that the server would alter, before anything is sent.

NemesisDB changes some numbers; their text shows which. It also sorts the names in an object. Most classes read both
orders as the same. To find out whether this one does, the text is read both ways.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from ndb_models.client import NdbClient
from ndb_models.errors import StoredDataError, UnstorableError
from ndb_models.json_text import join_members
from ndb_models.protocol.altered import may_be_altered, why_altered
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.core_schemas import depends_on_order

B = TypeVar("B", bound=BaseModel)

_NO_TOKEN: Final = 0
_SORTED: Final = (
    "its order would be lost: this server sorts the names in an object; store the pairs as a list, or a str"
)


class AlterationCheck(Generic[B]):
    """Refuses values that the server would alter, for one model class.

    Args:
        client: an open client.
        model: the class.
        codec: the codec of the class.
    """

    def __init__(self, client: NdbClient, model: type[B], codec: ModelCodec[B]) -> None:
        self._client = client
        self._name = model.__name__
        self._codec = codec
        self._depends_on_order = depends_on_order(model.__pydantic_core_schema__)

    def is_due(self, text: bytes) -> bool:
        """Return True if this text has to be checked before it is sent. A quick test."""
        return self._client.is_remote and (self._depends_on_order or may_be_altered(text))

    async def refuse_altered(self, keys: Mapping[str, bytes], written: Collection[str]) -> None:
        """Refuse values that would come back altered. The server is asked for its kind once per connection.

        Args:
            keys: all keys of a model.
            written: the names of the keys that are about to be sent.

        Raises:
            UnstorableError: the server would alter some of them. Nothing was sent.
        """
        if not written or await self._client.keeps_values():
            return
        problems = [
            (name, reason) for name in written if name in keys and (reason := why_altered(keys[name])) is not None
        ]
        if not problems and self._depends_on_order:
            unwritten = frozenset(self._codec.names).difference(written)
            problems = [(name, _SORTED) for name in self._reordered(join_members(keys)) if name not in unwritten]
        if problems:
            raise UnstorableError(self._name, problems)

    def _reordered(self, text: bytes) -> Sequence[str]:
        """Return the fields that read differently once the names in each object are sorted."""
        one, other = (self._codec.load(text, _NO_TOKEN) for _ in range(2))
        try:
            as_returned = self._codec.load(_with_sorted_names(text), _NO_TOKEN)
        except StoredDataError as exc:
            return [name for name, _ in exc.problems]
        # Values of some types equal only themselves, so comparing them proves no change.
        incomparable = self._codec.differing(one, other)
        return [name for name in self._codec.differing(one, as_returned) if name not in incomparable]


def _with_sorted_names(text: bytes) -> bytes:
    value: Any = json.loads(text)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
