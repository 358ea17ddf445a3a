"""The versions of a session class, and the steps that upgrade the keys of a session from each version to the next.

This module reads and writes no sessions. A step gets the keys as its version stored them, and returns the keys of the
next version. A result that is not JSON is refused. A key that no step changed keeps its stored text, byte for byte.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec
from pydantic_core import from_json

from ndb_models.errors import InvalidArgumentError, SchemaError, UpgradeError
from ndb_models.json_text import join_members
from ndb_models.raising import raise_without_context
from ndb_models.schema.envelope import RESERVED_KEY, is_reserved
from ndb_models.strict_json import encode_command
from ndb_models.types import JsonInput, JsonValue, SessionToken

UpgradeStep: TypeAlias = Callable[[dict[str, JsonValue]], Mapping[str, JsonInput]]
"""Takes the decoded keys of a session of one version, and returns those of the next. It may change its argument."""

MAX_VERSION: Final = 2**53 - 1
"""The largest version: beyond it, some servers return a changed integer."""

_decode = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]]).decode


class Outdated(NamedTuple):
    """An upgrade that is not stored yet: all keys of a session as they are stored, and as upgraded."""

    stored: Mapping[str, bytes]
    reserved: bytes
    upgraded: Mapping[str, bytes]

    def __repr__(self) -> str:
        return "Outdated()"


class Upgrades:
    """The steps that bring sessions of one class to its version.

    Args:
        model: the name of the class, for errors.
        version: the current version of the class.
        oldest: the oldest version that is still upgraded.

    Raises:
        SchemaError: a version is not a whole number from 1 on, or is too large; or `oldest` is above `version`.
    """

    def __init__(self, model: str, version: int = 1, oldest: int = 1) -> None:
        for name, number in (("version", version), ("oldest", oldest)):
            if type(number) is not int or not 1 <= number <= MAX_VERSION:
                raise SchemaError(model, None, f"{name}= is a whole number from 1 on: version=2 follows version=1")
        if oldest > version:
            raise SchemaError(model, None, f"oldest={oldest} is above version={version}; it is at most the same")
        self.version = version
        self.oldest = oldest
        self._model = model
        self._steps: dict[int, UpgradeStep] = {}

    def check_start(self, version: int) -> None:
        """Check that a step from this version can be added.

        Raises:
            SchemaError: the version is below `oldest`, is not below the class's, or has a step already.
        """
        if type(version) is not int:
            raise SchemaError(self._model, None, "upgrade() takes the version that it upgrades from: @Model.upgrade(1)")
        if not self.oldest <= version < self.version:
            raise SchemaError(self._model, None, f"upgrade({version}) is never used: {self._range()}")
        if version in self._steps:
            raise SchemaError(self._model, None, f"there is an upgrade({version}) already")

    def _range(self) -> str:
        if self.oldest == self.version:
            return f"sessions of version {self.version} are current, and older ones are not upgraded"
        return f"the class has version={self.version}, and upgrades sessions from version {self.oldest} on"

    def add(self, version: int, step: object) -> None:
        """Add the step from a version to the next.

        Raises:
            SchemaError: as for `check_start`; or the step cannot be called with the keys alone, or must be awaited.
        """
        self.check_start(version)
        if not callable(step):
            raise SchemaError(self._model, None, f"upgrade({version}) is given to a function: put it above a `def`")
        if inspect.iscoroutinefunction(step) or inspect.iscoroutinefunction(getattr(step, "__call__", None)):  # noqa: B004  # needs the method itself
            raise SchemaError(self._model, None, f"upgrade({version}) is a plain function: nothing awaits it")
        if not takes(step, 1):
            raise SchemaError(self._model, None, f"upgrade({version}) is called with the keys alone: def step(keys)")
        self._steps[version] = cast("UpgradeStep", step)

    def check_chain(self) -> None:
        """Check that there is a step from every version, from `oldest` on.

        Raises:
            SchemaError: a step is missing.
        """
        for version in range(self.oldest, self.version):
            if version not in self._steps:
                raise SchemaError(
                    self._model,
                    None,
                    f"nothing upgrades sessions of version {version}: add @{self._model}.upgrade({version}), or, if"
                    f" there are none any more, say oldest={version + 1}",
                )

    def run(self, keys: Mapping[str, bytes], version: int, tkn: SessionToken) -> dict[str, bytes]:
        """Return the keys of an older version, upgraded to the class's version. Each step runs once.

        Raises:
            UpgradeError: the stored keys cannot be decoded, a step failed, or its result cannot be stored.
        """
        before = _Run(self._model, tkn, version).written(_Run(self._model, tkn, version).decoded(keys))
        after: Mapping[str, bytes] = before
        for number in range(version, self.version):
            run = _Run(self._model, tkn, number)
            after = run.written(run.outcome(self._steps[number], run.decoded(after)))
        return {name: keys[name] if text == before.get(name) else text for name, text in after.items()}


def takes(function: Callable[..., object], count: int) -> bool:
    """Return True if a function takes so many positional arguments, or has no signature, as some written in C."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:  # its parameters do not fit
        return False
    except ValueError:
        return True
    return True


class _Run(NamedTuple):
    """One step on one session."""

    model: str
    tkn: SessionToken
    version: int

    def failed(self, reason: str) -> UpgradeError:
        return UpgradeError(self.model, self.tkn, self.version, reason)

    def decoded(self, keys: Mapping[str, bytes]) -> dict[str, JsonValue]:
        try:
            return cast("dict[str, JsonValue]", from_json(join_members(keys)))
        except ValueError:
            raise_without_context(
                self.failed("what is stored is nested too deep, or holds a number of too many digits")
            )

    def outcome(self, step: UpgradeStep, keys: dict[str, JsonValue]) -> object:
        try:
            return step(keys)
        except Exception as exc:  # noqa: BLE001  # raised below, with no cause or context: they may hold values
            reason = f"it raised {type(exc).__name__}{_where(exc)}"
        raise self.failed(reason)

    def written(self, outcome: object) -> dict[str, bytes]:
        if type(outcome) is not dict:
            if inspect.iscoroutine(outcome):
                outcome.close()
            raise self.failed(f"it returned a value of type {type(outcome).__name__}, not the dict of the keys")
        keys = cast("dict[object, Any]", outcome)
        texts: dict[str, bytes] = {}
        for name, value in keys.items():
            if type(name) is not str:
                raise self.failed(f"it returned a name of type {type(name).__name__}; the names of keys are strings")
            if is_reserved(name):
                raise self.failed(f"it returned the reserved key {RESERVED_KEY!r}")
            texts[name] = self._text(name, value)
        return texts

    def _text(self, name: str, value: Any) -> bytes:
        try:
            return bytes(_decode(encode_command("key", {name: value}))["key"][name])
        except (InvalidArgumentError, UnicodeError, msgspec.MsgspecError):
            shown = name if name.isprintable() else "..."
            raise_without_context(self.failed(f"what it returned for {shown!r} is not JSON, or is nested too deep"))


def _where(error: Exception) -> str:
    """Return the place in a step where an error came up: the first line below the call."""
    frame = error.__traceback__.tb_next if error.__traceback__ is not None else None
    if frame is None:
        return ""
    code = frame.tb_frame.f_code
    return f" in {code.co_name}, line {frame.tb_lineno} of {frame.tb_frame.f_globals.get('__name__')}"
