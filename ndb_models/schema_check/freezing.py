"""Frozen schemas: the shape of a model's sessions in a committed file, and the changes since.

A file holds the name and the version of the schema, the JSON Schema of the stored keys, the fields that were removed,
and the expiry. Sessions may still hold values of removed fields. The JSON Schema names fields by their own names. It
has no titles, descriptions or defaults, which do not matter here. A field that may be absent from a stored session
keeps its default, because that stands for its value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import msgspec

from ndb_models.errors import InvalidArgumentError
from ndb_models.schema.json_schema import ABSENT, DEFAULTS, JsonSchema
from ndb_models.schema.model import SessionModel
from ndb_models.schema.stored_schema import OF_NAMES, VALUES, stored_schema_of
from ndb_models.schema_check.comparing import Difference, broken_for_old_code, compare, compare_field
from ndb_models.schema_check.field_paths import fields_by_path
from ndb_models.schema_check.frozen_expiry import FrozenExpiry, compare_expiry, frozen_expiry
from ndb_models.schema_check.shape import check_shape


class Frozen(msgspec.Struct, frozen=True):
    """The contents of a file. Files of older releases have None for `expiry`: they do not record it."""

    schema: str
    version: int
    json_schema: dict[str, Any]
    removed: dict[str, dict[str, Any]] = {}
    expiry: FrozenExpiry | None = None


class Outcome(Enum):
    """The state of a schema compared with its file."""

    SAME = "unchanged"
    COMPATIBLE = "compatible"
    UPGRADED = "upgraded"
    NEW = "never frozen"
    BREAKING = "breaking"
    DOWNGRADED = "downgraded"

    @property
    def is_well(self) -> bool:
        """True if the schema can be deployed."""
        return self in (Outcome.SAME, Outcome.COMPATIBLE, Outcome.UPGRADED)


class Verdict(NamedTuple):
    """The outcome for a schema, and the differences behind it.

    `for_old_code` lists the differences that keep old code of the same version from reading sessions of the new code.
    """

    outcome: Outcome
    differences: list[Difference]
    for_old_code: list[Difference] = []


def file_name(schema: str) -> str:
    """Return the file name of a schema. Special characters in the name of the schema are quoted."""
    return f"{quote(schema, safe='[]')}.json"


def frozen_of(model: type[SessionModel], before: Frozen | None = None) -> Frozen:
    """Return the new contents of a model's file; `before` are its old contents.

    Raises:
        SchemaError: the class names a type that is not defined, or has no JSON Schema.
    """
    options = model.session_options
    stored = stored_schema_of(model)
    return Frozen(
        options.schema, options.version, stored, _removed_since(before, stored), frozen_expiry(options.expiry)
    )


def _removed_since(before: Frozen | None, schema: JsonSchema) -> dict[str, dict[str, Any]]:
    if before is None:
        return {}
    defs = {"$defs": before.json_schema["$defs"]} if "$defs" in before.json_schema else {}
    then, now = fields_by_path(before.json_schema), fields_by_path(schema)
    gone = {path: {**each, **defs} for path, each in then.items() if path not in now}
    removed = {path: each for path, each in before.removed.items() if path not in now}
    # A removed field tells of the fields inside it.
    return {**removed, **{path: each for path, each in gone.items() if not _is_inside(path, gone)}}


def _is_inside(path: str, others: Iterable[str]) -> bool:
    return any(path.startswith((f"{other}.", f"{other}[")) for other in others)


def _as_filed(schema: Any) -> Any:
    """Return a schema without defaults, except those that stand for values left out in writing."""
    if isinstance(schema, list):
        return [_as_filed(each) for each in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    members = cast("dict[str, Any]", schema)
    filed = {
        name: part
        if name in VALUES
        else {inner: _as_filed(each) for inner, each in part.items()}
        if name in OF_NAMES
        else _as_filed(part)
        for name, part in members.items()
        if name not in (DEFAULTS, ABSENT)
    }
    defaults = {name: members[DEFAULTS][name] for name in members.get(ABSENT, ())}
    return {**filed, DEFAULTS: defaults} if defaults else filed


def written(frozen: Frozen) -> str:
    """Return the text of a file. The same schema always has the same text."""
    parts = msgspec.to_builtins(msgspec.structs.replace(frozen, json_schema=_as_filed(frozen.json_schema)))
    return json.dumps(parts, indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def read_frozen(text: bytes) -> Frozen:
    """Return the contents of a file.

    Raises:
        InvalidArgumentError: it is not the file of a frozen schema.
    """
    try:
        frozen = msgspec.json.decode(text, type=Frozen)
        for schema in (frozen.json_schema, *frozen.removed.values()):
            check_shape(schema)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise InvalidArgumentError("it is not the file of a frozen schema; restore it, or freeze anew") from exc
    return frozen


def judge(frozen: Frozen | None, now: Frozen) -> Verdict:
    """Return the verdict on a schema compared with its file; pass None without a file."""
    if frozen is None:
        return Verdict(Outcome.NEW, [])
    if now.version < frozen.version:
        return Verdict(Outcome.DOWNGRADED, [])
    differences = compare(frozen.json_schema, now.json_schema)
    differences += _come_back(frozen.removed, now.json_schema)
    differences += compare_expiry(frozen.expiry, now.expiry)
    if now.version > frozen.version:
        return Verdict(Outcome.UPGRADED, differences)
    for_old_code = broken_for_old_code(frozen.json_schema, now.json_schema)
    if any(difference.breaking for difference in differences):
        return Verdict(Outcome.BREAKING, differences, for_old_code)
    return Verdict(Outcome.COMPATIBLE if differences or for_old_code else Outcome.SAME, differences, for_old_code)


def _come_back(removed: JsonSchema, schema: JsonSchema) -> list[Difference]:
    """Return the breaking differences of fields that come back: sessions may hold values of the removed fields."""
    now = fields_by_path(schema)
    return [
        each._replace(reason=f"{each.reason} (there was such a field before)")
        for path, old in removed.items()
        if path in now
        for each in compare_field(old, schema, now[path], path)
        if each.breaking
    ]
