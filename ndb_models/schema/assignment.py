"""Validating single fields of a model as its constructor does, without the other fields and model validators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaValidator

from ndb_models.raising import raise_without_context
from ndb_models.schema.problems import refused


class FieldsValidator:
    """Validates single fields of models of one class. Validators of the whole model do not run."""

    def __init__(self, model: type[BaseModel]) -> None:
        schema: Any = model.__pydantic_core_schema__
        definitions: list[Any] = []
        config: Any = None
        while schema["type"] != "model-fields":
            definitions = schema.get("definitions", definitions)
            config = schema.get("config", config)
            if schema["type"] == "definition-ref":
                schema = next(each for each in definitions if each.get("ref") == schema["schema_ref"])
            else:
                schema = schema["schema"]
        # Frozen fields may be assigned here: the value goes into a new instance.
        fields: Any = {name: {**field, "frozen": False} for name, field in schema["fields"].items()}
        whole: Any = {"type": "definitions", "schema": {**schema, "fields": fields}, "definitions": definitions}
        self._validator = SchemaValidator(whole, config)

    def validate(self, values: Mapping[str, object], name: str, value: object) -> object:
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
