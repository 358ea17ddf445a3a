"""Which part of the package may import which; that the public is documented; that modules and functions stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final, TypeAlias

import ndb_models
from ndb_models.errors import NdbError

ROOT: Final = Path(ndb_models.__file__).parent
PACKAGE: Final = ROOT.name

# What each folder may import of the others. Modules beside the folders may be imported by all, and import no folder.
ARROWS: Final = {
    "protocol": "",
    "stores": "",
    "schema": "",
    "schema_check": "protocol schema client sessions",
    "engine": "protocol stores",
    "client": "protocol engine stores",
    "sessions": "protocol schema client",
    "index": "protocol schema client sessions",
    "repository": "schema client sessions index",
    "config": "protocol schema client sessions",
    "integrations": "schema client config",
    "sync": "protocol schema client sessions index repository config",
    "moving": "protocol stores engine client",
    "conformance": "protocol client",
    "doctor": "protocol stores client server web",
    "bench": "client schema repository",
    "dashboard": "protocol schema client index repository",
    "server": "protocol stores engine dashboard",
    "testing": "protocol schema client engine stores server",
    "web": "schema client repository config",
    "cli": "bench client sessions repository index config conformance doctor schema schema_check moving server web"
    " stores",
    "mypy": "",
}
# The modules of a part that may import another, where not all of it may.
ALONE: Final = {
    ("client", "engine"): {"client.elsewhere", "client.embedded", "client.in_process"},
    ("client", "stores"): {"client.elsewhere", "client.embedded", "client.in_process"},
    ("dashboard", "client"): {"dashboard.application", "dashboard.client_source"},
    ("dashboard", "index"): {"dashboard.searching"},
    ("dashboard", "repository"): {"dashboard.application"},
    # Without the application, which has a client: the server has its engine.
    ("server", "dashboard"): {"server.engine_source", "server.status_page"},
    ("dashboard", "dashboard.application"): {"dashboard"},
    ("stores.sqlite", "stores.memory"): set[str](),
    ("stores.redis", "stores.memory"): set[str](),
    ("stores.redis", "stores.sqlite"): set[str](),
    ("stores.memory", "stores.sqlite"): set[str](),
    ("stores.contract", "stores"): set[str](),
}
IO: Final = {"asyncio", "pathlib", "select", "selectors", "socket", "ssl", "threading", "websockets"}

# Folders and modules that keep to the real time, as they wait for a peer or a disk.
REAL_TIME: Final = frozenset({"server", "cli", "stores.sqlite.extensions", "stores.sqlite.identity"})

MAX_MODULE_LINES: Final = 350
MAX_BODY_LINES: Final = 50

CONTRACTS: Final = frozenset(
    {"AwaitedVerbs", "Forkable", "SessionSource", "Source", "Store", "Target", "Topology", "Transport", "Verbs"}
)

FUNCTION: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
Documented: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """Return a module's name below the package: `client.uri`, `client` for its `__init__`, and "" for the package's."""
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


MODULES: Final = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
TOP: Final = {"", "__main__"}


@cache
def trees() -> dict[str, ast.Module]:
    """Return each module as Python parses it."""
    return {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def is_within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def folder_of(name: str) -> str:
    """Return the folder of a module, "" for those beside the folders."""
    return name.partition(".")[0] if (ROOT / name.partition(".")[0]).is_dir() else ""


def imports_of(name: str) -> Iterator[str]:
    """Yield the full name of everything that a module imports, wherever in it that stands."""
    package = (PACKAGE, *MODULES[name].relative_to(ROOT).parts[:-1])
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def own_imports_of(name: str) -> Iterator[str]:
    """Yield the modules of this package that a module imports, by their names below the package."""
    for imported in imports_of(name):
        if is_within(imported, PACKAGE):
            below = imported[len(PACKAGE) + 1 :]
            yield below if below in MODULES else below.rpartition(".")[0]


@cache
def own_imports() -> list[tuple[str, str]]:
    """Return each import of a module of this package by another, as (the importing module, the imported module)."""
    return [(name, other) for name in MODULES for other in own_imports_of(name)]


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


def test_a_folder_imports_only_what_stands_below_it() -> None:
    assert {*map(folder_of, MODULES)} == {"", *ARROWS}
    between = {(folder_of(name), folder_of(other)) for name, other in own_imports() if name not in TOP}
    allowed = {(folder, other) for folder, others in ARROWS.items() for other in (folder, "", *others.split())}
    assert between - allowed - {("", "")} == set()


def test_what_one_module_may_import_its_neighbours_may_not() -> None:
    for (part, other), alone in ALONE.items():
        importing = {name for name, imported in own_imports() if is_within(name, part) and is_within(imported, other)}
        assert importing - {part} <= alone, (part, other)
    stores = {other for name, other in own_imports() if folder_of(name) == "engine" and folder_of(other) == "stores"}
    assert stores == {"stores.contract"}


def test_the_protocol_does_no_io_and_websockets_stay_in_client_and_server() -> None:
    imported = [(name, other.partition(".")[0]) for name in MODULES for other in imports_of(name)]
    assert not [(name, other) for name, other in imported if is_within(name, "wire") and other in IO]
    assert {folder_of(name) for name, other in imported if other == "websockets"} == {"client", "server", "conformance"}


def test_a_default_clock_is_one_that_a_test_may_move() -> None:
    clocks = {"time.time", "time.monotonic", "time.sleep", "asyncio.sleep"}
    with_real_time = {
        name
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.arguments)
        for default in (*node.defaults, *node.kw_defaults)
        if default is not None and ast.unparse(default) in clocks
    }
    assert {name for name in with_real_time if folder_of(name) not in REAL_TIME} <= REAL_TIME


def test_all_that_is_public_has_a_docstring() -> None:
    assert not [name for name, tree in trees().items() if not ast.get_docstring(tree)]
    public = [(f"{module}.{name}", node) for module, tree in trees().items() for name, node in documented(tree)]
    assert not [name for name, node in public if not ast.get_docstring(node)]


def test_every_exception_stands_below_one_root() -> None:
    exceptions = [
        getattr(import_module(f"{PACKAGE}.{name}"), node.name)
        for name, tree in trees().items()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Exception"))
    ]
    assert not [each for each in exceptions if not issubclass(each, NdbError)]


def test_modules_and_functions_are_small() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert not {name: count for name, count in lines.items() if count > MAX_MODULE_LINES}
    functions = [
        (name, node) for name, tree in trees().items() for node in ast.walk(tree) if isinstance(node, FUNCTION)
    ]
    assert not [
        f"{name}: {node.name}"
        for name, node in functions
        if (node.end_lineno or 0) - node.body[0].lineno + 1 > MAX_BODY_LINES
    ]


def test_the_package_exports_what_it_names() -> None:
    assert all(hasattr(ndb_models, name) for name in ndb_models.__all__)
    assert sorted(ndb_models.__all__) == list(ndb_models.__all__)
