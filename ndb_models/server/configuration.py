"""The configuration of `ndb-models serve` and `health`: command line before environment before file before defaults.

Every error names its source: the flag, the variable, or the key in the file.
"""

# JSON has no types until it is validated.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from ndb_models.engine.context import EngineLimits
from ndb_models.errors import InvalidArgumentError
from ndb_models.private_files import warning_if_open_to_others
from ndb_models.raising import raise_without_context
from ndb_models.server.config_file import ConfigFile, read_config_file
from ndb_models.server.options import ServerOptions
from ndb_models.server.settings import SETTINGS, Setting
from ndb_models.server.tls import server_context
from ndb_models.server.tokens import Role, Tokens, read_tokens
from ndb_models.stores.occupancy import StoreLimits

CONFIG_VARIABLE: Final = "NDB_CONFIG"
TOKEN_VARIABLES: Final[Mapping[str, Role]] = {"NDB_TOKEN": Role.DATA, "NDB_ADMIN_TOKEN": Role.ADMIN}
"""Tokens may stand in the environment, but not on the command line: every user of the machine can read that."""

IN_MEMORY: Final = "memory://"
_NO_FILE: Final = ConfigFile({}, {}, ())


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole configuration of a server.

    Attributes:
        warnings: messages to log once logging is set up.
        sources: the flag, the variable or the key in the file that each setting comes from, by the setting's name.
    """

    server: ServerOptions
    store: str
    limits: StoreLimits
    engine: EngineLimits
    max_nesting: int
    persist_path: Path | None
    load_names: tuple[str, ...]
    load_path: Path | None
    token_file: Path | None
    workers: int
    log_level: str
    log_format: str
    warnings: tuple[str, ...]
    sources: Mapping[str, str]

    def require_startable(self) -> None:
        """Refuse an unsafe address and an unusable certificate before the server starts.

        Raises:
            InvalidArgumentError: the address or the certificate is refused; names its source.
        """
        server = self.server
        with _named(self.sources["host"]):
            server.require_safe_address()
        if server.tls_cert is not None and server.tls_key is not None:
            with _named(self.sources["tls_cert"]):
                server_context(server.tls_cert, server.tls_key)


class Probe(NamedTuple):
    """The server to ask for its health: its address on this machine, and whether it speaks TLS."""

    host: str
    port: int
    secure: bool


class Access(NamedTuple):
    """Access to a server: its bearer token, or None, and the size in bytes of the largest request that it takes."""

    token: str | None
    max_payload: int


class _Told(NamedTuple):
    values: Mapping[str, Any]
    sources: Mapping[str, str]
    warnings: tuple[str, ...]


PROBED: Final = tuple(setting for setting in SETTINGS if setting.name in ("host", "port", "tls_cert"))
"""The settings that `health` takes; it ignores the others in the environment and in the file."""


OF_ACCESS: Final = tuple(setting for setting in SETTINGS if setting.name in ("max_payload", "token_file"))
"""The settings that `copy` takes for a target server."""


def configure(given: Mapping[str, Any], environment: Mapping[str, str]) -> Configuration:
    """Combine all sources. `given` holds the texts of flags by the names of settings; None for a flag not given.

    Raises:
        InvalidArgumentError: a source has an invalid value, or two do not go together; names the source.
    """
    return _put_together(_read(SETTINGS, given, environment), environment)


def configure_probe(given: Mapping[str, Any], environment: Mapping[str, str]) -> Probe:
    """Return the server to ask for its health, from the sources of `configure`.

    Raises:
        InvalidArgumentError: as for `configure`; or the port is 0.
    """
    values, sources, _ = _read(PROBED, given, environment)
    if values["port"] == 0:
        raise InvalidArgumentError(f"{sources['port']}: 0 is any free port; write the one that is served, such as 1987")
    return Probe(values["host"], values["port"], values["tls_cert"] is not None)


def configure_access(given: Mapping[str, Any], environment: Mapping[str, str]) -> Access:
    """Return the access to a server, from flags and the environment.

    A file on the command line goes first, then a token in the environment, then a file that the environment names. The
    first token of a file counts.

    Raises:
        InvalidArgumentError: a source has an invalid value; names the source.
    """
    said = {setting.name: _value(setting, given, environment, _NO_FILE) for setting in OF_ACCESS}
    token_file, source = said["token_file"]
    variables: Mapping[str, str] = {} if given.get("token_file") is not None else environment
    return Access(_token_of(token_file, variables, source), said["max_payload"][0])


def _token_of(token_file: Path | None, environment: Mapping[str, str], source: str) -> str | None:
    for variable, role in TOKEN_VARIABLES.items():
        if environment.get(variable):
            with _named(variable):
                Tokens([(role, environment[variable])])
            return environment[variable]
    if token_file is None:
        return None
    with _named(source):
        return read_tokens(token_file)[0][1]


def _read(settings: Sequence[Setting], given: Mapping[str, Any], environment: Mapping[str, str]) -> _Told:
    file = _NO_FILE
    config = given.get("config") or environment.get(CONFIG_VARIABLE)
    if config:
        with _named("--config" if given.get("config") else CONFIG_VARIABLE):
            file = read_config_file(Path(config))
    for key in file.values.keys() - {setting.key for setting in SETTINGS}:
        raise InvalidArgumentError(f"{file.places[key]}: there is no such setting")
    said = {setting.name: _value(setting, given, environment, file) for setting in settings}
    return _Told(
        {name: value for name, (value, _) in said.items()},
        {name: source for name, (_, source) in said.items()},
        file.warnings,
    )


@contextlib.contextmanager
def _named(source: str) -> Generator[None]:
    """Put the name of the source before the message of an error."""
    try:
        yield
    except InvalidArgumentError as exc:
        raise InvalidArgumentError(f"{source}: {exc}") from exc


def read_all_tokens(
    token_file: Path | None, environment: Mapping[str, str], source: str = "--token-file"
) -> Tokens | None:
    """Return the tokens of the file and of the environment; None if there are none. `source` names the file in errors.

    Raises:
        InvalidArgumentError: a token is invalid, or the file cannot be read; names the source.
    """
    with _named(source):
        tokens = read_tokens(token_file) if token_file is not None else []
    for variable, role in TOKEN_VARIABLES.items():
        if variable in environment:
            with _named(variable):
                Tokens([(role, environment[variable])])
            tokens.append((role, environment[variable]))
    return Tokens(tokens) if tokens else None


def _value(
    setting: Setting, given: Mapping[str, Any], environment: Mapping[str, str], file: ConfigFile
) -> tuple[Any, str]:
    """Return the value from the first source that has one, and that source; else the default, and the flag."""
    source = setting.flag
    try:
        flag = given.get(setting.name)
        if flag is not None:
            return _of_flag(setting, flag), source
        source = setting.variable
        if environment.get(source):
            return setting.value_of(environment[source]), source
        if setting.key in file.values:
            source = file.places[setting.key]
            return _of_json(setting, file.values[setting.key]), source
    except ValueError as exc:
        raise_without_context(InvalidArgumentError(f"{source}: {exc}"))
    return setting.default, setting.flag


def _of_flag(setting: Setting, given: Any) -> Any:
    if setting.read is None:
        return given
    return tuple(setting.read(each) for each in given) if setting.many else setting.read(given)


def _of_json(setting: Setting, value: object) -> Any:
    """Return the value of a key in the file; its JSON type must be that of the setting."""
    if setting.read is None:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value
    if setting.many:
        if type(value) is not list:
            raise ValueError("must be an array")
        items: list[object] = value
        return tuple(_scalar(setting, each) for each in items)
    return _scalar(setting, value)


def _scalar(setting: Setting, value: object) -> Any:
    assert setting.read is not None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number is not (setting.metavar in ("N", "SECONDS")) or not isinstance(value, (int, float, str)):
        raise ValueError(f"must be a {'number' if setting.metavar in ('N', 'SECONDS') else 'string'}")
    return setting.read(str(value))


def _put_together(told: _Told, environment: Mapping[str, str]) -> Configuration:
    values, sources, warnings = told
    limits = StoreLimits(sessions=values["max_sessions"], keys=values["max_keys"], size=values["max_bytes"])
    _require_consistent(values, sources)
    token_file = values["token_file"]
    secrets = (path for path in (token_file, values["tls_key"]) if path is not None)
    warnings = (*warnings, *filter(None, map(warning_if_open_to_others, secrets)))
    options = {
        "host", "port", "max_payload", "max_connections", "max_handshakes", "max_header_bytes",
        "max_connections_per_address", "handshake_rate_per_address", "miss_rate", "miss_rate_per_address",
        "max_in_flight", "open_timeout", "receive_timeout", "send_timeout", "close_timeout", "idle_timeout",
        "stop_timeout", "insecure", "tls_cert", "tls_key",
    }  # fmt: skip
    return Configuration(
        server=ServerOptions(
            **{name: value for name, value in values.items() if name in options},
            tokens=read_all_tokens(token_file, environment, sources["token_file"]),
            allow_origins=values["allow_origin"],
            reuse_port=values["workers"] > 1,
        ),
        store=values["store"],
        limits=limits,
        engine=_engine_limits(values),
        max_nesting=values["max_nesting"],
        persist_path=values["persist_path"],
        load_names=values["load_name"],
        load_path=values["load_path"] or values["persist_path"],
        token_file=token_file,
        workers=values["workers"],
        log_level=values["log_level"],
        log_format=values["log_format"],
        warnings=warnings,
        sources=sources,
    )


def _engine_limits(values: Mapping[str, Any]) -> EngineLimits:
    return EngineLimits.for_payload(
        values["max_payload"],
        seconds=values["search_timeout"],
        nodes=values["max_search_nodes"],
        results=values["max_search_results"],
        containers=values["max_containers"],
        answer=values["max_answer"],
    )


def _require_consistent(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Refuse settings that do not go together."""
    if values["load_name"] and not (values["load_path"] or values["persist_path"]):
        raise InvalidArgumentError(f"{sources['load_name']}: say where from, with --load-path or --persist-path")
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if values[one] is not None and values[other] is None:
            raise InvalidArgumentError(f"{sources[one]}: it needs --{other.replace('_', '-')} too: give both or none")
    if values["store"] != IN_MEMORY:
        for limit in ("max_sessions", "max_keys", "max_bytes"):
            if values[limit] is not None:
                raise InvalidArgumentError(
                    f"{sources[limit]}: it is for a store in memory, and {sources['store']} names another; leave it out"
                )
    elif values["workers"] > 1:
        raise InvalidArgumentError(
            f"{sources['workers']}: it is for stores that processes can share, and one in memory is in one process:"
            " leave it out, or share a file (--store sqlite:///PATH)"
        )
