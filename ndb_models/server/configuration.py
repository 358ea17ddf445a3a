"""What `ndb-models serve` is told, put together: command line before environment before file before defaults.

What is wrong is said with the name of where it was said: the flag, the variable, or the key in the file.
"""

# JSON that is being looked at has no types yet.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.server.config_file import ConfigFile, read_config_file
from ndb_models.server.options import ServerOptions
from ndb_models.server.settings import SETTINGS, Setting
from ndb_models.server.tokens import Role, Tokens, is_open_to_others, read_tokens
from ndb_models.stores.bounded import StoreLimits

CONFIG_VARIABLE: Final = "NDB_CONFIG"
TOKEN_VARIABLES: Final[Mapping[str, Role]] = {"NDB_TOKEN": Role.DATA, "NDB_ADMIN_TOKEN": Role.ADMIN}
"""Tokens may stand in the environment, and not on the command line, which every user of the machine can read."""

_IN_MEMORY: Final = "memory://"
_NO_FILE: Final = ConfigFile({}, {}, ())


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a server is told. `warnings` are to be logged once it can log."""

    server: ServerOptions
    store: str
    limits: StoreLimits
    max_nesting: int
    persist_path: Path | None
    load_names: tuple[str, ...]
    load_path: Path | None
    token_file: Path | None
    workers: int
    log_level: str
    log_format: str
    warnings: tuple[str, ...]


def configure(given: Mapping[str, Any], environment: Mapping[str, str]) -> Configuration:
    """Return what all sources together say; `given` holds the texts of flags by the names of settings, None for none.

    Raises:
        InvalidArgumentError: a source says what cannot be; tells which.
    """
    config = given.get("config") or environment.get(CONFIG_VARIABLE)
    file = read_config_file(Path(config)) if config else _NO_FILE
    keys = {setting.key for setting in SETTINGS}
    for key in file.values.keys() - keys:
        raise InvalidArgumentError(f"{file.places[key]}: there is no such setting")
    values = {setting.name: _value(setting, given, environment, file) for setting in SETTINGS}
    return _put_together(values, environment, file.warnings)


def read_all_tokens(token_file: Path | None, environment: Mapping[str, str]) -> Tokens | None:
    """Return the tokens of the file and of the environment; None where there are none.

    Raises:
        InvalidArgumentError: one of them cannot be a token; says where it stands.
    """
    tokens = read_tokens(token_file) if token_file is not None else []
    for variable, role in TOKEN_VARIABLES.items():
        if variable in environment:
            try:
                Tokens([(role, environment[variable])])
            except InvalidArgumentError as exc:
                raise InvalidArgumentError(f"{variable}: {exc}") from None
            tokens.append((role, environment[variable]))
    return Tokens(tokens) if tokens else None


def _value(setting: Setting, given: Mapping[str, Any], environment: Mapping[str, str], file: ConfigFile) -> Any:
    """Return the value from the first source that has one."""
    source = setting.flag
    try:
        flag = given.get(setting.name)
        if flag is not None:
            return _of_flag(setting, flag)
        source = setting.variable
        if environment.get(source):
            return setting.value_of(environment[source])
        if setting.key in file.values:
            source = file.places[setting.key]
            return _of_json(setting, file.values[setting.key])
    except ValueError as exc:
        raise InvalidArgumentError(f"{source}: {exc}") from None
    return setting.default


def _of_flag(setting: Setting, given: Any) -> Any:
    if setting.read is None:
        return given
    return tuple(setting.read(each) for each in given) if setting.many else setting.read(given)


def _of_json(setting: Setting, value: object) -> Any:
    """Return the value of a key in the file, which must be of the JSON type of the setting's values."""
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


def _put_together(
    values: Mapping[str, Any], environment: Mapping[str, str], warnings: tuple[str, ...]
) -> Configuration:
    if values["load_name"] and not (values["load_path"] or values["persist_path"]):
        raise InvalidArgumentError("--load-name: say where from, with --load-path or --persist-path")
    limits = StoreLimits(sessions=values["max_sessions"], keys=values["max_keys"], size=values["max_bytes"])
    if values["store"] != _IN_MEMORY and limits != StoreLimits():
        raise InvalidArgumentError("--max-sessions, --max-keys and --max-bytes are for a store in memory")
    if values["store"] == _IN_MEMORY and values["workers"] > 1:
        raise InvalidArgumentError(
            "--workers is for stores that processes can share, and one in memory is in one process: leave it out, or"
            " share a file (--store sqlite:///PATH)"
        )
    token_file = values["token_file"]
    if token_file is not None and is_open_to_others(token_file):
        warnings = (*warnings, f"{token_file} can be read by every user of this machine")
    options = {
        "host", "port", "max_payload", "max_connections", "max_in_flight", "open_timeout", "receive_timeout",
        "send_timeout", "close_timeout", "idle_timeout", "stop_timeout", "insecure", "tls_cert", "tls_key",
    }  # fmt: skip
    return Configuration(
        server=ServerOptions(
            **{name: value for name, value in values.items() if name in options},
            tokens=read_all_tokens(token_file, environment),
            allow_origins=values["allow_origin"],
            reuse_port=values["workers"] > 1,
        ),
        store=values["store"],
        limits=limits,
        max_nesting=values["max_nesting"],
        persist_path=values["persist_path"],
        load_names=values["load_name"],
        load_path=values["load_path"] or values["persist_path"],
        token_file=token_file,
        workers=values["workers"],
        log_level=values["log_level"],
        log_format=values["log_format"],
        warnings=warnings,
    )
