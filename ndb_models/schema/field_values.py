"""Single fields of a model: validated as its constructor does, without the other fields and model validators."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator

from ndb_models.errors import InvalidArgumentError
from ndb_models.json_text import join_members, split_members
from ndb_models.raising import raise_without_context
from ndb_models.schema.core_schemas import fields_of_model
from ndb_models.schema.problems import NO_JSON, NOT_JSON, problems_of, refused, without_value, without_values
from ndb_models.schema.secrets import revealing_serializer


class FieldValues:
    """Validates and writes single fields of models of one class. Validators of the whole model do not run.

    Args:
        model: the class.
        write: writes a model of it.
    """

    def __init__(self, model: type[BaseModel], write: Callable[..., bytes]) -> None:
        self._model = model
        self._write = write
        of = fields_of_model(model)
        # Frozen fields may be assigned here: the value goes into a new instance.
        fields = {name: {**field, "frozen": False} for name, field in of.fields.items()}
        inner = {**of.around[-1], "fields": fields}
        self._whole: Any = {"type": "definitions", "schema": inner, "definitions": [*of.definitions.values()]}
        config: Any = dict(of.config)
        self._config = config
        self._validator = SchemaValidator(self._whole, config)

    def validated(self, values: Mapping[str, object], name: str, value: object) -> object:
        """Return the validated value of a field, given the values of the other fields.

        Raises:
            ValidationError: the value does not fit.
        """
        try:
            result: Any = self._validator.validate_assignment(dict(values), name, value)
        except UnicodeEncodeError:  # a validator's message holds a lone surrogate
            raise_without_context(refused(name))
        validated, extra, _ = result
        return validated[name] if name in validated else extra[name]

    def first_raising(self, keys: Mapping[str, bytes]) -> str | None:
        """Return the first field whose validator raises an error that is not Pydantic's, or None.

        Args:
            keys: the texts of the fields. A validator sees the fields before its own, as in reading the whole.
        """
        given: dict[str, bytes] = {}
        for name in filter(keys.__contains__, self._model.__pydantic_fields__):
            given[name] = keys[name]
            try:
                self._validator.validate_json(join_members(given), by_alias=False, by_name=True)
            except ValidationError:  # later fields are missing
                continue
            except Exception:  # noqa: BLE001 - a user's validator may raise any error
                return name
        return None

    def text(self, name: str, value: object) -> bytes:
        """Return the JSON that a value given for a field would be stored as.

        Raises:
            InvalidArgumentError: the value does not fit the field, is no JSON, or is left out in writing.
        """
        field = f"{self._model.__name__}.{name}"
        try:
            validated = self.validated({}, name, value)
            blank = self._model.__new__(self._model)
            parts = {"__dict__": {name: validated}, "__pydantic_fields_set__": {name}}
            for part, content in {**parts, "__pydantic_extra__": {}, "__pydantic_private__": None}.items():
                object.__setattr__(blank, part, content)
            return split_members(self._write(blank, include={name}))[name]
        except ValidationError as exc:
            ((_, reason), *_) = problems_of(exc)
            raise_without_context(InvalidArgumentError(f"{field}: {reason}"), without_values(exc))
        except KeyError:
            raise_without_context(InvalidArgumentError(f"{field}: this value is left out when it is written"))
        except NOT_JSON as exc:
            raise_without_context(InvalidArgumentError(f"{field}: {NO_JSON}"), without_value(exc))

    def default_texts(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the defaults of fields as JSON.

        Left out: fields without a default, factories that need other fields, and defaults that are no JSON.
        """
        texts: dict[str, bytes] = {}
        for name in names:
            field = self._model.__pydantic_fields__[name]
            if field.is_required():
                continue
            with contextlib.suppress(TypeError, KeyError):  # a factory that needs the other fields
                default = field.get_default(call_default_factory=True, validated_data={})
                try:
                    texts[name] = self.text(name, default)
                except InvalidArgumentError:  # such as one that is left out in writing
                    with contextlib.suppress(ValueError):  # it is no JSON, such as MISSING
                        texts[name] = self._alone(name).to_json(default, by_alias=False, round_trip=True)
        return texts

    def _alone(self, name: str) -> SchemaSerializer:
        """Return the writer of a field's value, even if the field is left out in writing."""
        whole: Any = {**self._whole, "schema": self._whole["schema"]["fields"][name]["schema"]}
        return revealing_serializer(whole) or SchemaSerializer(whole, self._config)
