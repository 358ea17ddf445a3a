"""How changes of the same fields of a model are merged. Decided here without I/O."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from ndb_models.errors import ConflictError, UnstorableError
from ndb_models.raising import raise_without_context
from ndb_models.schema.changes import value_of
from ndb_models.schema.core_schemas import SchemaPart, field_of, fields_of_model
from ndb_models.schema.merge_marks import Merge
from ndb_models.schema.merge_rules import MergeRule, default_of, needs_comparison, rules_of
from ndb_models.schema.value_kinds import ABSENT
from ndb_models.schema.value_merging import ConflictFound, NoSumFound, is_mergeable, merge_values

M = TypeVar("M", bound=BaseModel)

_NO_SUM: Final = "the sum of two changes of it is too large to be exact"

# Types of a core schema with values that are wholes, and types with values that are merged by structure.
_SCALARS: Final = frozenset(
    {
        *("none", "bool", "int", "float", "decimal", "complex", "str", "bytes", "literal", "enum"),
        *("date", "time", "datetime", "timedelta", "uuid", "url", "multi-host-url"),
    }
)
_CONTAINERS: Final = frozenset({"dict", "list", "set", "frozenset", "model", "dataclass", "typed-dict"})


class Merger(Generic[M]):
    """Merges changes of models of one class. Built once per class and repository.

    Args:
        model: the class, which must be complete.

    Raises:
        SchemaError: a mark makes no sense where it stands.
    """

    def __init__(self, model: type[M]) -> None:
        self._name = model.__name__
        self._rules = rules_of(model)
        self._of_extras = MergeRule(default_of(model))
        self.marked: frozenset[str] = frozenset(name for name in self._rules if needs_comparison(name, model))
        """Fields that are, or hold, values with a mark that only a server that compares can keep."""
        fields = fields_of_model(model)
        compared = {name: _is_compared(rule, field_of(fields, name)) for name, rule in self._rules.items()}
        self.compared: frozenset[str] = frozenset(name for name, always in compared.items() if always)
        """Fields whose stored value is compared whenever they are written."""
        self.uncompared: frozenset[str] = frozenset(name for name, always in compared.items() if always is False)
        """Fields whose stored value is never compared: the later write wins."""

    def to_compare(self, model: M, names: frozenset[str]) -> Collection[str]:
        """Return those of the changed fields and extras whose stored values have to be compared when written.

        Args:
            model: the model with its changes.
            names: the names of the changed fields and extras.
        """
        compared = names - self.uncompared
        if compared <= self.compared:
            return compared
        return [name for name in compared if self.needs_compare(name, None, value_of(model, name))]

    def needs_compare(self, name: str, before: object, now: object) -> bool:
        """Tell whether the stored value of a field or an extra has to be compared when it is written.

        If it is not compared, the later write wins.

        Args:
            name: the name of the field or the extra.
            before: the value that was read; `ABSENT` for none.
            now: the value to write; `ABSENT` for none.
        """
        if name in self.compared or name in self.uncompared:
            return name in self.compared
        if name not in self._rules and self._of_extras.mark is not Merge.structure:
            return self._of_extras.mark is Merge.conflict
        return is_mergeable(now) and (before is None or before is ABSENT or type(before) is type(now))

    def merge(self, base: M, mine: M, theirs: M, changed: Collection[str]) -> dict[str, object]:
        """Return the values of fields that apply the change from `base` to `mine` to `theirs`.

        A name that is missing in the result was removed in `mine`. The result shares no value with `base` and `mine`;
        it may share values with `theirs`. It is not validated.

        Args:
            base: the model as it was read.
            mine: the model with its changes.
            theirs: the model as it is stored by now.
            changed: the names of the fields and extras that `mine` changed.

        Raises:
            ConflictError: both changed a value that is marked `Merge.conflict`.
            UnstorableError: the sum of both changes is too large to be exact.
        """
        merged: dict[str, object] = {}
        for name in changed:
            before, now, stored = (value_of(model, name) for model in (base, mine, theirs))
            try:
                merged[name] = merge_values(before, now, stored, self._rules.get(name, self._of_extras))
            except ConflictFound:
                raise_without_context(ConflictError(self._name, name))
            except NoSumFound:
                raise_without_context(UnstorableError(self._name, [(name, _NO_SUM)]))
        return {name: value for name, value in merged.items() if value is not ABSENT}


def _is_compared(rule: MergeRule, part: SchemaPart) -> bool | None:
    """Tell whether a field is always compared (True), or never (False), or as its value says (None)."""
    if rule.mark is not None and rule.mark is not Merge.structure:
        return rule.mark is not Merge.later
    return _has_structure(part)


def _has_structure(part: SchemaPart) -> bool | None:
    """Tell whether values of a type are all merged by their structure (True), or none are (False)."""
    if part.kind in _SCALARS:
        return False
    if part.kind in _CONTAINERS:
        return True
    choices: list[Any] = []
    match part.kind:
        case "nullable":
            choices = [part.node["schema"]]
        case "union":
            choices = [choice[0] if isinstance(choice, tuple) else choice for choice in part.node["choices"]]
        case _:
            return None
    return False if all(_has_structure(part.at(choice)) is False for choice in choices) else None
