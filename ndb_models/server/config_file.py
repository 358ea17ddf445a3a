"""NemesisDB's configuration file (`server.jsonc`), as its releases 0.6.4 to 0.8 read it: JSON with comments.

`ip`, `port`, `maxPayload` and `persist` have NemesisDB's meaning. `core`, `sessionsEnabled`, `arrays` and `lists` are
ignored. Settings that only this server has stand under `ndb_models`, which NemesisDB ignores. Any other key gives a
warning.
"""

# JSON has no types until it is validated.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.json_text import is_nested_deeper
from ndb_models.raising import raise_without_context
from ndb_models.redaction import shown
from ndb_models.server.setting_fields import OWN_KEY
from ndb_models.strict_json import MAX_NESTING

_VERSIONS: Final = (5, 6)
_OBJECTS: Final = frozenset({"persist", OWN_KEY})
_ENABLED: Final = "persist.enabled"
_IGNORED: Final = frozenset({"arrays", "core", "lists", "sessionsEnabled", "version"})

# Matches whole strings too, so that a comment sign inside a string is not taken for a comment.
_STRING_OR_COMMENT: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_NOT_A_LINE_BREAK: Final = re.compile(r"[^\n]")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The content of a configuration file.

    Attributes:
        values: JSON values by the paths of their keys, such as `port`, `persist.path` or `ndb_models.maxSessions`.
        name: the name of the file.
    """

    values: Mapping[str, object]
    name: str = ""


def read_config_file(path: Path) -> ConfigFile:
    """Read a configuration file.

    Raises:
        InvalidArgumentError: the file cannot be read, is not JSON with comments, or has an unknown version; or one of
            its objects is malformed.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise_without_context(InvalidArgumentError(f"{shown(path)} cannot be read: {reason}"))
    document = _parse(path, text)
    version = document.get("version")
    if type(version) is not int or version not in _VERSIONS:
        wanted = " or ".join(map(str, _VERSIONS))
        raise InvalidArgumentError(f"{path}: 'version' must be {wanted}, as NemesisDB has it since 0.6.4")
    return ConfigFile(dict(_flattened(path, document)), str(path))


def without_comments(text: str) -> str:
    """Return JSON with comments replaced by spaces: lines and columns stay the same."""

    def blank(match: re.Match[str]) -> str:
        found = match[0]
        return found if found.startswith('"') else _NOT_A_LINE_BREAK.sub(" ", found)

    return _STRING_OR_COMMENT.sub(blank, text)


def _parse(path: Path, text: str) -> dict[str, Any]:
    if is_nested_deeper(text.encode(), MAX_NESTING):
        raise InvalidArgumentError(f"{path}: nested deeper than {MAX_NESTING} levels")
    try:
        document = json.loads(without_comments(text), object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as exc:
        raise_without_context(InvalidArgumentError(f"{path}, line {exc.lineno}, column {exc.colno}: {exc.msg}"))
    except ValueError as exc:
        raise_without_context(InvalidArgumentError(f"{path}: {exc}"))
    return _members(document, f"{path}: a configuration is an object")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def _flattened(path: Path, document: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield the paths of all keys that may be settings, with their values."""
    for key, value in document.items():
        if key in _OBJECTS:
            members = _members(value, f"{path}: '{key}' must be an object")
            if key == "persist" and "path" in members and not _enabled(path, members):
                del members["path"]
            yield from ((f"{key}.{name}", member) for name, member in members.items() if f"{key}.{name}" != _ENABLED)
        elif key not in _IGNORED:
            yield key, value


def _members(value: Any, complaint: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise InvalidArgumentError(complaint)
    members: dict[str, Any] = value
    return members


def _enabled(path: Path, persist: Mapping[str, Any]) -> bool:
    enabled = persist.get("enabled")
    if not isinstance(enabled, bool):
        raise InvalidArgumentError(f"{path}: '{_ENABLED}' must be true or false")
    return enabled
