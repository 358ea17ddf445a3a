"""The shared keys of one configuration: their names, and reading and writing them as JSON texts.

This module knows keys and the names of fields, but no models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic_core import from_json

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import InvalidArgumentError, SchemaError
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Prepared, reading_answer
from ndb_models.protocol.statuses import Status
from ndb_models.sessions.keys_read import keys_read
from ndb_models.sessions.splitting import fits, split_by_size, split_names

SEPARATOR: Final = ":"
"""Separates a namespace from a field's name, and the parts of a namespace."""

UNREADABLE: Final = "it cannot be read: it is nested too deep, or holds a number of too many digits"
"""The reason given for a text that is `unreadable`."""

_KV_GET: Final = COMMANDS["KV_GET"]
_KV_SET: Final = COMMANDS["KV_SET"]
_KV_RMV: Final = COMMANDS["KV_RMV"]


class KeySpace:
    """Reads and writes the keys of one configuration.

    Args:
        client: an open client.
        model: the name of the class, for errors.
        names: the fields.
        namespace: the prefix of the keys, or None for keys that are named as the fields are.

    Raises:
        InvalidArgumentError: the namespace is invalid.
        SchemaError: in a namespace, the name of a field would read as a namespace and a name.
    """

    def __init__(self, client: NdbClient, model: str, names: Sequence[str], namespace: str | None) -> None:
        _check_namespace(namespace)
        self._client = client
        self._model = model
        self._prefix = key_of("", namespace)
        for name in names:
            if self._prefix and SEPARATOR in name:
                raise SchemaError(model, name, f"in a namespace, the name of a field has no {SEPARATOR!r}")
        self._names = {self.key(name): name for name in names}

    def key(self, name: str) -> str:
        """Return the key of a field."""
        return self._prefix + name

    async def read(self) -> dict[str, bytes]:
        """Return the texts of the fields that are stored.

        This is one atomic read, unless the names of the keys need several frames.
        """
        texts: dict[str, bytes] = {}
        if not self._names:
            return texts
        for part in split_names(_KV_GET, tuple(self._names), None, self._client.max_payload):
            answer = await self._client.perform(keys_read(_KV_GET, part))
            if answer["st"] != Status.OK:
                raise failure(_KV_GET, answer)
            with reading_answer(_KV_GET):
                texts.update((self._names[key], bytes(text)) for key, text in answer["keys"].items())
        return texts

    async def write(self, texts: Mapping[str, bytes]) -> None:
        """Write fields: atomically, if the server takes them in one frame.

        Raises:
            PayloadTooLargeError: a single field is larger than the server takes. No field was written.
        """
        keys = {self.key(name): text for name, text in texts.items()}
        limit = self._client.max_payload
        parts = [keys] if keys else []
        if limit is not None and not fits(ObjectText.joined(keys), limit):
            parts = split_by_size(self._model, _KV_SET, keys.items(), limit, prefix=self._prefix)
        for part in parts:
            answer = await self._client.perform(Prepared(_KV_SET, values=ObjectText.joined(part)))
            if answer["st"] != Status.OK:
                raise failure(_KV_SET, answer)

    async def remove(self, names: Iterable[str]) -> None:
        """Remove fields, in as many frames as needed. Missing fields do no harm."""
        keys = tuple(map(self.key, names))
        if keys:
            for part in split_names(_KV_RMV, keys, None, self._client.max_payload):
                await self._client.kv_rmv(part)

    async def unknown(self) -> list[str]:
        """Return the keys in the namespace that belong to no field, sorted.

        Keys of a namespace below it are not in it. Without a namespace no key is unknown: any program may own it.
        """
        if not self._prefix:
            return []
        start = len(self._prefix)
        return sorted(
            key
            for key in await self._client.kv_keys()
            if key.startswith(self._prefix) and SEPARATOR not in key[start:] and key not in self._names
        )


def key_of(name: str, namespace: str | None) -> str:
    """Return the key of a field in a namespace, or without one."""
    return f"{namespace}{SEPARATOR}{name}" if namespace is not None else name


def unreadable(texts: Mapping[str, bytes]) -> list[str]:
    """Return the names of the texts that Pydantic's parser does not read."""
    return [name for name, text in texts.items() if not _is_readable(text)]


def _is_readable(text: bytes) -> bool:
    try:
        from_json(b"[%b]" % text)  # as deeply nested as in the model
    except ValueError:
        return False
    return True


def _check_namespace(namespace: object) -> None:
    if namespace is None:
        return
    if not (isinstance(namespace, str) and namespace.isprintable() and all(namespace.split(SEPARATOR))):
        raise InvalidArgumentError(
            f"a namespace is a printable string such as 'app', or 'app{SEPARATOR}web', without empty parts;"
            " leave it out for keys that are named as the fields are"
        )
