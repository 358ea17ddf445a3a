"""The plugin: the hooks of mypy that it answers. Pydantic's plugin answers others, so either may come first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from mypy.nodes import TypeInfo
from mypy.plugin import ClassDefContext, FunctionContext, MethodContext, Plugin, ReportConfigContext
from mypy.types import Type

from ndb_models.mypy.class_keywords import CALL, add_check, check_keywords, class_of
from ndb_models.mypy.field_arguments import VERB_NAMES, VERBS, check_fields
from ndb_models.mypy.lookup_marks import lookups_in
from ndb_models.mypy.model_facts import note_facts
from ndb_models.mypy.names import BASE_MODEL, SESSION_MODEL


class NdbModelsPlugin(Plugin):
    """Checks the arguments of `**changes: Any`, and the class keywords of session models."""

    def get_customize_class_mro_hook(self, fullname: str) -> Callable[[ClassDefContext], None] | None:
        """Note the facts of each model class, before its body is analysed."""
        info = self._class(fullname)
        return _note if info is not None and info.has_base(BASE_MODEL) else None

    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        """Check the calls of verbs, also of subclasses that do not override them."""
        of, _, name = fullname.rpartition(".")
        if name not in VERB_NAMES:
            return None
        info = self._class(of)
        owner = info.get_containing_type_info(name) if info is not None else None
        verb = VERBS.get(owner.fullname, {}).get(name) if owner is not None else None
        return None if owner is None or verb is None else partial(check_fields, verb, owner)

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        """Check the class keywords of session models."""
        return self._check_keywords if fullname == CALL else None

    def report_config_data(self, ctx: ReportConfigContext) -> object:
        """Return a digest of the plugin: when it changes, mypy's cache is stale."""
        return {"ndb_models": _of_plugin()}

    def _check_keywords(self, ctx: FunctionContext) -> Type:
        info = self._class(class_of(ctx))
        return ctx.default_return_type if info is None else check_keywords(info, ctx)

    def _class(self, fullname: str) -> TypeInfo | None:
        symbol = self.lookup_fully_qualified(fullname)
        return symbol.node if symbol is not None and isinstance(symbol.node, TypeInfo) else None


@cache
def _of_plugin() -> str:
    """Return a digest of the plugin's modules: mypy looks at the first of them alone."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()


def _note(ctx: ClassDefContext) -> None:
    note_facts(ctx.cls, lookups_in(ctx.cls, ctx.api), ctx.api)
    if ctx.cls.info.has_base(SESSION_MODEL) and ctx.cls.info.fullname != SESSION_MODEL:
        add_check(ctx.cls, ctx.api)
