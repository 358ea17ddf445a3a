"""Checks the fields and values that a verb takes by keyword: `update(tkn, username="b")`, `find(user_id=7)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from mypy.checker import TypeChecker
from mypy.errorcodes import ErrorCode
from mypy.maptype import map_instance_to_supertype
from mypy.messages import format_type_distinctly
from mypy.nodes import ARG_STAR2, Context, Expression, TypeInfo
from mypy.plugin import CheckerPluginInterface, MethodContext
from mypy.server.trigger import make_trigger
from mypy.subtypes import is_subtype
from mypy.types import Instance, Type, TypedDictType, TypeVarType, UnionType, get_proper_type
from mypy.types_utils import remove_optional

from ndb_models.mypy.error_codes import FIELD, VALUE, did_you_mean, names_in_words
from ndb_models.mypy.fitting import misfit
from ndb_models.mypy.model_facts import FACTS, LookupKind, facts_of
from ndb_models.mypy.model_fields import fields_of, is_whole, lookup_of


class Verb(NamedTuple):
    """A verb that takes fields by keyword.

    Attributes:
        finds: it takes fields with `Lookup()` alone, and at least one of them.
        finds_one: it needs a unique one among them.
    """

    name: str
    finds: bool = False
    finds_one: bool = False


_CHANGING: Final = {"update": Verb("update")}
_FINDING: Final = {
    "find": Verb("find", finds=True),
    "find_one": Verb("find_one", finds=True, finds_one=True),
    "end_all_for": Verb("end_all_for", finds=True),
}

VERBS: Final[Mapping[str, Mapping[str, Verb]]] = {
    "ndb_models.repository.changing_verbs.ChangingVerbs": _CHANGING,
    "ndb_models.repository.lookup_verbs.LookupVerbs": _FINDING,
    "ndb_models.config.configuration.ConfigRepository": _CHANGING,
    "ndb_models.sync.verbs.changing_verbs.SyncChangingVerbs": _CHANGING,
    "ndb_models.sync.verbs.lookup_verbs.SyncLookupVerbs": _FINDING,
    "ndb_models.sync.verbs.config_repository.SyncConfigRepositoryVerbs": _CHANGING,
}
"""The verbs by the class that defines them, which is generic in the model."""

VERB_NAMES: Final = frozenset(name for verbs in VERBS.values() for name in verbs)

_UNIQUE: Final = frozenset({LookupKind.UNIQUE, LookupKind.EITHER, LookupKind.UNKNOWN})


class _Given(NamedTuple):
    """A value that a call gives for a field. `type` is set if it stands in a typed dict."""

    name: str
    at: Expression
    type: Type | None = None


class _Problem(NamedTuple):
    message: str
    code: ErrorCode


class _Model(NamedTuple):
    """The model of a repository.

    Attributes:
        type: the model.
        is_exact: mypy knows the class and all of its fields. Else it may be a subclass, which has further ones.
        fields: the types of its fields.
    """

    type: Instance
    is_exact: bool
    fields: Mapping[str, Type]

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.type.type.name

    @property
    def looked_up(self) -> list[str]:
        """The fields that are known to be looked up."""
        return [name for name in self.fields if self.lookup(name) not in (LookupKind.NONE, LookupKind.UNKNOWN)]

    def lookup(self, name: str) -> LookupKind:
        """Return how a field is looked up."""
        return lookup_of(self.type.type, name)


def check_fields(verb: Verb, owner: TypeInfo, ctx: MethodContext) -> Type:
    """Check a call of a verb, and return its type as it is.

    Args:
        verb: the verb.
        owner: the class that defines it.
        ctx: the call.
    """
    models = _models_of(ctx.type, owner)
    given = [*_given(ctx)]
    _depend_on(models, [each.name for each in given], ctx.api)
    for each in given:
        _report_common(ctx, [_problem_of(verb, model, each, ctx.api) for model in models], each.at)
    if verb.finds and not ctx.args[0] and ARG_STAR2 not in ctx.arg_kinds[-1]:  # mypy refuses unnamed values
        names = [each.name for each in given]
        _report_common(ctx, [_problem_of_all(verb, model, names) for model in models], ctx.context)
    return ctx.default_return_type


def _models_of(repository: Type, owner: TypeInfo) -> list[_Model]:
    """Return the models that a repository may be of: several for a union, none if mypy does not know them."""
    receiver = get_proper_type(repository)
    if not isinstance(receiver, Instance) or not receiver.type.has_base(owner.fullname):
        return []
    argument = get_proper_type(map_instance_to_supertype(receiver, owner).args[0])
    models: list[_Model] = []
    for each in argument.items if isinstance(argument, UnionType) else [argument]:
        model = get_proper_type(each)
        is_variable = isinstance(model, TypeVarType)
        if isinstance(model, TypeVarType):
            model = get_proper_type(model.upper_bound)
        if not isinstance(model, Instance):
            return []
        models.append(_Model(model, not is_variable and is_whole(model.type), fields_of(model)))
    return models


def _depend_on(models: list[_Model], names: list[str], api: CheckerPluginInterface) -> None:
    """Let the daemon check this call again when the named fields, or the facts, of a model change.

    Not whenever the class changes: mypy lets it change by being analysed again, so that this would never end.
    """
    if isinstance(api, TypeChecker):
        for base in (base for model in models for base in model.type.type.mro if facts_of(base) is not None):
            for name in (FACTS, *names):
                trigger = make_trigger(f"{base.fullname}.{name}")
                api.tree.plugin_deps.setdefault(trigger, set()).add(api.tscope.current_target())


def _given(ctx: MethodContext) -> Iterator[_Given]:
    """Yield the values that a call gives by keyword, or in a typed dict after `**`. The last parameter takes them."""
    parameters = ctx.callee_arg_names[:-1]
    for name, kind, given, at in zip(
        ctx.arg_names[-1], ctx.arg_kinds[-1], ctx.arg_types[-1], ctx.args[-1], strict=True
    ):
        typed = get_proper_type(given)
        if name is not None:
            yield _Given(name, at)
        elif kind == ARG_STAR2 and isinstance(typed, TypedDictType):
            yield from (_Given(key, at, value) for key, value in typed.items.items() if key not in parameters)


def _problem_of(verb: Verb, model: _Model, given: _Given, api: CheckerPluginInterface) -> _Problem | None:
    if given.name not in model.fields:
        facts = facts_of(model.type.type)
        if not model.is_exact or (facts is not None and facts.is_open and not verb.finds):
            return None
        known = model.looked_up if verb.finds else model.fields
        return _Problem(f'"{model.name}" has no field "{given.name}"{did_you_mean(given.name, known)}', FIELD)
    field = f'Field "{given.name}" of "{model.name}"'
    expected = model.fields[given.name]
    if verb.finds:
        if model.is_exact and model.lookup(given.name) is LookupKind.NONE:
            known = model.looked_up
            advice = f"{verb.name}() takes {names_in_words(known)}" if known else "mark it with Lookup()"
            return _Problem(f"{field} is not looked up; {advice}", FIELD)
        expected = remove_optional(expected)
    wrong = misfit(given.at, expected, api) if given.type is None else _wrong(given.type, expected)
    if wrong is None:
        return None
    wanted, got = format_type_distinctly(expected, wrong, options=api.options)
    return _Problem(f"{field} is {'looked up by ' if verb.finds else ''}{wanted}, not {got}", VALUE)


def _wrong(given: Type, expected: Type) -> Type | None:
    return None if is_subtype(given, expected) else given


def _problem_of_all(verb: Verb, model: _Model, names: list[str]) -> _Problem | None:
    """Return the problem of all fields that a call looks for, each of which may be right."""
    if not model.is_exact or any(name not in model.fields for name in names):
        return None
    kinds = {model.lookup(name) for name in names}
    if not names:
        known = model.looked_up
        advice = f": {names_in_words(known)}" if known else "; mark one with Lookup()"
        return _Problem(f"{verb.name}() needs a field to look for{advice}", FIELD)
    if verb.finds_one and LookupKind.NONE not in kinds and not kinds & _UNIQUE:
        advice = "find() returns all sessions that there are"
        return _Problem(f"{verb.name}() needs a field with Lookup(unique=True); {advice}", FIELD)
    return None


def _report_common(ctx: MethodContext, problems: list[_Problem | None], at: Context) -> None:
    """Report a problem that a call has with every model that the repository may be of."""
    found = [problem for problem in problems if problem is not None]
    if found and len(found) == len(problems):
        ctx.api.fail(found[0].message, at, code=found[0].code)
