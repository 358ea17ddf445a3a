"""A source of pydantic-settings that reads a stored configuration. Needs the extra `settings`.

Settings are made synchronously, often before an event loop runs, sometimes inside one. So there are two ways. The
source can ask the server in its own thread, while the caller blocks. Or `load_settings` reads with an open client, and
then makes the settings.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import from_json

from ndb_models.client import NdbClient
from ndb_models.client.uri import MemoryUri, parse_uri
from ndb_models.config.keyspace import UNREADABLE, KeySpace, key_of, unreadable
from ndb_models.errors import ConfigProblem, InvalidArgumentError, SchemaError, StoredConfigError
from ndb_models.schema.problems import without_values

try:
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
except ImportError as _missing:
    raise ImportError(
        "ndb_models.integrations.settings needs pydantic-settings: pip install 'ndb_models[settings]'"
    ) from _missing

S = TypeVar("S", bound=BaseSettings)


@dataclass(slots=True)
class _Read:
    """A configuration that was read for settings.

    Attributes:
        settings: the class of the settings.
        namespace: the namespace of the keys.
        texts: the JSON texts by field.
        taken: whether a source has used it.
    """

    settings: type[BaseSettings]
    namespace: str | None
    texts: Mapping[str, bytes]
    taken: bool = False


# The configuration that `load_settings` has read, while it makes the settings.
_read: Final[ContextVar[_Read | None]] = ContextVar("ndb_models.settings", default=None)


_NO_SOURCE: Final = (
    "none of its sources is an NdbSettingsSource, so that what is stored would be ignored: return one from"
    " settings_customise_sources"
)


class NdbSettingsSource(PydanticBaseSettingsSource):
    """Takes the fields of settings from the keys of a configuration, as a `ConfigRepository` stores them.

    Return it from `settings_customise_sources`, before or after other sources. The earlier source wins, and models in
    fields are merged. If a key is missing, later sources or the default give the field.

    Each time settings are made, the source connects, reads, and closes the connection, in its own thread. So it also
    works inside a running event loop. But that loop is blocked meanwhile, and so is a server in it. In that case, and
    for `memory://`, use `load_settings`.

    Args:
        settings_cls: the settings' class.
        uri: `ws://HOST:PORT/` or `wss://HOST:PORT/`; None if only `load_settings` makes the settings.
        namespace: as of a `ConfigRepository`.
        timeout: seconds for connecting, and for an answer.
        max_payload: bytes of the largest frame that the server takes.
        ssl: the TLS context for `wss://`; None for the system's trusted certificates.
        headers: more headers for the handshake. Never shown.

    Raises (when settings are made):
        InvalidArgumentError: an argument is wrong, or there is no URI and `load_settings` is not making the settings.
        ConnectError, ConnectionLostError, RequestTimeoutError, ResponseError: the server was not reached, or refused.
        StoredConfigError: a value cannot be read: it is nested too deep, or holds a number of too many digits.
        ValidationError: a value does not fit its field. As from any source, the error shows the value, unless the class
            sets `hide_input_in_errors`.
    """

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        uri: str | None = None,
        *,
        namespace: str | None = None,
        timeout: float = 5.0,
        max_payload: int = 1024 * 1024,
        ssl: tls.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(settings_cls)
        self._uri = uri
        self._namespace = namespace
        self._options: dict[str, Any] = {
            "open_timeout": timeout,
            "request_timeout": timeout,
            "max_payload": max_payload,
            "ssl": ssl,
            "headers": headers,
        }

    def __repr__(self) -> str:
        return f"NdbSettingsSource(namespace={self._namespace!r})"

    def __call__(self) -> dict[str, Any]:
        """Return the stored values, by the names that the settings take. Asks the store once for each source."""
        found: dict[str, Any] = {}
        texts = self._texts
        for name, field in self.settings_cls.model_fields.items():
            if name in texts:
                value, key, _ = self.get_field_value(field, name)
                found[key] = value
        return found

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of `field_name` as parsed JSON, or None if it is not stored; its input name; and False."""
        text = self._texts.get(field_name)
        return from_json(text) if text is not None else None, self._input_name(field, field_name), False

    @cached_property
    def _texts(self) -> Mapping[str, bytes]:
        texts = self._loaded()
        if texts is None:
            texts = self._fetch()
        problems = [ConfigProblem(key_of(name, self._namespace), "invalid", UNREADABLE) for name in unreadable(texts)]
        if problems:
            raise StoredConfigError(self.settings_cls.__name__, problems)
        return texts

    def _loaded(self) -> Mapping[str, bytes] | None:
        """Return the texts that `load_settings` has read for these settings, or None if it does not make them.

        Raises:
            InvalidArgumentError: `load_settings` was given another namespace than this source.
        """
        read = _read.get()
        if read is None or read.settings is not self.settings_cls:
            return None
        if read.namespace != self._namespace:
            raise InvalidArgumentError(
                f"load_settings was told namespace={read.namespace!r}, and the source of {self.settings_cls.__name__}"
                f" has {self._namespace!r}; give both the same"
            )
        read.taken = True
        return read.texts

    def _fetch(self) -> Mapping[str, bytes]:
        uri = self._uri
        if uri is None:
            raise InvalidArgumentError(
                "this source has no URI: give it one, or make the settings with"
                f" await load_settings(client, {self.settings_cls.__name__})"
            )
        if isinstance(parse_uri(uri), MemoryUri):
            raise InvalidArgumentError(
                "what memory:// names belongs to one event loop, and the source reads in another; use load_settings"
            )

        async def read() -> Mapping[str, bytes]:
            async with NdbClient.connect(uri, **self._options) as client:
                return await _key_space(client, self.settings_cls, self._namespace).read()

        with ThreadPoolExecutor(1, thread_name_prefix="ndb-settings") as executor:
            return executor.submit(lambda: asyncio.run(read())).result()

    def _input_name(self, field: FieldInfo, name: str) -> str:
        """Return the name under which a field takes its value. Keys have the fields' names, settings take aliases.

        Raises:
            SchemaError: the field can only be taken by a path.
        """
        alias = field.validation_alias
        if alias is None or self.config.get("validate_by_alias") is False:
            return name
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        names = [choice for choice in choices if isinstance(choice, str)]
        if names:
            return names[0]
        if self.config.get("populate_by_name") or self.config.get("validate_by_name"):
            return name
        problem = "it is taken by a path only, so that it cannot be given as a whole; give it an alias that is a name"
        raise SchemaError(self.settings_cls.__name__, name, problem)


async def load_settings(client: NdbClient, settings: type[S], /, *, namespace: str | None = None, **init: Any) -> S:
    """Return settings, made from all their sources. The source for this namespace uses this client's answer.

    Args:
        client: an open client, of any kind.
        settings: the class; its `settings_customise_sources` has an `NdbSettingsSource` with this namespace.
        namespace: as of a `ConfigRepository`.
        init: arguments for the class.

    Raises:
        InvalidArgumentError: the class does not inherit from `BaseSettings`.
        SchemaError: the class has no `NdbSettingsSource`, so stored values would be ignored.
        ValidationError: the sources together do not make settings. It names fields and reasons, never values, stored or
            other.
        NdbError: anything that `NdbSettingsSource` raises.
    """
    given: object = settings
    if not (isinstance(given, type) and issubclass(given, BaseSettings)):
        raise InvalidArgumentError("load_settings makes settings: give it a class that inherits from BaseSettings")
    read = _Read(settings, namespace, await _key_space(client, settings, namespace).read())
    token = _read.set(read)
    try:
        made = _made(settings, init)
    finally:
        _read.reset(token)
    if not read.taken:
        raise SchemaError(settings.__name__, None, _NO_SOURCE)
    if isinstance(made, ValidationError):
        raise made
    return made


def _made(settings: type[S], init: Mapping[str, Any]) -> S | ValidationError:
    """Return settings, or the error without values. The caller raises it outside this `except`.

    Raised here, it would keep the first error, with its values, as its context.
    """
    try:
        return settings(**init)
    except ValidationError as exc:
        return without_values(exc)


def _key_space(client: NdbClient, settings: type[BaseSettings], namespace: str | None) -> KeySpace:
    names = [name for name, field in settings.model_fields.items() if field.exclude is not True]
    return KeySpace(client, settings.__name__, names, namespace)
