"""The house stands as it was drawn: who may import whom, that the public is documented, and that rooms stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pytest

import ndb_models

ROOT: Final = Path(ndb_models.__file__).parent
PACKAGE: Final = ROOT.name

# What each part may import of this package, as paths: a name allows all below it. A row for a module comes before the
# row of the part that it is in.
ALLOWED: Final[dict[str, frozenset[str]]] = {
    part: frozenset(allowed.split())
    for part, allowed in {
        "types": "",
        "texts": "",
        "version": "",
        "raising": "",
        "error_root": "",
        "session_errors": "error_root types",
        "errors": "error_root session_errors types",
        "forks": "",
        "private_files": "",
        "tokens": "errors types",
        "turns": "",
        "redaction": "",
        "garbage": "",
        "uncopyable": "errors",
        "usage": "errors",
        "wire": "wire errors raising texts types",
        "stores.contract": "texts types",
        "stores.expiry": "stores.contract",
        "stores.sqlite": (
            "stores.sqlite stores.contract stores.expiry errors private_files texts types uncopyable usage"
        ),
        "stores.opening": "stores errors types",
        "stores.shared": "stores.contract stores.memory stores.memory_verbs stores.occupancy types",
        "stores.occupancy": "stores.contract stores.kept_keys texts",
        "stores.freeing": "turns",
        "stores.moment": "stores.contract stores.expiry stores.kept_keys turns types",
        "stores.session_table": (
            "stores.contract stores.expiry stores.freeing stores.kept_keys stores.moment stores.occupancy turns types"
        ),
        "stores.memory_verbs": (
            "stores.contract stores.freeing stores.kept_keys stores.occupancy stores.session_table texts types"
        ),
        "stores.memory": (
            "stores.contract stores.expiry stores.freeing stores.memory_verbs stores.moment stores.occupancy"
            " stores.session_table turns types uncopyable"
        ),
        "stores": "stores.contract texts turns types uncopyable usage",
        "schema": "schema errors raising texts types wire",
        "client.embedded": "client errors forks raising texts types uncopyable usage wire engine stores",
        "client.in_process": "client errors forks raising texts types uncopyable usage wire engine stores",
        "client": "client errors forks raising texts types uncopyable usage wire",
        "engine": "engine errors garbage private_files texts turns types uncopyable usage version wire stores.contract",
        "copying": "copying client engine errors private_files texts types wire stores",
        "cli": "cli server copying schema errors redaction types version",
        "server.configuration": "server errors private_files raising",
        "server.setting_fields": "redaction",
        "server.settings": "server errors wire stores.occupancy stores.opening engine.context engine.paths",
        "server.config_file": "server errors raising redaction texts wire",
        "server.tokens": "server errors raising",
        "server.running": "server engine errors types version stores",
        "server": "server engine errors types uncopyable usage wire version stores.contract",
        "repository": "repository schema client errors raising texts types uncopyable usage wire",
        "integrations": "integrations repository schema client errors",
        "__main__": "cli.main",
        "": "client errors repository schema tokens types uncopyable version",
    }.items()
}

# What a part may not import from outside, with all below it. "" is every part that is not listed.
FORBIDDEN: Final[dict[str, frozenset[str]]] = {
    "wire": frozenset({"asyncio", "pathlib", "select", "selectors", "socket", "ssl", "threading", "websockets"}),
    "client": frozenset(),
    "server": frozenset(),
    "": frozenset({"websockets"}),
}

MAX_MODULE_LINES: Final = 400
MAX_BODY_LINES: Final = 50

CONTRACTS: Final = frozenset({"AwaitedVerbs", "Forkable", "Source", "Store", "Target", "Transport", "Verbs"})

FUNCTION: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
Documented: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

FILES: Final = sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    """Return a module's name below the package: `client.uri`, `client` for its `__init__`, and "" for the package's."""
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


MODULES: Final = {part_of(path): path for path in FILES}


def is_within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a module imports, wherever in it that stands."""
    package = (PACKAGE, *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> Iterator[str]:
    """Yield the modules of this package that a module imports, by their names below the package."""
    for name in imports(path):
        if is_within(name, PACKAGE):
            below = name[len(PACKAGE) + 1 :]
            yield below if below in MODULES else below.rpartition(".")[0]


def row_for(part: str, table: dict[str, frozenset[str]]) -> frozenset[str]:
    return next(row for name, row in table.items() if name == "" or is_within(part, name))


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """An overload is documented where it is carried out."""
    return any(ast.unparse(mark) == "overload" for mark in node.decorator_list)


def keeps_a_promise(node: ast.ClassDef) -> bool:
    """The methods of a contract are documented once, in the contract."""
    return any(ast.unparse(base) in CONTRACTS for base in node.bases)


def documented(tree: ast.Module) -> Iterator[tuple[str, Documented]]:
    """Yield the public classes and functions of a module, methods too, that need a docstring of their own."""

    def below(body: list[ast.stmt], prefix: str, promised: bool) -> Iterator[tuple[str, Documented]]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield prefix + node.name, node
                yield from below(node.body, f"{prefix}{node.name}.", keeps_a_promise(node))
            elif isinstance(node, FUNCTION) and not (node.name.startswith("_") or promised or is_overload(node)):
                yield prefix + node.name, node

    return below(tree.body, "", False)


@pytest.mark.parametrize("part", MODULES, ids=lambda part: part or PACKAGE)
def test_a_module_imports_only_what_its_part_may(part: str) -> None:
    allowed = row_for(part, ALLOWED)
    wrong = {name for name in own_imports(MODULES[part]) if not any(is_within(name, other) for other in allowed)}
    assert not wrong, f"{part or PACKAGE} must not import {sorted(wrong)}"


@pytest.mark.parametrize("part", MODULES, ids=lambda part: part or PACKAGE)
def test_a_module_leaves_to_others_what_is_theirs(part: str) -> None:
    forbidden = row_for(part, FORBIDDEN)
    wrong = {name for name in imports(MODULES[part]) if any(is_within(name, other) for other in forbidden)}
    assert not wrong, f"{part or PACKAGE} must not import {sorted(wrong)}"


def test_every_part_of_the_house_has_its_arrows() -> None:
    parts = {part.partition(".")[0] for part in MODULES if part}
    assert parts <= ALLOWED.keys()


def test_the_names_in_the_tables_are_those_of_the_house() -> None:
    named = {*ALLOWED, *FORBIDDEN, *(name for row in ALLOWED.values() for name in row)}
    assert named <= MODULES.keys()


@pytest.mark.parametrize("part", MODULES, ids=lambda part: part or PACKAGE)
def test_all_that_is_public_has_a_docstring(part: str) -> None:
    tree = ast.parse(MODULES[part].read_text())
    assert ast.get_docstring(tree)
    bare = [name for name, node in documented(tree) if not ast.get_docstring(node)]
    assert not bare


@pytest.mark.parametrize("part", MODULES, ids=lambda part: part or PACKAGE)
def test_a_module_and_its_functions_are_small(part: str) -> None:
    text = MODULES[part].read_text()
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, FUNCTION) and (node.end_lineno or 0) - node.body[0].lineno + 1 > MAX_BODY_LINES
    ]
    assert not long


def test_what_the_package_exports_is_what_it_names() -> None:
    assert all(hasattr(ndb_models, name) for name in ndb_models.__all__)
    assert sorted(ndb_models.__all__) == list(ndb_models.__all__)
