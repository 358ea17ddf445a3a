"""Reads the settings of `ndb-models serve`: command line before environment before file before defaults.

Every error names its source: the flag, the variable, or the key in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ndb_models.errors import InvalidArgumentError
from ndb_models.private_files import warning_if_open_to_others
from ndb_models.raising import naming, raise_without_context
from ndb_models.server.config_file import ConfigFile, read_config_file
from ndb_models.server.setting_fields import OWN_KEY, Setting
from ndb_models.server.settings import IN_MEMORY, SETTINGS, Settings
from ndb_models.server.tls import server_context
from ndb_models.server.tokens import Role, Tokens, read_tokens

CONFIG_VARIABLE: Final = "NDB_CONFIG"
TOKEN_VARIABLES: Final[Mapping[str, Role]] = {"NDB_TOKEN": Role.DATA, "NDB_ADMIN_TOKEN": Role.ADMIN}
"""Tokens may stand in the environment, but not on the command line: every user of the machine can read that."""

_NO_FILE: Final = ConfigFile({})


class Probe(NamedTuple):
    """The server to ask for its health: its address on this machine, and whether it speaks TLS."""

    host: str
    port: int
    secure: bool


class Access(NamedTuple):
    """Access to a server: its bearer token, or None, and the size in bytes of the largest request that it takes."""

    token: str | None
    max_payload: int


PROBED: Final = tuple(setting for setting in SETTINGS if setting.name in ("host", "port", "tls_cert"))
"""The settings that `health` takes; it ignores the others in the environment and in the file."""


OF_ACCESS: Final = tuple(setting for setting in SETTINGS if setting.name in ("max_payload", "token_file"))
"""The settings that `copy` takes for a target server."""

_KNOWN_KEYS: Final = frozenset(path for setting in SETTINGS for path in setting.paths)


def configure(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Combine all sources. `given` holds the texts of flags by the names of settings; None for a flag not given.

    Raises:
        InvalidArgumentError: a source has an invalid value, or two do not go together; names the source.
    """
    file = _config_file(given, environment)
    warnings = [f"{file.name}: '{path}' is not known, and passed over" for path in _unknown_keys(file)]
    values, sources = _read(SETTINGS, given, environment, file)
    _require_consistent(values, sources)
    token_file = values["token_file"]
    secrets = (path for path in (token_file, values["tls_key"]) if path is not None)
    return Settings(
        **{**values, "load_path": values["load_path"] or values["persist_path"]},
        tokens=read_all_tokens(token_file, environment, sources["token_file"]),
        reuse_port=values["workers"] > 1,
        warnings=(*warnings, *filter(None, map(warning_if_open_to_others, secrets))),
        sources=sources,
    )


def require_startable(settings: Settings) -> None:
    """Refuse an unsafe address, an unsafe status page and an unusable certificate before a server starts.

    Raises:
        InvalidArgumentError: the address, the page or the certificate is refused; names its source.
    """
    with naming(settings.sources["host"]):
        settings.require_safe_address()
    with naming(settings.sources["dashboard"]):
        settings.require_safe_page()
    if settings.certificate is not None:
        with naming(settings.sources["tls_cert"]):
            server_context(*settings.certificate)


def configure_probe(given: Mapping[str, Any], environment: Mapping[str, str]) -> Probe:
    """Return the server to ask for its health, from the sources of `configure`.

    Raises:
        InvalidArgumentError: as for `configure`; or the port is 0.
    """
    file = _config_file(given, environment)
    _unknown_keys(file)
    values, sources = _read(PROBED, given, environment, file)
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
    values, sources = _read(OF_ACCESS, given, environment, _NO_FILE)
    variables: Mapping[str, str] = {} if given.get("token_file") is not None else environment
    return Access(_token_of(values["token_file"], variables, sources["token_file"]), values["max_payload"])


def _token_of(token_file: Path | None, environment: Mapping[str, str], source: str) -> str | None:
    for variable, role in TOKEN_VARIABLES.items():
        if environment.get(variable):
            with naming(variable):
                Tokens([(role, environment[variable])])
            return environment[variable]
    if token_file is None:
        return None
    with naming(source):
        return read_tokens(token_file)[0][1]


def _config_file(given: Mapping[str, Any], environment: Mapping[str, str]) -> ConfigFile:
    config = given.get("config") or environment.get(CONFIG_VARIABLE)
    if not config:
        return _NO_FILE
    with naming("--config" if given.get("config") else CONFIG_VARIABLE):
        return read_config_file(Path(config))


def _unknown_keys(file: ConfigFile) -> list[str]:
    """Return the paths of keys that are no settings.

    Raises:
        InvalidArgumentError: one of them is among this package's own keys.
    """
    unknown = [path for path in file.values if path not in _KNOWN_KEYS]
    for path in unknown:
        if path.startswith(f"{OWN_KEY}."):
            raise InvalidArgumentError(f"{path} in {file.name}: there is no such setting")
    return unknown


def _read(
    settings: Sequence[Setting], given: Mapping[str, Any], environment: Mapping[str, str], file: ConfigFile
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of settings, and their sources, by the names of their fields."""
    found = {setting.field: _value(setting, given, environment, file) for setting in settings}
    return {name: value for name, (value, _) in found.items()}, {name: source for name, (_, source) in found.items()}


def read_all_tokens(
    token_file: Path | None, environment: Mapping[str, str], source: str = "--token-file"
) -> Tokens | None:
    """Return the tokens of the file and of the environment; None if there are none. `source` names the file in errors.

    Raises:
        InvalidArgumentError: a token is invalid, or the file cannot be read; names the source.
    """
    with naming(source):
        tokens = read_tokens(token_file) if token_file is not None else []
    for variable, role in TOKEN_VARIABLES.items():
        if variable in environment:
            with naming(variable):
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
            return setting.of_flag(flag), source
        source = setting.variable
        if environment.get(source):
            return setting.of_variable(environment[source]), source
        for path in setting.paths:
            if path in file.values:
                source = f"{path} in {file.name}"
                return setting.of_json(file.values[path]), source
    except ValueError as exc:
        raise_without_context(InvalidArgumentError(f"{source}: {exc}"))
    return setting.default, setting.flag


def _require_consistent(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Refuse settings that do not go together."""
    if values["load_names"] and not (values["load_path"] or values["persist_path"]):
        raise InvalidArgumentError(f"{sources['load_names']}: say where from, with --load-path or --persist-path")
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if values[one] is not None and values[other] is None:
            raise InvalidArgumentError(f"{sources[one]}: it needs --{other.replace('_', '-')} too: give both or none")
    if values["dashboard_write"] and not values["dashboard"]:
        raise InvalidArgumentError(f"{sources['dashboard_write']}: it is for the status page: give --dashboard too")
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
