"""What two values must have in common to be the same, written down independently of the package.

A value is described as a tree of types and plain values. Two values are the same if their descriptions are equal.
"""

from __future__ import annotations

import dataclasses
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping, Set
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeAlias

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

Description: TypeAlias = tuple[Any, ...]


def described(value: Any, *, private: bool = True) -> Description:
    """Return what a value is, type for type at every depth; the private attributes of models too, if asked for."""
    kind = type(value)
    return (kind.__module__, kind.__qualname__, _content(value, private))


def _content(value: Any, private: bool) -> Any:
    kind: type[Any] = type(value)

    def inside(each: Any) -> Description:
        return described(each, private=private)

    def mapped(each: Mapping[Any, Any]) -> Any:
        return sorted(((inside(key), inside(item)) for key, item in each.items()), key=repr)

    match value:
        case Enum():
            return value.name
        case BaseModel():
            fields = {name: value.__dict__.get(name) for name in type(value).model_fields}
            hidden = value.__pydantic_private__ if private else None
            return [mapped(part or {}) for part in (fields, value.__pydantic_extra__, hidden)]
        case SecretStr() | SecretBytes() | Secret():
            return inside(value.get_secret_value())
        case datetime() if (offset := value.utcoffset()) is not None:
            return (value.replace(tzinfo=None) - datetime.min - offset, "aware")  # in UTC it may be before year 1
        case datetime() | time():
            return (value.replace(tzinfo=None).isoformat(), value.fold, value.utcoffset(), value.tzinfo is None)
        case float() | Decimal() | complex() | PurePath():
            return repr(value)
        case re.Pattern():
            return (value.pattern, value.flags)
        case OrderedDict():
            return [(inside(key), inside(item)) for key, item in value.items()]
        case defaultdict():
            return (value.default_factory, mapped(value))
        case Mapping():
            return mapped(value)
        case deque():
            return (value.maxlen, [inside(each) for each in value])
        case list() | tuple():
            return [inside(each) for each in value]
        case Set():
            return sorted(map(inside, value), key=repr)
        case _ if dataclasses.is_dataclass(value):
            return [(field.name, inside(getattr(value, field.name))) for field in dataclasses.fields(value)]
        case _ if hasattr(value, "__dict__") and not any("__eq__" in base.__dict__ for base in kind.__mro__[:-1]):
            return mapped(vars(value))
        case _:
            return repr(value)
