"""Checks the class keywords of session models: `class UserSession(SessionModel, expirey=...)`.

mypy does not check the keywords of a class with a metaclass, and Pydantic's models have one. So the plugin gives the
class a decorator that only mypy sees: a call with the same keywords. mypy infers their types, and the plugin checks
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mypy.messages import format_type_distinctly
from mypy.nodes import (
    ARG_NAMED,
    ARG_POS,
    ARG_STAR2,
    CallExpr,
    ClassDef,
    Decorator,
    Expression,
    FuncDef,
    StrExpr,
    SymbolNode,
    TempNode,
    TypeInfo,
)
from mypy.plugin import FunctionContext, SemanticAnalyzerPluginInterface
from mypy.types import AnyType, CallableType, Type, TypeOfAny, UnionType

from ndb_models.mypy.error_codes import KEYWORD, did_you_mean
from ndb_models.mypy.fitting import misfit
from ndb_models.mypy.names import BASE_MODEL, METACLASSES

CALL: Final = "ndb_models.mypy.class_keywords"
"""The name of the function that the decorator calls. There is no such function."""

_HOOKS: Final = ("__init_subclass__", "__pydantic_init_subclass__")


def add_check(cls: ClassDef, api: SemanticAnalyzerPluginInterface) -> None:
    """Let the keywords of a class be checked. May be called again."""
    cls.decorators[:] = [each for each in cls.decorators if not _is_check(each)]
    if not cls.keywords:
        return
    function, anything, some = api.named_type("builtins.function"), AnyType(TypeOfAny.special_form), _object(api)
    same = CallableType([some], [ARG_POS], [None], some, function)
    check = CallableType([some, anything], [ARG_POS, ARG_STAR2], [None, "keywords"], same, function, name=CALL)
    names: list[str | None] = [None, *cls.keywords]
    kinds = [ARG_POS, *[ARG_NAMED] * len(cls.keywords)]
    call = CallExpr(TempNode(check), [StrExpr(cls.info.fullname), *cls.keywords.values()], kinds, names)
    call.set_line(cls)
    cls.decorators.insert(0, call)  # it is called last, so that the others are given the class


def _object(api: SemanticAnalyzerPluginInterface) -> Type:
    return api.named_type("builtins.object")


def _is_check(decorator: Expression) -> bool:
    return isinstance(decorator, CallExpr) and isinstance(decorator.callee, TempNode)


def class_of(ctx: FunctionContext) -> str:
    """Return the full name of the class that a decorator stands on."""
    name = ctx.args[0][0]
    return name.value if isinstance(name, StrExpr) else ""


def check_keywords(info: TypeInfo, ctx: FunctionContext) -> Type:
    """Check the keywords of a class, given the call of its decorator. Return the type of the call."""
    known = _keywords_of(info)
    # A metaclass of the program's own may take any further ones.
    metaclass = info.metaclass_type
    is_all_known = not info.fallback_to_any and (metaclass is None or metaclass.type.fullname in METACLASSES)
    for name, at in zip(ctx.arg_names[-1], ctx.args[-1], strict=True):
        if name is None:
            continue
        if name not in known:
            if is_all_known:
                message = f'"{info.name}" takes no class keyword "{name}"{did_you_mean(name, known)}'
                ctx.api.fail(message, at, code=KEYWORD)
        elif (wrong := misfit(at, known[name], ctx.api)) is not None:
            wanted, got = format_type_distinctly(known[name], wrong, options=ctx.api.options)
            ctx.api.fail(f'Class keyword "{name}" of "{info.name}" is {wanted}, not {got}', at, code=KEYWORD)
    return ctx.default_return_type


def _keywords_of(info: TypeInfo) -> dict[str, Type]:
    """Return the types of the keywords that a class may have, by name: Pydantic's own come last.

    As at run time, these are the keywords that the hooks of its bases name.
    """
    types: dict[str, list[Type]] = {}
    pydantics: dict[str, list[Type]] = {}
    for base in info.mro[1:]:
        for hook in _HOOKS:
            symbol = base.names.get(hook)
            for name, taken in _parameters(symbol.node) if symbol is not None else ():
                (pydantics if base.fullname == BASE_MODEL else types).setdefault(name, []).append(taken)
    ours = {name: UnionType.make_union(taken) for name, taken in types.items() if name not in pydantics}
    return ours | {name: UnionType.make_union(taken) for name, taken in pydantics.items()}


def _parameters(hook: SymbolNode | None) -> Iterator[tuple[str, Type]]:
    """Yield the names and types of the keywords that a hook takes, those of `**kwargs: Unpack[...]` too."""
    function = hook.func if isinstance(hook, Decorator) else hook
    if not isinstance(function, FuncDef):
        return
    if isinstance(function.type, CallableType):
        signature = function.type.with_unpacked_kwargs()
        names, kinds, types = signature.arg_names, signature.arg_kinds, signature.arg_types
    else:
        names, kinds = list(function.arg_names), function.arg_kinds
        types = [AnyType(TypeOfAny.unannotated) for _ in names]
    for name, kind, taken in list(zip(names, kinds, types, strict=True))[1:]:
        if name is not None and not kind.is_star():
            yield name, taken
