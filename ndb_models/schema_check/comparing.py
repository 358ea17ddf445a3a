"""Compare two JSON Schemas of stored data: does every value that fits the old one fit the new one and mean the same?

A change is breaking unless it can be shown to be compatible. Validators that are functions, serializers and strictness
are not compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ndb_models.schema.json_schema import (
    ABSENT,
    DEFAULTS,
    KEYS,
    LEFT_OUT,
    NOTHING,
    READS,
    JsonSchema,
    as_schema,
    kinds,
    limiting_keywords,
    overlap,
    resolved,
    shown,
    values_of,
)
from ndb_models.schema_check.constraints import RULES, readings


class Difference(NamedTuple):
    """A difference: the path of fields that leads there, whether it is breaking, and the reason in words."""

    place: str
    breaking: bool
    reason: str


def compare(old: JsonSchema, new: JsonSchema, *, writes_all: bool = False) -> list[Difference]:
    """Return the differences that `new` makes for a session stored as `old`.

    Both are schemas of a whole session. Its keys are read by field names, so other keys do no harm at the top level.
    `writes_all` is true for a session just written with all its fields; else a field with a default may be missing.
    """
    comparison = _Comparison(old, new, writes_all=writes_all)
    comparison.schemas(old, new, "", top=True)
    return comparison.differences


def compare_field(old: JsonSchema, new_root: JsonSchema, new: JsonSchema, place: str) -> list[Difference]:
    """Return the differences for the value of one field; `new_root` holds the definitions of `new`."""
    comparison = _Comparison(old, new_root)
    comparison.schemas(old, new, place)
    return comparison.differences


class _Comparison:
    """Collects differences while it walks down both schemas at once."""

    def __init__(self, old_root: JsonSchema, new_root: JsonSchema, *, writes_all: bool = False) -> None:
        self._writes_all = writes_all
        self.differences: list[Difference] = []
        self._old_root = old_root
        self._new_root = new_root
        # Pairs that have been compared, or are being compared: a definition may refer to itself.
        self._seen: set[str] = set()

    def _add(self, place: str, breaking: bool, reason: str) -> None:
        difference = Difference(place or "(model)", breaking, reason)
        if difference not in self.differences:
            self.differences.append(difference)

    def schemas(self, old: Any, new: Any, place: str, *, top: bool = False) -> None:
        """Compare two schemas of any kind."""
        pair = json.dumps([old, new, top], sort_keys=True, default=str)
        if pair in self._seen:
            return
        self._seen.add(pair)
        olds, news = self._alternatives(old, self._old_root), self._alternatives(new, self._new_root)
        if len(olds) == len(news) == 1:
            self._single(olds[0], news[0], place, top)
        elif self._discriminator(old, self._old_root) != self._discriminator(new, self._new_root):
            self._add(place, True, "what tells the alternatives of its type apart has changed")
        else:
            self._union(olds, news, place, self._discriminator(old, self._old_root))

    def _alternatives(self, schema: Any, root: JsonSchema) -> list[JsonSchema]:
        schema = resolved(as_schema(schema), root)
        for keyword in ("anyOf", "oneOf"):
            if limiting_keywords(schema) == frozenset({keyword}):
                inner = [each for part in schema[keyword] for each in self._alternatives(part, root)]
                return [_read_as(schema, each) for each in inner] if READS in schema else inner
        return [schema]

    def _discriminator(self, schema: Any, root: JsonSchema) -> Any:
        return resolved(as_schema(schema), root).get("discriminator", {}).get("propertyName")

    def _union(self, olds: Sequence[JsonSchema], news: Sequence[JsonSchema], place: str, tag: Any) -> None:
        """Compare alternatives. Overlapping ones must keep their number and order; else another may be read first."""
        for old in olds:
            rivals = [each for each in olds if overlap(old, each, tag)]
            takers = [each for each in news if overlap(old, each, tag)]
            if len(takers) == 1:
                self.schemas(old, takers[0], place)
            elif not takers:
                self._add(place, True, f"no longer takes {shown(old)}")
            elif len(takers) != len(rivals):
                self._add(place, True, f"what was {shown(old)} may be read as another alternative of its type")
            else:
                position = next(number for number, each in enumerate(rivals) if each is old)
                self.schemas(old, takers[position], place)
        if len(news) > len(olds):
            self._add(place, False, "takes more types")

    def _single(self, old: JsonSchema, new: JsonSchema, place: str, top: bool) -> None:
        for breaking, reason in readings(old, new):
            self._add(place, breaking, reason)
        if old == NOTHING or (not limiting_keywords(old) and not limiting_keywords(new)):
            return
        if not limiting_keywords(new):
            self._add(place, False, "takes any value now")
        elif not limiting_keywords(old):
            self._add(place, True, f"took any value, and is {shown(new)} now")
        elif values_of(old) is not None or values_of(new) is not None:
            self._enumerations(old, new, place)
        elif self._types(old, new, place):
            for rule in RULES:
                for breaking, reason in rule(old, new):
                    self._add(place, breaking, reason)
            self._arrays(old, new, place)
            self._objects(old, new, place, top)

    def _enumerations(self, old: JsonSchema, new: JsonSchema, place: str) -> None:
        before, after = values_of(old), values_of(new)
        if after is None:
            fits = kinds(old) <= kinds(new) and limiting_keywords(new) <= {"type"}
            self._add(place, not fits, f"took certain values only, and is {shown(new)} now")
        elif before is None:
            self._add(place, True, "takes certain values only now")
        else:
            gone, added = before - after, after - before
            if gone:
                self._add(place, True, f"no longer takes {', '.join(sorted(gone))}")
            if added:
                self._add(place, False, f"takes {', '.join(sorted(added))} too")

    def _types(self, old: JsonSchema, new: JsonSchema, place: str) -> bool:
        before, after = kinds(old), kinds(new)
        if not before <= after:
            self._add(place, True, f"was {shown(old)}, and is {shown(new)} now")
            return False
        if before != after:
            self._add(place, False, f"was {shown(old)}, and is {shown(new)} now, which takes it")
        return True

    def _arrays(self, old: JsonSchema, new: JsonSchema, place: str) -> None:
        if "array" not in kinds(old):
            return
        count = max(len(old.get("prefixItems", ())), len(new.get("prefixItems", ())))
        most = old.get("maxItems")
        for position in range(count if most is None else min(count, most)):
            self.schemas(_item(old, position), _item(new, position), f"{place}[{position}]")
        if most is None or most > count:
            self.schemas(_item(old, count), _item(new, count), f"{place}[]")

    def _objects(self, old: JsonSchema, new: JsonSchema, place: str, top: bool) -> None:
        if "object" not in kinds(old):
            return
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in dict.fromkeys([*before, *after]):
            where = f"{place}.{name}" if place else name
            required = name in new.get("required", ())
            if name not in before:
                self._added(old.get("additionalProperties"), after[name], where, required)
            elif name not in after:
                self._removed(before[name], new.get("additionalProperties"), where, top)
            else:
                self.schemas(before[name], after[name], where)
                if required and self._writes_all and name not in old.get(LEFT_OUT, ()):
                    continue
                if required != (name in old.get("required", ())):
                    reason = (
                        "is required now, and may be missing from what is stored" if required else "has a default now"
                    )
                    self._add(where, required, reason)
        self._defaults(old, new, place)
        if KEYS in old or KEYS in new:
            self.schemas(old.get(KEYS, _TEXT), new.get(KEYS, _TEXT), f"{place}.*" if place else "*")
        self._extras(old.get("additionalProperties"), new.get("additionalProperties"), place, top)

    def _defaults(self, old: JsonSchema, new: JsonSchema, place: str) -> None:
        """Compare the defaults of fields that may be absent from a stored session. There the default is the value."""
        before, after = old.get(DEFAULTS, {}), new.get(DEFAULTS, {})
        for name in old.get(ABSENT, before):  # a file, without ABSENT, has no other defaults
            if name in after and before[name] != after[name]:
                self._add(f"{place}.{name}" if place else name, True, _OTHER_DEFAULT)

    def _added(self, extra: Any, new: Any, where: str, required: bool) -> None:
        if required:
            self._add(where, True, "is new and has no default: it is missing from what is stored")
        elif extra in (None, False):
            self._add(where, False, "is new and has a default")
        else:
            self.schemas(extra, new, where)

    def _removed(self, old: Any, extra: Any, where: str, top: bool) -> None:
        if extra is None or (extra is False and top):
            self._add(where, False, "is gone: what is stored under this name is not read any more")
        elif extra is False:
            self._add(where, True, "is gone, and what is stored under this name is refused")
        else:
            self._add(where, False, "is gone: what is stored under this name is read as an extra")
            self.schemas(old, extra, where)

    def _extras(self, old: Any, new: Any, place: str, top: bool) -> None:
        where = f"{place}.*" if place else "*"
        if old in (None, False):
            if new is False and old is None and not top:
                self._add(where, True, "other names are refused now, and may be stored")
        elif new is False and not top:
            self._add(where, True, "other names are refused now, and may be stored")
        elif new in (None, False):
            self._add(where, True, "what is stored beyond the fields is not read any more")
        else:
            self.schemas(old, new, where)


_OTHER_DEFAULT: Final = "has another default now, which stands for what was left out of what is stored"
_TEXT: Final[JsonSchema] = {"type": "string"}


def _read_as(union: JsonSchema, alternative: JsonSchema) -> JsonSchema:
    """Return an alternative with the reading rules of its union added. Its own rules win."""
    return {**alternative, READS: {**union[READS], **alternative.get(READS, {})}}


def _item(schema: JsonSchema, position: int) -> Any:
    prefix = schema.get("prefixItems", ())
    return prefix[position] if position < len(prefix) else schema.get("items", True)


# The reasons that `compare` gives, and their wording for old code that reads the sessions of new code.
_WORDS: Final = [
    (re.compile(pattern), words)
    for pattern, words in (
        (r"no longer takes (.+)", r"old code does not take \1"),
        (r"what was (.+) may be read as another .+", r"old code may read \1 as another alternative of its type"),
        (r"took any value, and is (.+) now", r"takes any value now, and was \1"),
        (r"took certain values only, and is (.+) now", r"takes certain values only now, and was \1"),
        (r"takes certain values only now", r"old code takes certain values only"),
        (r"was (.+), and is (.+) now", r"is \1 now, and was \2"),
        (r"is required now, and may be .+", r"is required by old code, and may be left out now"),
        (r"is new and has no default: .+", r"is required by old code, and no longer written"),
        (r"is gone, and what is stored .+", r"is new, and old code refuses names that it does not know"),
        (r"other names are refused now, and .+", r"old code refuses other names, which may be written now"),
        (r"(.+) has changed, or is gone", r"\1 in old code has changed, or is new there"),
        (r"has another default now, .+", r"has another default in old code, which stands for what is left out now"),
        (r"(.+) now", r"\1 in old code"),
        (r"(.+)", r"\1"),
    )
]
_NOT_READ: Final = "what is stored beyond the fields is not read any more"


def broken_for_old_code(old: JsonSchema, new: JsonSchema) -> list[Difference]:
    """Return the values of new code that old code cannot read, or reads as other values.

    This compares the schemas in reverse, and rewords the reasons. Keys that old code does not read at all do not count:
    they stay as they are stored.
    """
    found = compare(new, old, writes_all=True)
    return [each._replace(reason=_said(each.reason)) for each in found if each.breaking and each.reason != _NOT_READ]


def _said(reason: str) -> str:
    pattern, words = next((pattern, words) for pattern, words in _WORDS if pattern.fullmatch(reason))
    return pattern.sub(words, reason, count=1)
