"""The reference has every public name, and each says in its docstring what goes in and what comes out."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

# They look at every module, and the plugin for mypy is one.
pytest.importorskip("mypy")

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = {page: page.read_text("utf-8") for page in sorted(REFERENCE.glob("*.md"))}
INDEX = PAGES[REFERENCE / "index.md"]
MODULES = sorted(
    set(re.findall(r"`(ndb_models(?:\.\w+)*)`", "".join(re.findall(r"^\| (`.*?) \|", INDEX, re.MULTILINE))))
)
# A member of the page: made from a docstring, or written by hand where there is none of ours.
DOCUMENTED = re.compile(r"^(?:::: |## .*\{#)([\w.]+)", re.MULTILINE)
SHOWN = {name: page for page, text in PAGES.items() for name in DOCUMENTED.findall(text)}
RETURNS = re.compile(
    r"\b(see `|otherwise as|returns?|yields?|iterat|tells?|true|false|none|async with|with repo|with config|answer)",
    re.IGNORECASE,
)


def public_names(module: str) -> list[str]:
    """Return the names that a public module exports."""
    loaded = import_module(module)
    exported: list[str] | None = getattr(loaded, "__all__", None)
    if exported is not None:
        return exported
    tree = ast.parse(inspect.getsource(loaded))
    here = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    imported = [alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    return [name for name in (*here, *filter(None, imported)) if not name.startswith("_")]


def resolved(name: str) -> object:
    """Return the object of a dotted name, or the module."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last) if module else import_module(name)


@pytest.mark.parametrize("module", MODULES)
def test_each_public_name_is_in_the_reference(module: str) -> None:
    shown = [resolved(name) for name in SHOWN]
    for name in public_names(module):
        there = f"{module}.{name}" in SHOWN or any(each is resolved(f"{module}.{name}") for each in shown)
        assert there, f"{module}.{name} is on no page of docs/reference"


def test_each_module_that_the_documentation_imports_from_is_public() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.py")]
    imported = {
        each for page in pages for each in re.findall(r"^from (ndb_models[\w.]*) import", page.read_text("utf-8"), re.M)
    }
    assert imported <= {*MODULES, *(name.rpartition(".")[0] for name in SHOWN)}


class Public(NamedTuple):
    """Something that has a docstring: its name, its object, its own docstring, and the texts around it."""

    name: str
    member: object
    docstring: str
    around: str


@cache
def everything() -> list[Public]:
    """Return all classes and functions of the reference, and the members of the classes."""
    return [public for name, page in SHOWN.items() for public in publics(name, PAGES[page])]


def publics(name: str, page: str) -> Iterator[Public]:
    """Yield an object of the reference, and its members if it is a class of ours."""
    item = resolved(name)
    if not (inspect.isclass(item) or inspect.isfunction(item)) or not item.__module__.startswith("ndb_models"):
        return
    own = inspect.getdoc(item) or ""
    yield Public(name, item, own, page)
    if inspect.isclass(item):
        for member in dir(item):
            found = inspect.getattr_static(item, member)
            function = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
            if not member.startswith("_") and (getattr(function, "__module__", None) or "").startswith("ndb_models."):
                yield Public(
                    f"{name}.{member}",
                    found if isinstance(found, property) else function,
                    inspect.getdoc(function) or "",
                    own + page,
                )


def parameters(public: Public) -> list[str]:
    """Return the names of the parameters of a class or a function. A class that only has values is made by no one."""
    item = public.member
    if isinstance(item, type):
        if issubclass(item, Exception | type | dict | Enum) or "Made by" in public.docstring:
            return []
    elif not inspect.isfunction(item):
        return []
    signature = inspect.signature(item)
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        each.name
        for each in signature.parameters.values()
        if each.kind not in variable and each.name not in ("self", "cls")
    ]


def test_everything_public_has_a_docstring() -> None:
    assert [public.name for public in everything() if not public.docstring] == []


def documented_assignments() -> set[str]:
    """Return the names of the package that are assigned a value, with a docstring below."""
    sources = [ast.parse(path.read_text("utf-8")).body for path in (ROOT / "ndb_models").rglob("*.py")]
    assigned = [(target_of(node), below) for body in sources for node, below in pairwise(body)]
    return {target.id for target, below in assigned if isinstance(target, ast.Name) and is_text(below)}


def target_of(node: ast.stmt) -> ast.expr | None:
    """Return the first thing that a statement assigns to."""
    if isinstance(node, ast.AnnAssign):
        return node.target
    return node.targets[0] if isinstance(node, ast.Assign) else None


def is_text(node: ast.stmt) -> bool:
    """Tell whether a statement is a text alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_each_name_that_is_no_class_and_no_function_has_a_docstring_below_it() -> None:
    values = {name for name in SHOWN if not (inspect.isclass(resolved(name)) or inspect.isroutine(resolved(name)))}
    by_hand = {"ndb_models.JsonValue", "ndb_models_pytest"}
    assert {name.rpartition(".")[2] for name in values - by_hand} <= documented_assignments()


def test_each_parameter_is_explained() -> None:
    missing = [
        f"{public.name}({parameter})"
        for public in everything()
        for parameter in parameters(public)
        if not re.search(rf"\b{parameter}\b", public.docstring + public.around)
    ]
    assert missing == []


def test_each_result_is_explained() -> None:
    for public in everything():
        if inspect.isfunction(public.member):
            result = public.member.__annotations__.get("return")
            said = RETURNS.search(public.docstring) or (result == "bool" and "returns True" in public.around)
            assert said or result in ("None", "Never"), public.name
