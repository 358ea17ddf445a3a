"""Finds out which fields of a class are looked up: `user_id: Annotated[int, Lookup()]`.

mypy drops the metadata of `Annotated`, so the declaration is read again from the file. Aliases such as
`UserId = Annotated[int, Lookup()]` are followed, into other modules too. A field that cannot be decided is of the kind
`LookupKind.UNKNOWN`, and the plugin does not complain of it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from mypy.nodes import ClassDef, FuncDef, MypyFile, OverloadedFuncDef, SymbolNode, SymbolTable, TypeAlias, TypeInfo, Var
from mypy.plugin import SemanticAnalyzerPluginInterface

from ndb_models.mypy.model_facts import LookupKind
from ndb_models.mypy.names import LOOKUP

_ANNOTATED: Final = frozenset({"typing.Annotated", "typing_extensions.Annotated"})
_FINAL: Final = frozenset({"typing.Final", "typing_extensions.Final"})

# Aliases of aliases that are followed: a cycle ends too.
_MOST_ALIASES: Final = 16


def lookups_in(cls: ClassDef, api: SemanticAnalyzerPluginInterface) -> Mapping[str, LookupKind] | None:
    """Return how the fields that a class declares are looked up; None if its declaration cannot be read."""
    declared = _class_in(_tree(api.modules[api.cur_mod_id]), cls)
    if declared is None:
        return None

    def found(name: str) -> SymbolNode | None:
        symbol = api.lookup_qualified(name, cls, suppress_errors=True)
        return symbol.node if symbol is not None else None

    marks = _Marks(api.modules, found)
    return {
        statement.target.id: marks.of_annotation(statement.annotation)
        for statement in _assignments(declared.body)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }


class _Marks:
    """Finds the marks of annotations.

    Args:
        modules: all modules.
        find: resolves a dotted name in the scope of the annotations.
        depth: how many aliases have been followed.
    """

    def __init__(
        self, modules: Mapping[str, MypyFile], find: Callable[[str], SymbolNode | None], depth: int = 0
    ) -> None:
        self._modules = modules
        self._find = find
        self._depth = depth

    def of_annotation(self, annotation: ast.expr) -> LookupKind:
        """Return how a field with this annotation is looked up."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            quoted = _parsed(annotation.value)
            return LookupKind.UNKNOWN if quoted is None else self.of_annotation(quoted)
        head = annotation.value if isinstance(annotation, ast.Subscript) else annotation
        if not isinstance(head, (ast.Name, ast.Attribute)):
            return LookupKind.NONE  # int | None, or None
        meaning = self._meaning(head)
        if isinstance(meaning, TypeAlias):
            aliased = self._definition(meaning.fullname)
            return LookupKind.UNKNOWN if aliased is None else aliased[1].of_annotation(aliased[0])
        if not isinstance(annotation, ast.Subscript):
            return LookupKind.NONE if isinstance(meaning, TypeInfo) else LookupKind.UNKNOWN
        if meaning is not None and meaning.fullname in _ANNOTATED and isinstance(annotation.slice, ast.Tuple):
            return self._of_annotated(*annotation.slice.elts)
        if meaning is not None and meaning.fullname in _FINAL:
            return self.of_annotation(annotation.slice)
        return LookupKind.UNKNOWN if meaning is None else LookupKind.NONE

    def _of_annotated(self, annotation: ast.expr, *metadata: ast.expr) -> LookupKind:
        kinds = {self.of_metadata(each) for each in metadata}
        known = kinds - {LookupKind.NONE, LookupKind.UNKNOWN}
        if known:
            return known.pop()
        return LookupKind.UNKNOWN if LookupKind.UNKNOWN in kinds else self.of_annotation(annotation)

    def of_metadata(self, metadata: ast.expr) -> LookupKind:
        """Return how a field with this metadata is looked up."""
        if isinstance(metadata, (ast.Constant, ast.Lambda, ast.JoinedStr, ast.UnaryOp)):
            return LookupKind.NONE
        if isinstance(metadata, ast.Call) and isinstance(metadata.func, (ast.Name, ast.Attribute)):
            return self._of_call(metadata, self._meaning(metadata.func))
        if not isinstance(metadata, (ast.Name, ast.Attribute)):
            return LookupKind.UNKNOWN
        meaning = self._meaning(metadata)
        if isinstance(meaning, TypeInfo):
            return LookupKind.NONE
        if not isinstance(meaning, Var):
            return LookupKind.UNKNOWN
        if meaning.info and meaning.info.is_enum:
            return LookupKind.NONE  # such as Merge.add
        defined = self._definition(meaning.fullname)
        return LookupKind.UNKNOWN if defined is None else defined[1].of_metadata(defined[0])

    def _of_call(self, call: ast.Call, function: SymbolNode | None) -> LookupKind:
        if isinstance(function, TypeInfo):
            return _kind_of(call) if function.has_base(LOOKUP) else LookupKind.NONE
        is_pydantics = isinstance(function, (FuncDef, OverloadedFuncDef)) and function.fullname.startswith("pydantic.")
        return LookupKind.NONE if is_pydantics else LookupKind.UNKNOWN

    def _meaning(self, name: ast.Name | ast.Attribute) -> SymbolNode | None:
        return self._find(ast.unparse(name))

    def _definition(self, fullname: str) -> tuple[ast.expr, _Marks] | None:
        """Return the definition of a name of a module, and the marks of that module; None if it is not found."""
        module, _, name = fullname.rpartition(".")
        file = self._modules.get(module)
        if file is None or self._depth >= _MOST_ALIASES:
            return None
        values = [
            statement.value
            for statement in _assignments(_tree(file).body)
            for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
            if isinstance(target, ast.Name) and target.id == name and statement.value is not None
        ]
        found = partial(_found_in, [file.names, self._modules["builtins"].names])
        there = _Marks(self._modules, found, self._depth + 1)
        return (values[-1], there) if values else None


def _kind_of(lookup: ast.Call) -> LookupKind:
    """Return the kind of a field with `Lookup(...)`."""
    unique = {word.arg: word.value for word in lookup.keywords}.get("unique")
    if unique is None:
        return LookupKind.EITHER if any(word.arg is None for word in lookup.keywords) else LookupKind.PLAIN
    if isinstance(unique, ast.Constant) and isinstance(unique.value, bool):
        return LookupKind.UNIQUE if unique.value else LookupKind.PLAIN
    return LookupKind.EITHER


def _found_in(scopes: list[SymbolTable], dotted: str) -> SymbolNode | None:
    """Resolve a dotted name. The first scope that has it decides."""
    first, *others = dotted.split(".")
    symbol = next((names[first] for names in scopes if first in names), None)
    node = symbol.node if symbol is not None else None
    for name in others:
        symbol = node.names.get(name) if isinstance(node, (MypyFile, TypeInfo)) else None
        node = symbol.node if symbol is not None else None
    return node


def _assignments(body: list[ast.stmt]) -> Iterator[ast.Assign | ast.AnnAssign]:
    """Yield the assignments of a class or a module, those under an `if` or `try` too."""
    for statement in body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            yield statement
        elif isinstance(statement, ast.If):
            yield from _assignments([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handled = [each for handler in statement.handlers for each in handler.body]
            yield from _assignments([*statement.body, *handled, *statement.orelse, *statement.finalbody])


def _class_in(tree: ast.Module, cls: ClassDef) -> ast.ClassDef | None:
    """Return a class as Python parses it; None if the file has changed, or could not be read."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == cls.name)
    return next((node for node in found if node.lineno == cls.line), None)


def _tree(module: MypyFile) -> ast.Module:
    """Return a module as Python parses it: an empty one if it has no file, or is of a later version of Python."""
    try:
        return _module(Path(module.path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


# Each class of a module is looked for in the same text.
@lru_cache(maxsize=8)
def _module(source: bytes) -> ast.Module:
    return ast.parse(source)


def _parsed(quoted: str) -> ast.expr | None:
    try:
        return ast.parse(quoted.strip(), mode="eval").body
    except SyntaxError:
        return None
