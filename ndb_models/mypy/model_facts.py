"""Facts about a model class, beside the types of its fields, which mypy keeps.

The facts are noted while mypy analyses the class. They are kept in its symbol table, as the type of an attribute that
does not exist at run time. So they are in mypy's cache. When they change, mypy checks the dependent modules again, in
the daemon too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from mypy.nodes import (
    ARG_STAR2,
    MDEF,
    AssignmentStmt,
    CallExpr,
    ClassDef,
    DictExpr,
    Expression,
    NameExpr,
    Statement,
    StrExpr,
    SymbolTableNode,
    TypeInfo,
    Var,
)
from mypy.plugin import SemanticAnalyzerPluginInterface
from mypy.types import LiteralType

FACTS: Final = "__ndb_models__"
"""The attribute of a class whose type holds its facts."""

# A configuration that cannot be told from the program's text.
_UNKNOWN: Final = "unknown"


class LookupKind(StrEnum):
    """How a field is looked up, as far as the text of its declaration tells."""

    NONE = "none"
    PLAIN = "plain"
    UNIQUE = "unique"
    EITHER = "either"
    """Looked up, and perhaps unique."""
    UNKNOWN = "unknown"


class ModelFacts(NamedTuple):
    """Facts about a class.

    Attributes:
        extra: its `extra` in Pydantic's configuration, inherited or its own; None if it is not set.
        lookups: how the fields that it declares itself are looked up, in their order; None if its declaration cannot
            be read.
    """

    extra: str | None
    lookups: Mapping[str, LookupKind] | None

    @property
    def is_open(self) -> bool:
        """True if models of the class may have further names."""
        return self.extra in ("allow", _UNKNOWN)

    @property
    def declared(self) -> list[str]:
        """The fields that the class declares, as far as its declaration can be read."""
        return [] if self.lookups is None else list(self.lookups)

    def lookup(self, field: str) -> LookupKind | None:
        """Return how a field is looked up; None if the class does not declare it."""
        return LookupKind.UNKNOWN if self.lookups is None else self.lookups.get(field)


def note_facts(cls: ClassDef, lookups: Mapping[str, LookupKind] | None, api: SemanticAnalyzerPluginInterface) -> None:
    """Note the facts of a class. May be called again."""
    text = json.dumps([_extra(cls), lookups])
    attribute = Var(FACTS, LiteralType(text, api.named_type("builtins.str")))
    attribute.info = cls.info
    attribute.is_classvar = True
    # mypy has no public way to set it.
    attribute._fullname = f"{cls.info.fullname}.{FACTS}"  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    cls.info.names[FACTS] = SymbolTableNode(MDEF, attribute, plugin_generated=True)


def facts_of(info: TypeInfo) -> ModelFacts | None:
    """Return the facts of a class; None for one that was not analysed as a model, as of `create_model`."""
    symbol = info.names.get(FACTS)
    kept = symbol.node.type if symbol is not None and isinstance(symbol.node, Var) else None
    if not isinstance(kept, LiteralType) or not isinstance(kept.value, str):
        return None
    extra, lookups = json.loads(kept.value)
    return ModelFacts(extra, lookups and {name: LookupKind(kind) for name, kind in lookups.items()})


def _extra(cls: ClassDef) -> str | None:
    """Return the `extra` of a class: of its keywords, or its configuration, or its bases; the last base counts most."""
    own = _literal(cls.keywords.get("extra")) or _extra_in(cls.defs.body)
    if own is not None or cls.info.fallback_to_any:
        return own or _UNKNOWN
    for base in reversed(cls.info.bases):
        facts = facts_of(base.type)
        if facts is not None and facts.extra is not None:
            return facts.extra
    return None


def _extra_in(body: list[Statement]) -> str | None:
    for statement in reversed(body):
        if isinstance(statement, ClassDef) and statement.name == "Config":
            return _UNKNOWN
        if isinstance(statement, AssignmentStmt) and any(map(_is_configuration, statement.lvalues)):
            return _extra_of(statement.rvalue)
    return None


def _is_configuration(target: Expression) -> bool:
    return isinstance(target, NameExpr) and target.name == "model_config"


def _extra_of(configuration: Expression) -> str | None:
    """Return the `extra` of a configuration: `ConfigDict(extra="allow")` or `{"extra": "allow"}`."""
    if isinstance(configuration, DictExpr):
        items = {key.value if isinstance(key, StrExpr) else None: value for key, value in configuration.items}
        return _literal(items.get("extra")) or (_UNKNOWN if None in items else None)
    if isinstance(configuration, CallExpr):
        named = dict(zip(configuration.arg_names, configuration.args, strict=True))
        is_whole = ARG_STAR2 not in configuration.arg_kinds and None not in named
        return _literal(named.get("extra")) or (None if is_whole else _UNKNOWN)
    return _UNKNOWN


def _literal(value: Expression | None) -> str | None:
    if value is None or (isinstance(value, NameExpr) and value.name == "None"):
        return None
    return value.value if isinstance(value, StrExpr) else _UNKNOWN
