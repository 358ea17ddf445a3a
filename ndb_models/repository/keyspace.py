"""The shared keys of one configuration: their names, and reading and writing them as JSON texts.

Knows of keys and of fields' names, and nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic_core import from_json

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import InvalidArgumentError, ProtocolError, SchemaError
from ndb_models.repository.splitting import fits, split_by_size, split_names
from ndb_models.texts import ObjectText
from ndb_models.wire.commands import COMMANDS
from ndb_models.wire.prepared import Parameters, Prepared
from ndb_models.wire.statuses import Status

SEPARATOR: Final = ":"
"""Stands between a namespace and a field's name, and between the parts of a namespace."""

UNREADABLE: Final = "it cannot be read: it is nested too deep, or holds a number of too many digits"
"""The reason for those that `unreadable` names."""

_KV_GET: Final = COMMANDS["KV_GET"]
_KV_SET: Final = COMMANDS["KV_SET"]
_KV_RMV: Final = COMMANDS["KV_RMV"]


class _Lookup(Prepared):
    """A read of shared keys: nothing in their values proves whose they are, their names do."""

    __slots__ = ()

    def fits(self, answer: bytes) -> bool:
        """Tell whether an answer holds no keys but those that were asked for."""
        try:
            body = self.read(answer)
            return body["st"] != Status.OK or frozenset(self.body["keys"]).issuperset(body["keys"])
        except ProtocolError:
            return True  # whoever reads it is told why


class KeySpace:
    """Reads and writes the keys of one configuration.

    Args:
        client: an open client.
        model: the name of the class, for errors.
        names: the fields.
        namespace: what the keys begin with; None for keys that are named as the fields are.

    Raises:
        InvalidArgumentError: the namespace is none.
        SchemaError: in a namespace, the name of a field would be taken for one with a namespace of its own.
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
        """Return the texts of those fields whose keys there are.

        One read, unless the names of the keys are more than a frame of the server's holds: then it is not atomic.
        """
        texts: dict[str, bytes] = {}
        if not self._names:
            return texts
        for part in split_names(_KV_GET, tuple(self._names), None, self._client.max_payload):
            answer = await self._client.perform(_Lookup(_KV_GET, None, Parameters(keys=part)))
            if answer["st"] != Status.OK:
                raise failure(_KV_GET, {"st": answer["st"], "m": answer.get("m")})
            texts.update((self._names[key], bytes(text)) for key, text in answer["keys"].items())
        return texts

    async def write(self, texts: Mapping[str, bytes]) -> None:
        """Write fields: in one piece, if the server takes it in one.

        Raises:
            PayloadTooLargeError: a field alone is larger than the server takes. Nothing was written.
        """
        keys = {self.key(name): text for name, text in texts.items()}
        limit = self._client.max_payload
        whole = limit is None or fits(ObjectText.joined(keys), limit)
        parts = [keys] if whole else self._divided(keys, limit or 0)
        for part in parts if keys else ():
            answer = await self._client.perform(Prepared(_KV_SET, values=ObjectText.joined(part)))
            if answer["st"] != Status.OK:
                raise failure(_KV_SET, {"st": answer["st"], "m": answer.get("m")})

    async def remove(self, names: Iterable[str]) -> None:
        """Remove fields, in as many frames as it takes. Those that are not there do no harm."""
        keys = tuple(map(self.key, names))
        if keys:
            for part in split_names(_KV_RMV, keys, None, self._client.max_payload):
                await self._client.kv_rmv(part)

    def _divided(self, keys: Mapping[str, bytes], limit: int) -> list[dict[str, bytes]]:
        return split_by_size(self._model, _KV_SET, keys.items(), limit, prefix=self._prefix)

    async def unknown(self) -> list[str]:
        """Return the keys in the namespace that are no field's, sorted; those of namespaces below it are not in it.

        Without a namespace none are: the keys may be anybody's.
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
    """Return the names of those texts that Pydantic's parser does not read."""
    return [name for name, text in texts.items() if not _is_readable(text)]


def _is_readable(text: bytes) -> bool:
    try:
        from_json(b"[%b]" % text)  # as deep in something else as it will be in the model
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
