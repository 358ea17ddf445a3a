"""The parts of core schemas that `lossless_check` knows, with the keys that they may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ALWAYS: Final = frozenset({"type", "ref", "metadata", "strict"})
BOUNDS: Final = frozenset({"gt", "ge", "lt", "le", "multiple_of"})
LENGTHS: Final = frozenset({"min_length", "max_length"})
# The types that come back as they are, except a few values; and the keys of their schemas that change no value.
LOSSLESS: Final[Mapping[str, frozenset[str]]] = {
    "str": LENGTHS | {"pattern"},
    "int": BOUNDS,
    "bool": frozenset(),
    "bytes": LENGTHS,
    "uuid": frozenset({"version"}),
    "list": LENGTHS | {"items_schema"},
    "set": LENGTHS | {"items_schema"},
    "frozenset": LENGTHS | {"items_schema"},
    "tuple": LENGTHS | {"items_schema", "variadic_item_index"},
    "dict": LENGTHS | {"keys_schema", "values_schema"},
    "nullable": frozenset({"schema"}),
    "union": frozenset({"choices"}),
    "literal": frozenset({"expected"}),
    "enum": frozenset({"cls", "members", "sub_type"}),
    "float": BOUNDS,
    "decimal": BOUNDS | {"max_digits", "decimal_places", "allow_inf_nan"},
    "date": frozenset(),
    "datetime": frozenset({"microseconds_precision", "tz_constraint"}),
}
# All other keys narrow a type, and so does a literal.
NOT_NARROWING: Final = frozenset(
    {
        "items_schema",
        "variadic_item_index",
        "keys_schema",
        "values_schema",
        "microseconds_precision",
        "cls",
        "members",
        "sub_type",
        "choices",
    }
)
# Types that tell each other apart in JSON: a value of one is never read as another, whatever the order of the choices.
APART: Final = frozenset({"str", "int", "bool"})
FIELD: Final = frozenset({"type", "schema", "metadata", "frozen"})
DEFAULT: Final = frozenset({"type", "schema", "metadata", "default", "default_factory", "default_factory_takes_data"})
MODEL: Final = frozenset({"type", "ref", "metadata", "cls", "schema", "custom_init", "root_model", "config"})
FIELDS: Final = frozenset({"type", "fields", "model_name", "computed_fields"})
EXTRAS: Final = frozenset({"extras_schema", "extras_keys_schema", "extra_behavior"})
ANY_EXTRAS: Final = frozenset({"extra_behavior"})
CONFIG: Final = frozenset({"title", "hide_input_in_errors", "strict", "extra_fields_behavior"})
