"""Parse a URI into the kind and the address of its store."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import WebSocketException
from websockets.uri import parse_uri as websockets_parse_uri

from ndb_models.errors import InvalidArgumentError
from ndb_models.raising import raise_without_context


@dataclass(frozen=True, slots=True)
class MemoryUri:
    """`memory://`, private to its client, or `memory://NAME`, shared in this process. `?persist_path=DIR` to save."""

    name: str
    persist_path: str | None

    @property
    def shown(self) -> str:
        """The URI without its options."""
        return f"memory://{self.name}"


@dataclass(frozen=True, slots=True)
class WebSocketUri:
    """`ws://` or `wss://`. `text` may hold credentials; `shown` does not."""

    text: str = field(repr=False)
    shown: str
    host: str
    port: int
    names_port: bool = True

    @property
    def hint(self) -> str:
        """Advice for a server that does not answer."""
        if self.names_port:
            return "is the server running there?" + (" does it speak TLS?" if self.secure else "")
        return f"the URI names no port, which means {443 if self.secure else 80}; a NemesisDB's is mostly 1987"

    @property
    def secure(self) -> bool:
        """Whether it is `wss://`."""
        return self.shown.startswith("wss:")


@dataclass(frozen=True, slots=True)
class EmbeddedUri:
    """`sqlite:///PATH`: an engine in this process with its store in a file. The store parses the rest of the URI."""

    text: str = field(repr=False)
    shown: str


@dataclass(frozen=True, slots=True)
class ElsewhereUri:
    """`redis://HOST/DATABASE` and the like: an engine in this process that stores there. The store parses the rest."""

    text: str = field(repr=False)
    shown: str


# An address in this form holds no credentials, so an error may show it.
_HOST_AND_PORT: Final = re.compile(r"[A-Za-z0-9_.-]+(?::[0-9]{1,5})?/?")
_FILE_NAME: Final = re.compile(r"\.(?:db|sqlite|sqlite3)$")
_INSTEAD: Final = {
    "http": "a server is reached by ws://: 'ws://127.0.0.1:1987/'",
    "https": "a server with TLS is reached by wss://: 'wss://sessions.example.org/'",
    "nemesis": "a NemesisDB is reached by ws://: 'ws://127.0.0.1:1987/'",
    "nemesisdb": "a NemesisDB is reached by ws://: 'ws://127.0.0.1:1987/'",
    "ndb": "a NemesisDB is reached by ws://: 'ws://127.0.0.1:1987/'",
    "tcp": "a server is reached by ws://: 'ws://127.0.0.1:1987/'",
    "sqlite": "a file is named with three slashes, or four where its path is absolute: 'sqlite:///sessions.db'",
    "sqlite3": "a file is named by 'sqlite:///sessions.db'",
    "file": "a file is named by 'sqlite:///sessions.db'",
    "memory": "a store in memory is named by 'memory://' or 'memory://NAME'",
}


def _advice(text: str, scheme: str) -> str:
    """Return advice for a URI that no transport can open."""
    if scheme in _INSTEAD:
        return f"this is no URI of a store; {_INSTEAD[scheme]}"
    if "//" not in text and _HOST_AND_PORT.fullmatch(text) and (":" in text or text.rstrip("/") == "localhost"):
        address = text.rstrip("/")
        return f"the URI has no scheme; try 'ws://{address}{'' if ':' in address else ':1987'}/'"
    if "://" not in text and _FILE_NAME.search(text):
        return f"the URI has no scheme; {_INSTEAD['sqlite']}"
    said = f"the URI's scheme is {scheme!r}" if scheme and "://" in text else "the URI has no scheme"
    return f"{said}; try 'memory://', 'sqlite:///sessions.db', 'redis://127.0.0.1:6379', 'ws://127.0.0.1:1987/' or 'wss://...'"


Uri: TypeAlias = MemoryUri | WebSocketUri | EmbeddedUri | ElsewhereUri

_OF_REDIS: Final = re.compile(
    r"((?:redis|valkey)s?(?:\+cluster)?://)(?:[^/?#]*@)?([^/?#@]*(?:/[^?#]*)?)", re.IGNORECASE
)


def parse_uri(text: str) -> Uri:
    """Return the parsed URI.

    Raises:
        InvalidArgumentError: the URI is malformed, or of no kind that this package can open.
    """
    given: object = text
    if not isinstance(given, str):
        raise InvalidArgumentError(f"a URI is a str, not a {type(given).__name__}")
    if not text:
        raise InvalidArgumentError("the URI is empty; try 'memory://' or 'ws://127.0.0.1:1987/'")
    try:
        text.encode()  # raises for half a surrogate pair
        of_redis = _OF_REDIS.match(text)
        if of_redis is not None:  # it may name several hosts, which `urlsplit` takes for a wrong port
            return ElsewhereUri(text, of_redis[1].lower() + of_redis[2])
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise_without_context(InvalidArgumentError("the URI is malformed; try 'memory://' or 'ws://127.0.0.1:1987/'"))
    match parts.scheme:
        case "memory" if "://" in text:
            options = parse_qs(parts.query, keep_blank_values=True)
            persist_path = options.pop("persist_path", [None])[-1]
            if options:
                raise InvalidArgumentError(f"unknown option {min(options)!r} in the URI; memory:// has 'persist_path'")
            return MemoryUri(parts.netloc + parts.path.rstrip("/"), persist_path)
        case "ws" | "wss":
            if not parts.hostname:
                raise InvalidArgumentError("the URI names no host; try 'ws://127.0.0.1:1987/'")
            try:
                address = websockets_parse_uri(text)
            except (WebSocketException, ValueError):  # not as the cause: it holds the URI, with its secrets
                raise_without_context(InvalidArgumentError("the URI is no WebSocket URI (RFC 6455, section 3)"))
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            shown = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"
            return WebSocketUri(text, shown, address.host, address.port, bool(port))
        case "sqlite" if "://" in text:
            return EmbeddedUri(text, text.partition("?")[0])
        case scheme:
            raise InvalidArgumentError(_advice(text, scheme))
