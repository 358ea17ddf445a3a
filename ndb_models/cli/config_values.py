"""Configurations on the command line: the named model, values as texts and in files, and masked values."""

from __future__ import annotations

import contextlib
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from pydantic import BaseModel

from ndb_models.cli.importing import import_from_here, imported, looked_up
from ndb_models.cli.masking import shown_value
from ndb_models.errors import InvalidArgumentError, StoredDataError
from ndb_models.json_text import join_members
from ndb_models.raising import raise_without_context
from ndb_models.redaction import quoted, shown
from ndb_models.schema.codec import ModelCodec
from ndb_models.types import JsonValue

C = TypeVar("C", bound=BaseModel)

_SPELLING: Final = "a configuration's model is named as MODULE:NAME, such as myapp.config:AppConfig"
_NO_TOKEN: Final = 0


def find_config_model(target: str) -> type[BaseModel]:
    """Return the model that a command line names. Its module is imported from the working directory first.

    Raises:
        InvalidArgumentError: there is no such module or model.
    """
    import_from_here()
    module_name, _, name = target.partition(":")
    if not name:
        raise InvalidArgumentError(_SPELLING)
    with contextlib.redirect_stdout(sys.stderr):  # the user's code may print, and the output is read by programs
        module = imported(module_name, _SPELLING)
    found = looked_up(module, name)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise InvalidArgumentError(f"{module.__name__} has no model {quoted(name)}: {_SPELLING}")
    return found


def split_assignment(text: str) -> tuple[str, str]:
    """Return the field and the value of `FIELD=VALUE`.

    Raises:
        InvalidArgumentError: it is no assignment. It is not shown, since it may hold a secret.
    """
    name, equals, value = text.partition("=")
    if not (equals and name):
        raise InvalidArgumentError("a value is set as FIELD=VALUE, such as workers=8")
    return name, value


class ConfigTexts:
    """Turns texts into the values of a model's fields."""

    def __init__(self, model: type[C]) -> None:
        self._model = model
        self._codec: ModelCodec[Any] = ModelCodec(model)

    def changed(self, before: Mapping[str, bytes], given: Mapping[str, str]) -> BaseModel:
        """Return a configuration with other values for some fields: JSON if that fits the field, else a string.

        Args:
            before: the texts of the configuration before.
            given: the values by field.

        Raises:
            InvalidArgumentError: there is no such field, or a value does not fit. No value is shown.
        """
        fields = self._model.__pydantic_fields__
        for name in given:
            if name not in fields:
                known = ", ".join(fields)
                raise InvalidArgumentError(f"{self._model.__name__} has no field {quoted(name)}; it has {known}")
        as_json = {name: text.encode() if _is_json(text) else json.dumps(text).encode() for name, text in given.items()}
        as_text = {name: json.dumps(text).encode() for name, text in given.items()}
        changed, problems = self._loaded({**before, **as_json})
        refused = {name for name, _ in problems} & as_text.keys()
        if changed is None and refused:
            changed, problems = self._loaded({**before, **as_json, **{name: as_text[name] for name in refused}})
        if changed is None:
            raise InvalidArgumentError(_said(self._model.__name__, problems))
        return changed

    def _loaded(self, texts: Mapping[str, bytes]) -> tuple[BaseModel | None, Sequence[tuple[str, str]]]:
        try:
            return cast("BaseModel", self._codec.load(join_members(texts), _NO_TOKEN)), ()
        except StoredDataError as exc:
            return None, exc.problems

    def texts_of(self, config: BaseModel) -> Mapping[str, bytes]:
        """Return the fields of a configuration as texts."""
        return self._codec.dump(config)

    def differing(self, one: BaseModel, other: BaseModel) -> tuple[str, ...]:
        """Return the names of the fields with different values."""
        return self._codec.differing(one, other)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the stored fields."""
        return self._codec.names

    def in_file(self, path: Path) -> BaseModel:
        """Return the configuration in a JSON or TOML file.

        Raises:
            InvalidArgumentError: the file cannot be read, or does not fit the model. No value is shown.
        """
        data = _parsed(path)
        unknown = sorted(data.keys() - set(self.names))
        if unknown:
            raise InvalidArgumentError(f"{shown(path)}: {self._model.__name__} has no field {quoted(unknown[0])}")
        found, problems = self._loaded({name: json.dumps(value, default=str).encode() for name, value in data.items()})
        if found is None:
            raise InvalidArgumentError(f"{shown(path)}: {_said(self._model.__name__, problems)}")
        return found


def _parsed(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8-sig")
        data = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as exc:
        raise InvalidArgumentError(f"{shown(path)} cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError):  # the message may quote the file
        kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
        raise_without_context(InvalidArgumentError(f"{shown(path)} is not {kind} in UTF-8"))
    if not isinstance(data, dict):
        raise InvalidArgumentError(f"{shown(path)} holds no object of fields")
    return cast("dict[str, Any]", data)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(_: str) -> None:
    raise ValueError


def _said(model: str, problems: Sequence[tuple[str, str]]) -> str:
    listed = "; ".join(f"{name}: {reason}" for name, reason in problems)
    return f"{model} does not take this: {listed}"


def shown_fields(config: BaseModel, names: Sequence[str], *, full: bool) -> Iterator[tuple[str, JsonValue]]:
    """Yield fields with their values as JSON. Secrets and personal values are masked, unless in full."""
    values = _values(config, names, full=full)
    for name in names:
        if name in values:
            yield name, shown_value(name, values[name], full=full)


def _values(config: BaseModel, names: Sequence[str], *, full: bool) -> dict[str, JsonValue]:
    if full:
        texts = ModelCodec(type(config)).dump(config)
        return {name: json.loads(text) for name, text in texts.items()}
    # Pydantic writes asterisks for secrets.
    dumped: dict[str, JsonValue] = config.model_dump(mode="json", by_alias=False, include=set(names), warnings=False)
    return dumped
