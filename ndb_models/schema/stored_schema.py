"""The JSON Schema of a model's stored data, with keywords of our own for facts that JSON Schema cannot express.

`x-python` names a type that has no JSON Schema. `x-keys` is the schema of the names in an object, if they are read as
another type than text. `x-ge` and its kin are the bounds of times. `x-reads` holds further settings of how a value is
read, such as lower-casing, a required time zone, or the schemes of a URL. Settings at their default are not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from pydantic import BaseModel, PydanticUndefinedAnnotation
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import PydanticUndefined, to_json

from ndb_models.errors import SchemaError
from ndb_models.schema.code import without_address
from ndb_models.schema.json_schema import ABSENT, DEFAULTS, KEYS, LEFT_OUT, READS, SAYING, root_of

_BOUNDS: Final = ("ge", "gt", "le", "lt")
_TIMES: Final = frozenset({"date", "time", "datetime", "timedelta"})

_TEMPORAL: Final = {name: name for name in ("ser_json_temporal", "val_temporal_unit")}
_URL: Final = {"allowed_schemes": "", "host_required": "", "max_length": ""}

# By kind of core schema: the settings that JSON Schema does not show, and their names in the configuration of a class.
_UNSHOWN: Final[Mapping[str, Mapping[str, str]]] = {
    "str": {
        **{name: f"str_{name}" for name in ("strip_whitespace", "to_lower", "to_upper")},
        **{name: name for name in ("str_min_length", "str_max_length")},
        "ascii_only": "",
    },
    "bytes": {name: name for name in ("ser_json_bytes", "val_json_bytes")},
    "decimal": {"max_digits": "", "decimal_places": "", "allow_inf_nan": ""},
    "float": {"allow_inf_nan": "allow_inf_nan"},
    "date": {**_TEMPORAL, "now_op": ""},
    "time": {**_TEMPORAL, "tz_constraint": ""},
    "datetime": {**_TEMPORAL, "now_op": "", "tz_constraint": ""},
    "timedelta": _TEMPORAL,
    "url": _URL,
    "multi-host-url": _URL,
    "union": {"mode": ""},
}
_DEFAULT_SETTINGS: Final[Mapping[tuple[str, str], object]] = {
    ("float", "allow_inf_nan"): True,
    ("union", "mode"): "smart",
    ("bytes", "ser_json_bytes"): "utf8",
    ("bytes", "val_json_bytes"): "utf8",
    **{(kind, "ser_json_temporal"): "iso8601" for kind in _TIMES},
    **{(kind, "val_temporal_unit"): "infer" for kind in _TIMES},
}

# Pydantic's types that consist of a function alone are told apart by the name of that function.
_FUNCTIONS: Final = frozenset({"function-plain", "function-before"})


OF_NAMES: Final = frozenset({"$defs", "properties", "patternProperties", "dependentSchemas"})
"""Keywords with a schema for each of some names."""

VALUES: Final = frozenset({"const", "enum", "discriminator", "required", LEFT_OUT, READS, DEFAULTS, ABSENT})
"""Keywords that hold values, not schemas."""

_KEPT: Final = SAYING | {"$defs", "discriminator", READS, DEFAULTS, ABSENT}


def stored_schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of what a model stores, without notes such as titles.

    Raises:
        SchemaError: the class names a type that is not defined, or has no JSON Schema.
    """
    try:
        model.model_rebuild()
        schema = model.model_json_schema(by_alias=False, schema_generator=StoredSchema)
    except PydanticUndefinedAnnotation as exc:
        raise SchemaError(model.__name__, None, f"the type {exc.name!r} of a field is not defined") from exc
    except Exception as exc:  # a user's __get_pydantic_json_schema__ may raise anything
        raise SchemaError(model.__name__, None, f"it has no JSON Schema: {type(exc).__name__}: {exc}") from exc
    bare: dict[str, Any] = _bare(schema)
    excluded = [name for name, field in model.__pydantic_fields__.items() if field.exclude is True]
    if not excluded:
        return bare
    root = dict(root_of(bare))
    root["properties"] = {name: each for name, each in root["properties"].items() if name not in excluded}
    return {**root, **({"$defs": bare["$defs"]} if "$defs" in bare else {})}


def _bare(schema: object) -> Any:
    """Return a JSON Schema without titles, descriptions and other notes."""
    if isinstance(schema, list):
        return [_bare(each) for each in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    members = cast("dict[str, Any]", schema)
    return {name: _bare_member(name, part) for name, part in members.items() if name in _KEPT}


def _bare_member(keyword: str, part: Any) -> Any:
    if keyword in VALUES:
        return part
    if keyword in OF_NAMES:
        return {name: _bare(each) for name, each in part.items()}
    return _bare(part)


class StoredSchema(GenerateJsonSchema):
    """JSON Schema for every type that can be stored. A type that has none is named, and equals only itself."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {
        "skipped-choice",
        "non-serializable-default",
        "skipped-discriminator",
    }

    def build_schema_type_to_method(self) -> dict[Any, Callable[[Any], JsonSchemaValue]]:
        """Return the method for each kind of core schema, extended by the settings that JSON Schema does not show."""
        return {kind: self._saying_more(write) for kind, write in super().build_schema_type_to_method().items()}

    def _saying_more(self, write: Callable[[Any], JsonSchemaValue]) -> Callable[[Any], JsonSchemaValue]:
        def written(schema: Any) -> JsonSchemaValue:
            said = {**write(schema), **_bounds_of(schema)}
            reads = self._reads(schema)
            return self._with_keys(schema, {**said, READS: reads} if reads else said)

        return written

    def _reads(self, schema: Any) -> dict[str, object]:
        kind: str = schema["type"]
        found: dict[str, object] = {}
        for name, configured in _UNSHOWN.get(kind, {}).items():
            own = schema.get(name)
            value = getattr(self._config, configured, None) if own is None and configured else own
            if value is not None and value != _DEFAULT_SETTINGS.get((kind, name), False):
                found[name] = value
        return found

    def _with_keys(self, schema: Any, written: JsonSchemaValue) -> JsonSchemaValue:
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        if keys in ({}, {"type": "string"}):
            return written
        return {**{name: part for name, part in written.items() if name != "propertyNames"}, KEYS: keys}

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """Return the JSON Schema of a core schema, with the name of the function if it is one of Pydantic's own."""
        written = super().generate_inner(schema)
        function: object = schema["function"]["function"] if schema["type"] in _FUNCTIONS else None
        if "$ref" in written or not str(getattr(function, "__module__", "")).startswith("pydantic."):
            return written
        return {**written, READS: {**written.get(READS, {}), "as": getattr(function, "__qualname__", "")}}

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a typed dict, with the names that may be left out of its JSON."""
        written = super().typed_dict_schema(schema)
        names = sorted(set(written.get("properties", ())) - set(written.get("required", ())))
        return {**written, LEFT_OUT: names} if names else written

    def model_fields_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a model's fields, with their defaults and the names that may be left out of the JSON."""
        written = super().model_fields_schema(schema)
        names = sorted(name for name, field in schema["fields"].items() if _may_be_left_out(field))
        defaults = _defaults(schema["fields"])
        return {
            **written,
            **({LEFT_OUT: names} if names else {}),
            **({DEFAULTS: defaults, ABSENT: [name for name in names if name in defaults]} if defaults else {}),
        }

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a model.

        If a function writes the model, any field with a default may be left out, unless a trial shows it written.
        """
        written = super().model_schema(schema)
        if DEFAULTS not in written or "function" not in (schema.get("serialization") or {}):
            return written
        always = _always_written(schema["cls"])
        return {**written, ABSENT: sorted(written[DEFAULTS].keys() - (always - {*written[ABSENT]}))}

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        """Return the name of a type that has no JSON Schema."""
        kind: object = schema.get("cls")
        return {"x-python": kind.__qualname__ if isinstance(kind, type) else schema["type"]}


def _bounds_of(schema: Any) -> dict[str, str]:
    """Return the bounds of times, which JSON Schema cannot express."""
    if schema["type"] not in _TIMES:
        return {}
    return {f"x-{name}": str(schema[name]) for name in _BOUNDS if schema.get(name) is not None}


def _may_be_left_out(field: Any) -> bool:
    return field.get("serialization_exclude_if") is not None or _may_be_missing(field["schema"])


def _may_be_missing(schema: Any) -> bool:
    """Tell whether a value may be `MISSING`, which is never written."""
    while schema["type"] in ("default", "nullable"):
        schema = schema["schema"]
    if schema["type"] != "union":
        return bool(schema["type"] == "missing-sentinel")
    choices: list[Any] = schema["choices"]
    return any(_may_be_missing(each[0] if type(each) is tuple else each) for each in choices)


def _defaults(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of the defaults of fields. Default factories and excluded fields are left out."""
    found: dict[str, str] = {}
    for name, field in fields.items():
        default = field["schema"].get("default", PydanticUndefined)
        if field["schema"]["type"] == "default" and default is not PydanticUndefined and not _is_excluded(field):
            found[name] = _text(default)
    return found


def _is_excluded(field: Any) -> bool:
    """Tell whether a field is never written."""
    return bool(field.get("serialization_exclude"))


def _text(default: Any) -> str:
    """Return a text that identifies a default, the same in each process."""
    if isinstance(default, (set, frozenset)):
        return f"[{','.join(sorted(map(_text, cast('set[object]', default))))}]"
    try:
        return to_json(default).decode()
    except ValueError:  # MISSING, for one
        return without_address(default)


def _always_written(model: type[BaseModel]) -> set[str]:
    """Return the names that a model with all its defaults writes; empty if it cannot be tried."""
    try:
        return {*model.model_construct().model_dump(mode="json", warnings=False)}
    except Exception:  # noqa: BLE001 - the function that writes it may want fields that have no default
        return set()
