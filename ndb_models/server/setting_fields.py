"""Settings: fields of a dataclass that a flag, a variable and the configuration file can set.

`number`, `seconds` and the other functions below declare such a field, with its default, bounds, unit and description.
All names of a setting follow from the name of its field: the flag (`--max-payload`), the variable in the environment
(`NDB_MAX_PAYLOAD`) and the key in the file (`maxPayload`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from ndb_models.redaction import quoted, shown

T = TypeVar("T")
Reader: TypeAlias = Callable[[str], Any]
"""Returns the value of a text; raises `ValueError`, with a message for people, if the text is invalid."""

OWN_KEY: Final = "ndb_models"
"""The key in the configuration file for the settings that NemesisDB does not have."""

_SETTING: Final = "setting"
_DIGITS: Final = re.compile(r"-?[0-9]{1,20}")
_NO_LIMIT: Final = 2**63 - 1
_A_YEAR: Final = 366.0 * 86400
_SWITCH: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("", "0", "false", "no", "off"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The description of a setting.

    Attributes:
        field: the name of its field.
        name: the name that its flag, variable and key are made from.
        default: its value if no source gives one.
        meaning: its description in `--help`.
        read: parses its text.
        metavar: the placeholder for its value in `--help`; None for a switch, which is on or off.
        least, most: the bounds of a number, both included; None for other types.
        unit: the unit of a number, if it has one.
        many: True if it may be given several times. In a variable, commas separate the values.
        nemesis_key: the path of its key in a file of NemesisDB, if NemesisDB has the setting.
    """

    field: str = ""
    name: str = ""
    default: Any = None
    meaning: str
    read: Reader
    metavar: str | None
    least: float | None = None
    most: float | None = None
    unit: str | None = None
    many: bool = False
    nemesis_key: str | None = None

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
        """Its name among this package's own keys in the configuration file."""
        return re.sub(r"_(.)", lambda match: match[1].upper(), self.name)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of its key in the configuration file; the first is the documented one."""
        own = f"{OWN_KEY}.{self.key}"
        return (own,) if self.nemesis_key is None else (self.nemesis_key, own)

    @property
    def is_switch(self) -> bool:
        """True if it is on or off, and its flag has no value."""
        return self.metavar is None

    def of_flag(self, given: Any) -> Any:
        """Return the value of its flag. Raises `ValueError` for an invalid one, as the methods below do."""
        if self.is_switch:
            return given
        return tuple(map(self.read, given)) if self.many else self.read(given)

    def of_variable(self, text: str) -> Any:
        """Return the value of its variable."""
        if self.many:
            return tuple(self.read(part.strip()) for part in text.split(",") if part.strip())
        return self.read(text)

    def of_json(self, value: object) -> Any:
        """Return the value of its key in the file; the type in JSON must be that of the setting."""
        if self.is_switch:
            return _of_type(value, (bool,), "true or false")
        if self.many:
            items: list[object] = _of_type(value, (list,), "an array")
            return tuple(map(self._of_json_scalar, items))
        return self._of_json_scalar(value)

    def _of_json_scalar(self, value: object) -> Any:
        if self.least is None:
            return self.read(_of_type(value, (str,), "a string"))
        return self.read(str(_of_type(value, (int, float), "a number")))


def settings_of(fields: Iterable[Field[Any]]) -> tuple[Setting, ...]:
    """Return the settings among the fields of a dataclass, in their order."""
    return tuple(_setting_of(each) for each in fields if _SETTING in each.metadata)


def number(
    default: T, meaning: str, *, least: int = 1, most: int = _NO_LIMIT, unit: str | None = None, key: str | None = None
) -> T:
    """Declare a whole number, `least` to `most`. `key` is its key in NemesisDB's file."""

    def read(text: str) -> int:
        if not _DIGITS.fullmatch(text):
            raise ValueError(f"{quoted(text, 20)} is not a number; write one from {least} to {most}")
        if not least <= int(text) <= most:
            raise ValueError(f"{shown(text)} is not between {least} and {most}")
        return int(text)

    return _declare(default, meaning, read, "N", least=least, most=most, unit=unit, nemesis_key=key)


def seconds(default: T, meaning: str, *, least: float = 0.01) -> T:
    """Declare a duration in seconds, from `least` to a year."""

    def read(text: str) -> float:
        try:
            value = float(text.replace("_", "?"))  # Python takes 1_0 for a number; this does not
        except ValueError:
            raise ValueError(f"{quoted(text, 20)} is not a number of seconds; write one such as 2.5") from None
        if not least <= value <= _A_YEAR:
            raise ValueError(f"{shown(text)[:20]} is not between {least:g} and {_A_YEAR:g} seconds")
        return value

    return _declare(default, meaning, read, "SECONDS", least=least, most=_A_YEAR, unit="seconds")


def switch(meaning: str) -> bool:
    """Declare a switch, which is off by default."""

    def read(text: str) -> bool:
        try:
            return _SWITCH[text.lower()]
        except KeyError:
            raise ValueError("is not one of 1, true, yes, on, 0, false, no, off") from None

    return _declare(False, meaning, read, None)


def text(default: T, meaning: str, read: Reader, metavar: str, *, many: bool = False, key: str | None = None) -> T:
    """Declare a text that `read` accepts. With `many`, the field holds a tuple, and its name is a plural."""
    return _declare(default, meaning, read, metavar, many=many, nemesis_key=key)


def choice(default: str, meaning: str, choices: Iterable[str], metavar: str) -> str:
    """Declare one of several words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return _declare(default, meaning, read, metavar)


def file(meaning: str) -> Path | None:
    """Declare the path of a file that exists."""
    return _declare(None, meaning, _read_file, "FILE")


def directory(meaning: str, *, key: str | None = None) -> Path | None:
    """Declare the path of a directory that exists. `key` is its key in NemesisDB's file."""
    return _declare(None, meaning, _read_directory, "DIR", nemesis_key=key)


def _declare(default: T, meaning: str, read: Reader, metavar: str | None, **more: Any) -> T:
    setting = {"meaning": meaning, "read": read, "metavar": metavar, **more}
    return field(default=default, metadata={_SETTING: setting})  # `dataclass` puts the default there


def _setting_of(declared: Field[Any]) -> Setting:
    more: dict[str, Any] = declared.metadata[_SETTING]
    name = declared.name.removesuffix("s") if more.get("many") else declared.name
    return Setting(field=declared.name, name=name, default=declared.default, **more)


def _of_type(value: Any, types: tuple[type, ...], expected: str) -> Any:
    if type(value) not in types:
        raise ValueError(f"must be {expected}")
    return value


def _read_file(text: str) -> Path:
    path = Path(text)
    if not path.exists() or path.is_dir():
        raise ValueError(f"{shown(text)} is not a file")
    return path


def _read_directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise ValueError(f"{shown(text)} is not a directory")
    return path
