"""Rules for the constraints in a JSON Schema beside its types: which changes are breaking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ndb_models.schema.json_schema import KEYS, LEFT_OUT, READS, JsonSchema, limiting_keywords, shown

Found: TypeAlias = list[tuple[bool, str]]
"""Changes: for each, whether it is breaking, and the reason in words."""

# Bounds: name, keyword, keyword of the exclusive bound, whether it is a lower bound.
_BOUNDS: Final = (
    ("the least value", "minimum", "exclusiveMinimum", True),
    ("the greatest value", "maximum", "exclusiveMaximum", False),
    ("the least length", "minLength", "", True),
    ("the greatest length", "maxLength", "", False),
    ("the least number of items", "minItems", "", True),
    ("the greatest number of items", "maxItems", "", False),
    ("the least number of names", "minProperties", "", True),
    ("the greatest number of names", "maxProperties", "", False),
)


def _bounds(old: JsonSchema, new: JsonSchema) -> Found:
    found: Found = []
    for name, keyword, excluded, lower in _BOUNDS:
        before, after = (_bound(each, keyword, excluded, lower) for each in (old, new))
        if before != after:
            found.append((after > before, f"{name} is {'more' if after > before else 'less'} strict now"))
    return found


def _bound(schema: JsonSchema, keyword: str, excluded: str, lower: bool) -> tuple[float, bool]:
    """Return how strict a bound is: a larger result is stricter."""
    sign = 1 if lower else -1
    included = [(sign * schema[keyword], False)] if keyword in schema else []
    beyond = [(sign * schema[excluded], True)] if excluded in schema else []
    return max([*included, *beyond], default=(float("-inf"), False))


def _multiples(old: JsonSchema, new: JsonSchema) -> Found:
    before, after = old.get("multipleOf"), new.get("multipleOf")
    if before == after:
        return []
    loosened = after is None or (before is not None and type(before) is type(after) is int and before % after == 0)
    return [(not loosened, "what it must be a multiple of has changed")]


def _uniqueness(old: JsonSchema, new: JsonSchema) -> Found:
    before, after = bool(old.get("uniqueItems")), bool(new.get("uniqueItems"))
    return [] if before == after else [(after, f"its items must {'' if after else 'not '}be unique now")]


# The format of a secret does not limit its text; bytes have an encoding of their own.
_PLAIN: Final = frozenset({None, "password"})
_BYTES: Final = frozenset({"base64url", "binary"})


def _formats(old: JsonSchema, new: JsonSchema) -> Found:
    before, after = old.get("format"), new.get("format")
    if before == after or {before, after} <= _PLAIN:
        return []
    return [(after not in _PLAIN or before in _BYTES, f"was {shown(old)}, and is {shown(new)} now")]


def _patterns(old: JsonSchema, new: JsonSchema) -> Found:
    before, after = old.get("pattern"), new.get("pattern")
    return [] if before == after else [(after is not None, "its pattern has changed, or is gone")]


# Settings that only refuse values, so they may be dropped.
_REFUSING: Final = frozenset(
    {
        *("allow_inf_nan", "allowed_schemes", "ascii_only", "decimal_places", "host_required", "max_digits"),
        *("max_length", "now_op", "str_max_length", "str_min_length", "tz_constraint"),
    }
)


def readings(old: JsonSchema, new: JsonSchema) -> Found:
    """Return the changes in how values are read, beyond JSON Schema."""
    before, after = old.get(READS, {}), new.get(READS, {})
    return [
        (name in after or name not in _REFUSING, f"is read in another way: {name} has changed")
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


_KNOWN: Final = frozenset(
    {
        *("type", "enum", "const", "required", "properties", "additionalProperties", "items", "prefixItems"),
        *("multipleOf", "uniqueItems", "format", "pattern", KEYS, LEFT_OUT),
        *(keyword for _, *keywords, _ in _BOUNDS for keyword in keywords),
    }
)


def _others(old: JsonSchema, new: JsonSchema) -> Found:
    unknown = (limiting_keywords(old) | limiting_keywords(new)) - _KNOWN
    return [(True, f"{name} has changed") for name in sorted(unknown) if old.get(name) != new.get(name)]


RULES: Final[tuple[Callable[[JsonSchema, JsonSchema], Found], ...]] = (
    _bounds,
    _multiples,
    _uniqueness,
    _formats,
    _patterns,
    _others,
)
"""All rules. Each compares two schemas; the new one takes the JSON types of the old one."""
