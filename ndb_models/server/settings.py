"""The settings of `ndb-models serve`, one row each, with the parser of its value.

A setting's name gives its flag on the command line (`--max-payload`), its variable in the environment
(`NDB_MAX_PAYLOAD`) and its key in the configuration file (`maxPayload`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from ndb_models.engine.paths import PathLimits
from ndb_models.errors import InvalidArgumentError
from ndb_models.redaction import quoted, shown
from ndb_models.server.options import ServerOptions, is_origin
from ndb_models.stores.opening import parse_store_uri
from ndb_models.wire.data_sets import why_not_a_data_set
from ndb_models.wire.strict_json import MAX_NESTING

Reader: TypeAlias = Callable[[str], Any]
"""Returns the value of a text; raises `ValueError`, with a message for people, if the text is invalid."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row.

    Args:
        name: the name, as a Python identifier.
        read: parses its text; None for a switch, which is on or off.
        help: its description in `--help`.
        metavar: the placeholder for its value there.
        default: its value if no source gives one.
        many: True if it may be given several times; in a variable, values are separated by commas.
    """

    name: str
    read: Reader | None
    help: str
    metavar: str | None = None
    default: Any = None
    many: bool = False

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "NDB_" + self.name.upper()

    @property
    def key(self) -> str:
        """Its name in the configuration file."""
        return re.sub(r"_(.)", lambda match: match[1].upper(), self.name)

    def value_of(self, text: str) -> Any:
        """Return the value of a text; raise `ValueError` if the text is invalid."""
        if self.read is None:
            return _switch(text)
        if self.many:
            return tuple(self.read(part.strip()) for part in text.split(",") if part.strip())
        return self.read(text)


_SWITCH: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("", "0", "false", "no", "off"), False),
}


def _switch(text: str) -> bool:
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise ValueError("is not one of 1, true, yes, on, 0, false, no, off") from None


_DIGITS: Final = re.compile(r"-?[0-9]{1,20}")


def _data_set(text: str) -> str:
    reason = why_not_a_data_set(text)
    if reason is not None:
        raise ValueError(reason)
    return text


def _host(text: str) -> str:
    if not text.isprintable() or any(mark in text for mark in "/@?#= "):
        raise ValueError("an address is like 127.0.0.1, ::1 or sessions.example.org, without a scheme or a port")
    return text


def _number(least: int, most: int) -> Reader:
    def number(text: str) -> int:
        if not _DIGITS.fullmatch(text):
            raise ValueError(f"{quoted(text, 20)} is not a number; write one from {least} to {most}")
        if not least <= int(text) <= most:
            raise ValueError(f"{shown(text)} is not between {least} and {most}")
        return int(text)

    return number


def _seconds(least: float) -> Reader:
    def seconds(text: str) -> float:
        try:
            value = float(text.replace("_", "?"))  # Python takes 1_0 for a number; this does not
        except ValueError:
            raise ValueError(f"{quoted(text, 20)} is not a number of seconds; write one such as 2.5") from None
        if not least <= value <= _A_YEAR:
            raise ValueError(f"{shown(text)[:20]} is not between {least:g} and {_A_YEAR:g} seconds")
        return value

    return seconds


def _choice(*choices: str) -> Reader:
    def choice(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return choice


def _store(text: str) -> str:
    try:
        parse_store_uri(text)
    except InvalidArgumentError as exc:
        raise ValueError(str(exc)) from None
    return text


def _origin(text: str) -> str:
    if not is_origin(text):
        raise ValueError("an origin is like https://app.example.org, in small letters, without a path")
    return text


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise ValueError(f"{shown(text)} is not a directory")
    return path


def _file(text: str) -> Path:
    path = Path(text)
    if not path.exists() or path.is_dir():
        raise ValueError(f"{shown(text)} is not a file")
    return path


_A_YEAR: Final = 366.0 * 86400
_ANY: Final = 2**63 - 1
_DEFAULTS: Final = ServerOptions()
_SEARCHES: Final = PathLimits()

SETTINGS: Final = (
    Setting("host", _host, "address to listen on", "ADDRESS", _DEFAULTS.host),
    Setting("port", _number(0, 65535), "port; 0 for any free one", "N", _DEFAULTS.port),
    Setting("store", _store, "where the data lives: memory:// or sqlite:///PATH", "URI", "memory://"),
    Setting("persist_path", _directory, "directory for KV_SAVE, KV_LOAD, SH_SAVE and SH_LOAD", "DIR"),
    Setting(
        "load_name", _data_set, "load this data set, of keys or of sessions, before being ready", "NAME", (), many=True
    ),
    Setting("load_path", _directory, "directory to load it from; without it, the persist path", "DIR"),
    Setting("token_file", _file, "file of the tokens that open the server: lines of data:TOKEN or admin:TOKEN", "FILE"),
    Setting("tls_cert", _file, "certificate (PEM), with those between it and its root: listen with TLS", "FILE"),
    Setting("tls_key", _file, "its key (PEM)", "FILE"),
    Setting(
        "allow_origin", _origin, "let pages of this origin connect; without it, no browser may", "ORIGIN", (), many=True
    ),
    Setting("insecure", None, "allow an address that other machines can reach, without tokens or TLS", default=False),
    Setting("max_payload", _number(64, 2**31 - 1), "largest request in bytes", "N", _DEFAULTS.max_payload),
    Setting("max_nesting", _number(3, MAX_NESTING), "deepest nesting of a request", "N", MAX_NESTING),
    Setting("max_connections", _number(1, 1_000_000), "most clients at a time", "N", _DEFAULTS.max_connections),
    Setting(
        "max_handshakes",
        _number(1, 1_000_000),
        "most connections in their handshake; one more evicts the oldest",
        "N",
        _DEFAULTS.max_handshakes,
    ),
    Setting(
        "max_header_bytes",
        _number(512, 1024 * 1024),
        "largest request of a handshake, with its headers",
        "N",
        _DEFAULTS.max_header_bytes,
    ),
    Setting("max_connections_per_address", _number(1, 1_000_000), "most clients of one address at a time", "N"),
    Setting("handshake_rate_per_address", _number(1, 1_000_000), "most handshakes of one address a second", "N"),
    Setting("miss_rate", _number(1, _ANY), "most tokens of no session that a client may name a second", "N"),
    Setting("miss_rate_per_address", _number(1, _ANY), "the same for all clients of an address", "N"),
    Setting(
        "max_in_flight",
        _number(1, 1_000_000),
        "most requests of a client that wait before no more are read",
        "N",
        _DEFAULTS.max_in_flight,
    ),
    Setting("search_timeout", _seconds(0.01), "time for one search by JSONPath", "SECONDS", _SEARCHES.seconds),
    Setting("max_search_nodes", _number(1, _ANY), "most values that a search visits", "N", _SEARCHES.nodes),
    Setting("max_search_results", _number(1, _ANY), "most places that a search finds", "N", _SEARCHES.results),
    Setting(
        "max_containers",
        _number(3, _ANY),
        "most arrays and objects in a request or a searched value"
        f" (default: {_SEARCHES.containers} for each MiB of --max-payload, and no fewer)",
        "N",
    ),
    Setting(
        "max_answer",
        _number(1024, _ANY),
        "most bytes of several keys in one answer (default: 8388608, or twice --max-payload if that is more)",
        "N",
    ),
    Setting("max_sessions", _number(1, _ANY), "most sessions", "N"),
    Setting("max_keys", _number(1, _ANY), "most keys in a session", "N"),
    Setting(
        "max_bytes",
        _number(0, _ANY),
        "most bytes of memory for a store in memory; 0 for any number (default: 3/4 of the memory that is left)",
        "N",
    ),
    Setting("open_timeout", _seconds(0.01), "time for a client's handshake", "SECONDS", _DEFAULTS.open_timeout),
    Setting(
        "send_timeout",
        _seconds(0.01),
        "time in which a client has to read something",
        "SECONDS",
        _DEFAULTS.send_timeout,
    ),
    Setting("receive_timeout", _seconds(0.01), "time for a request to come in", "SECONDS", _DEFAULTS.receive_timeout),
    Setting(
        "close_timeout",
        _seconds(0.01),
        "time in which a client has to end a closed connection",
        "SECONDS",
        _DEFAULTS.close_timeout,
    ),
    Setting("idle_timeout", _seconds(0.01), "close connections without a request for so long", "SECONDS"),
    Setting(
        "stop_timeout", _seconds(0), "time to answer what was accepted when stopping", "SECONDS", _DEFAULTS.stop_timeout
    ),
    Setting("workers", _number(1, 1024), "processes that share the port, for stores that can be shared", "N", 1),
    Setting("log_level", _choice("debug", "info", "warning", "error"), "how much is logged", "LEVEL", "warning"),
    Setting("log_format", _choice("text", "json"), "text, or one JSON object a line", "FORMAT", "text"),
)
"""Every setting, in the order of the help."""
