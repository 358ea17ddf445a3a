"""Checks that one core schema reads the data of another as the same values: `covers(view, model)`.

If this cannot be shown, the answer is no. How a value is written does not matter if both read it alike, so most of the
check compares readers. The view may take more than the model: by a looser bound, a further alternative or a smaller
nested model. Then the model must write the value as its type does by default.
"""

# A core schema has no types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast

from pydantic import BaseModel

from ndb_models.schema.core_schemas import ANY_NODE, SchemaPart, walk, written_by_function
from ndb_models.schema.same_function import same_function
from ndb_models.schema.view_bounds import is_looser, length_bounds

# Settings that do not affect the value that is read from a text of the model.
_IRRELEVANT: Final = frozenset(
    {"ref", "metadata", "serialization", "strict", "fail_fast", "custom_error_type", "custom_error_message"}
    | {"config", "custom_error_context", "cls_repr", "validate_default", "frozen", "missing", "repr"}
)

# By kind: the settings in the configuration of a class that affect how its values are read.
_CONFIGURED: Final[Mapping[str, Mapping[str, str]]] = {
    "str": {
        **{name: f"str_{name}" for name in ("strip_whitespace", "to_lower", "to_upper", "min_length", "max_length")},
        "coerce_numbers_to_str": "coerce_numbers_to_str",
    },
    "bytes": {"val_json_bytes": "val_json_bytes", "ser_json_bytes": "ser_json_bytes"},
    "float": {"allow_inf_nan": "allow_inf_nan", "ser_json_inf_nan": "ser_json_inf_nan"},
    **{
        kind: {name: name for name in ("val_temporal_unit", "ser_json_temporal", "ser_json_timedelta")}
        for kind in ("date", "time", "datetime", "timedelta")
    },
}
# Kinds with bounds that may be looser in the view: the value that is read stays the same.
_BOUNDED: Final = frozenset(
    {"str", "bytes", "int", "float", "decimal", "date", "time", "datetime", "timedelta", "uuid"}
)

_FUNCTIONS: Final = frozenset({"function-before", "function-after", "function-wrap"})

_JSON_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "str": frozenset({"text"}),
    "int": frozenset({"number"}),
    "float": frozenset({"number"}),
    "bool": frozenset({"bool"}),
    "none": frozenset({"null"}),
    **{kind: frozenset({"array"}) for kind in ("list", "set", "frozenset", "tuple")},
    **{kind: frozenset({"object"}) for kind in ("dict", "model", "typed-dict", "dataclass")},
}
_ANYTHING: Final = frozenset({"text", "number", "bool", "null", "array", "object"})


class Reading:
    """Compares how a view reads with how a model writes."""

    def __init__(self) -> None:
        # Pairs that passed, and pairs that are being compared: a model may refer to itself.
        self._fine: frozenset[tuple[int, int, bool]] = frozenset()

    def covers(self, view: SchemaPart, model: SchemaPart) -> bool:
        """Tell whether the view reads all data of the model, each as the model's value or a looser form of it."""
        return self._assumed((id(view.node), id(model.node), True), self._covers, view, model)

    def _covers(self, view: SchemaPart, model: SchemaPart) -> bool:
        return self._same(view, model) or self._takes(view, model)

    def _assumed(
        self,
        pair: tuple[int, int, bool],
        compare: Callable[[SchemaPart, SchemaPart], bool],
        view: SchemaPart,
        model: SchemaPart,
    ) -> bool:
        if pair in self._fine:
            return True
        before = self._fine
        self._fine = before | {pair}
        if compare(view, model):
            return True
        self._fine = before  # drop the pairs that passed because of this one
        return False

    # The same

    def _same(self, view: SchemaPart, model: SchemaPart) -> bool:
        """Tell whether two parts of any kind read alike."""
        if view.kind != model.kind or not _configured_alike(view, model):
            return False
        if view.kind in ("model", "dataclass"):
            return view.node["cls"] is model.node["cls"]
        ours, theirs = ({name for name in side.node if name not in _IRRELEVANT} for side in (view, model))
        return ours == theirs and all(self._alike(view.node[name], model.node[name], view, model) for name in ours)

    def _alike(self, ours: Any, theirs: Any, view: SchemaPart, model: SchemaPart) -> bool:
        if isinstance(ours, dict) and isinstance(theirs, dict):
            one, other = cast("dict[str, Any]", ours), cast("dict[str, Any]", theirs)
            if callable(one.get("function")):  # a function, and how it is called
                return one.get("type") == other.get("type") and same_function(one["function"], other.get("function"))
            if isinstance(one.get("type"), str) and isinstance(other.get("type"), str):
                inner, others = view.at(one), model.at(other)
                return self._assumed((id(inner.node), id(others.node), False), self._same, inner, others)
            return one.keys() == other.keys() and all(self._alike(one[name], other[name], view, model) for name in one)
        if type(ours) in (list, tuple) and type(theirs) is type(ours):
            return len(ours) == len(theirs) and all(
                self._alike(one, other, view, model) for one, other in zip(ours, theirs, strict=True)
            )
        return same_function(ours, theirs)

    # More

    def _takes(self, view: SchemaPart, model: SchemaPart) -> bool:
        if view.kind == "any":
            return is_plain(model)
        if view.kind in _FUNCTIONS and _is_decorator(view) and not _shares_function(view, model):
            return self.covers(_inner(view), model)  # a validator of the view's own
        if model.kind == "function-after" and _is_decorator(model) and _inner(model).kind == "model":
            return self.covers(view, _inner(model))  # it checks the whole model, and the view is a part
        if view.kind == "nullable":
            return self.covers(_inner(view), _inner(model) if model.kind == "nullable" else model)
        if model.kind == "nullable" or model.otherwise:
            return False
        if "union" in (view.kind, model.kind):
            return self._alternatives(view, model)
        if model.kind == "function-after" and length_bounds(model.node):
            return self._within_lengths(view, model)
        if view.kind in _FUNCTIONS:
            return _shares_function(view, model) and self.covers(_inner(view), _inner(model))
        return self._of_kinds(view, model)

    def _of_kinds(self, view: SchemaPart, model: SchemaPart) -> bool:
        match view.kind, model.kind:
            case "literal", "literal":
                return self._literals(view, model)
            case "str" | "int", "literal":
                return self._literal_as_type(view, model)
            case ("list", "list") | ("set", "set") | ("frozenset", "frozenset"):
                return self._arrays(view, model)
            case "list", "tuple":
                return view.is_abstract and self._array_of_tuple(view, model)
            case "tuple", "tuple":
                return self._tuples(view, model)
            case "dict", "dict":
                return self._dicts(view, model)
            case "model", "model":
                return self._models(view, model)
            case "tagged-union", "tagged-union":
                return self._tagged(view, model)
            case _:
                return view.kind == model.kind and view.kind in _BOUNDED and self._bounded(view, model)

    def _bounded(self, view: SchemaPart, model: SchemaPart) -> bool:
        bounds = {"min_length", "max_length"}
        if view.setting("allow_inf_nan", "allow_inf_nan"):
            bounds.add("allow_inf_nan")
        return _configured_alike(view, model, but=bounds) and is_looser(view.node, model.node, _IRRELEVANT)

    def _alternatives(self, view: SchemaPart, model: SchemaPart) -> bool:
        """Compare alternatives: for each JSON type, their number and order must agree, since the best match wins."""
        ours, theirs = _choices(view), _choices(model)
        if "left_to_right" in (_mode(view), _mode(model)):
            return False
        for choice in theirs:
            kinds = json_kinds(choice)
            takers = [each for each in ours if json_kinds(each) & kinds]
            rivals = [each for each in theirs if json_kinds(each) & kinds]
            position = next(number for number, each in enumerate(rivals) if each is choice)
            if len(takers) != len(rivals) or not self.covers(takers[position], choice):
                return False
        return True

    def _within_lengths(self, view: SchemaPart, model: SchemaPart) -> bool:
        """Compare parts with a length that Pydantic checks by its own function, as in secrets. It changes no value."""
        ours: Mapping[str, int] = {}
        theirs: Mapping[str, int] = {}
        within, inside = view, model
        while bounds := length_bounds(within.node):
            ours, within = {**bounds, **ours}, _inner(within)
        while bounds := length_bounds(inside.node):
            theirs, inside = {**bounds, **theirs}, _inner(inside)
        if not ours:
            return self.covers(within, inside)
        return is_looser({"type": "", **ours}, {"type": "", **theirs}, _IRRELEVANT) and self._same(within, inside)

    def _tagged(self, view: SchemaPart, model: SchemaPart) -> bool:
        """Compare tagged unions: the discriminator must be the same, and the choices are compared tag by tag."""
        ours, theirs = view.node["choices"], model.node["choices"]
        return same_function(view.node["discriminator"], model.node["discriminator"]) and all(
            tag in ours and self.covers(view.at(ours[tag]), model.at(theirs[tag])) for tag in theirs
        )

    def _literals(self, view: SchemaPart, model: SchemaPart) -> bool:
        expected = [(type(each), each) for each in view.node["expected"]]
        return all((type(each), each) in expected for each in model.node["expected"])

    def _literal_as_type(self, view: SchemaPart, model: SchemaPart) -> bool:
        kind = {"str": str, "int": int}[view.kind]
        bare = {name for name in view.node if name not in _IRRELEVANT} == {"type"}
        changed = any(view.setting(name, f"str_{name}") for name in ("strip_whitespace", "to_lower", "to_upper"))
        return bare and not changed and all(type(each) is kind for each in model.node["expected"])

    def _arrays(self, view: SchemaPart, model: SchemaPart) -> bool:
        if not is_looser(view.node, model.node, _IRRELEVANT | {"items_schema"}):
            return False
        return self.covers(_part(view, "items_schema"), _part(model, "items_schema"))

    def _tuples(self, view: SchemaPart, model: SchemaPart) -> bool:
        ours, theirs = view.node["items_schema"], model.node["items_schema"]
        more, others = (side.node.get("variadic_item_index") for side in (view, model))
        if not is_looser(view.node, model.node, _IRRELEVANT | {"items_schema", "variadic_item_index"}):
            return False
        if more == 0 and len(ours) == 1:
            return all(self.covers(view.at(ours[0]), model.at(each)) for each in theirs)
        return more == others and self._each(view, model, ours, theirs)

    def _each(self, view: SchemaPart, model: SchemaPart, ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
        return len(ours) == len(theirs) and all(
            self.covers(view.at(one), model.at(other)) for one, other in zip(ours, theirs, strict=True)
        )

    def _array_of_tuple(self, view: SchemaPart, model: SchemaPart) -> bool:
        items = [model.at(each) for each in model.node["items_schema"]]
        return view.node.keys() <= {"type", "items_schema"} and all(
            self.covers(_part(view, "items_schema"), each) for each in items
        )

    def _dicts(self, view: SchemaPart, model: SchemaPart) -> bool:
        if not is_looser(view.node, model.node, _IRRELEVANT | {"keys_schema", "values_schema"}):
            return False
        return all(self.covers(_part(view, part), _part(model, part)) for part in ("keys_schema", "values_schema"))

    def _models(self, view: SchemaPart, model: SchemaPart) -> bool:
        ours, theirs = _model_fields(view), _model_fields(model)
        if ours is None or theirs is None or view.node.get("root_model") or model.node.get("root_model"):
            return False
        extra = view.node.get("config", {}).get("extra_fields_behavior", "ignore")
        if extra != "ignore" and not theirs.keys() <= ours.keys():
            return False
        return all(
            self.covers(view.at(ours[name]), model.at(theirs[name]))
            if name in theirs and not _is_left_out(theirs[name])
            else has_default(ours[name])
            for name in ours
        )


def has_default(field: Any) -> bool:
    """Tell whether a field may be missing."""
    return bool(field["schema"]["type"] == "default")


def is_plain(side: SchemaPart) -> bool:
    """Tell whether a value is written as its type is by default, so that its JSON shows it. A secret is not."""
    return not side.otherwise and not any(
        written_by_function(node.get("serialization"))
        or (node["type"] == "bytes" and config.get("ser_json_bytes", "utf8") != "utf8")
        for node, config in walk(side.node, side.of, side.config)
    )


def _configured_alike(view: SchemaPart, model: SchemaPart, but: Collection[str] = ()) -> bool:
    return all(
        view.setting(name, configured) == model.setting(name, configured)
        for name, configured in _CONFIGURED.get(model.kind, {}).items()
        if name not in but
    )


def _is_decorator(side: SchemaPart) -> bool:
    """Tell whether a class declares this validator by a decorator."""
    function = side.node["function"]["function"]
    owner = getattr(function, "__self__", None)
    return _inner(side).kind == "model" or (isinstance(owner, type) and issubclass(owner, BaseModel))


def _shares_function(view: SchemaPart, model: SchemaPart) -> bool:
    if view.kind != model.kind:
        return False
    return same_function(view.node["function"]["function"], model.node["function"]["function"])


def _choices(side: SchemaPart) -> list[SchemaPart]:
    if side.kind != "union":
        return [side]
    choices = [each[0] if isinstance(each, tuple) else each for each in side.node["choices"]]
    return [inner for each in choices for inner in _choices(side.at(each))]


def _mode(side: SchemaPart) -> str:
    return str(side.node.get("mode", "smart"))


def _inner(side: SchemaPart) -> SchemaPart:
    return side.at(side.node["schema"])


def json_kinds(side: SchemaPart) -> frozenset[str]:
    """Return the JSON types that this part reads."""
    if side.kind in _FUNCTIONS:
        return json_kinds(_inner(side)) if side.kind == "function-after" else _ANYTHING
    if side.kind == "lax-or-strict":
        return json_kinds(side.at(side.node["strict_schema"]))
    if side.kind == "literal":
        names = {str: "text", int: "number", bool: "bool", type(None): "null"}
        return frozenset(names.get(type(each), "text") for each in side.node["expected"])
    return _JSON_KINDS.get(side.kind, _ANYTHING)


def _part(side: SchemaPart, name: str) -> SchemaPart:
    return side.at(side.node.get(name, ANY_NODE))


def _model_fields(side: SchemaPart) -> Mapping[str, Any] | None:
    inner = _inner(side)
    return inner.node["fields"] if inner.kind == "model-fields" and not inner.otherwise else None


def _is_left_out(field: Any) -> bool:
    return bool(field.get("serialization_exclude"))
