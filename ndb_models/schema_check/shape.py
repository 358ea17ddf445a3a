"""The shape of a JSON Schema in a file, as far as schemas are compared: the JSON type of each keyword."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

Part: TypeAlias = "Shape | bool"
"""A schema inside another one."""

Number: TypeAlias = int | float | None


class Shape(msgspec.Struct, frozen=True, rename="camel"):
    """A schema. Keywords that are not listed here may have any value."""

    type: str | list[str] = ""
    ref: str = msgspec.field(default="", name="$ref")
    defs: dict[str, Part] = msgspec.field(default_factory=dict, name="$defs")
    enum: list[Any] = []
    required: list[str] = []
    properties: dict[str, Part] = {}
    pattern_properties: dict[str, Part] = {}
    additional_properties: Part = True
    property_names: Part = True
    items: Part = True
    prefix_items: list[Part] = []
    any_of: list[Part] = []
    one_of: list[Part] = []
    all_of: list[Part] = []
    discriminator: dict[str, Any] = {}
    format: str = ""
    minimum: Number = None
    maximum: Number = None
    exclusive_minimum: Number = None
    exclusive_maximum: Number = None
    multiple_of: Number = None
    min_length: Number = None
    max_length: Number = None
    min_items: Number = None
    max_items: Number = None
    min_properties: Number = None
    max_properties: Number = None
    keys: Part = msgspec.field(default=True, name="x-keys")
    defaults: dict[str, str] = msgspec.field(default_factory=dict, name="x-defaults")
    reads: dict[str, Any] = msgspec.field(default_factory=dict, name="x-reads")


def check_shape(schema: object) -> None:
    """Check that a schema can be compared.

    Raises:
        msgspec.ValidationError: a keyword has a value of another JSON type.
    """
    msgspec.convert(schema, Shape)
