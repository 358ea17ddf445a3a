"""Write the synchronous verbs, `ndb_models/sync/verbs/*.py`, from the asynchronous ones.

`python .ci/sync_verbs.py` writes the modules, and needs ruff to format them. A test compares what is committed with
`generated()`. Each asynchronous method that is public gets a synchronous one of the same name, arguments, types and
docstring, except for what `TYPES` and `TEXTS` say.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "ndb_models"

Verb: TypeAlias = ast.AsyncFunctionDef | ast.FunctionDef


class Source(NamedTuple):
    """A class with asynchronous verbs, and the base class of its synchronous verbs."""

    module: str
    name: str
    base: str


SOURCES: Final = (
    Source("client.requester", "Requester", "OfClient"),
    Source("client.keys", "KeyCommands", "OfClient"),
    Source("client.sessions", "SessionCommands", "OfClient"),
    Source("client.peer", "PeerCommands", "OfClient"),
    Source("repository.core_verbs", "CoreVerbs", "OfRepository[M]"),
    Source("repository.changing_verbs", "ChangingVerbs", "OfRepository[M]"),
    Source("repository.credential_verbs", "CredentialVerbs", "OfRepository[M]"),
    Source("repository.describing_verbs", "DescribingVerbs", "OfRepository[M]"),
    Source("repository.listing_verbs", "ListingVerbs", "OfRepository[M]"),
    Source("repository.lookup_verbs", "LookupVerbs", "OfRepository[M]"),
    Source("repository.repository", "Repository", "OfRepository[M]"),
    Source("config.configuration", "ConfigRepository", "OfConfiguration[C]"),
)

# They take a coroutine, or are declared once more in a class above.
LEFT_OUT: Final = {("Requester", "to_the_end"), ("Requester", "identified"), ("ConfigRepository", "watch")}

OVERLOADED: Final = {"kv_find"}

# The types of arguments and results that differ.
TYPES: Final = {
    "AbstractAsyncContextManager[M]": "AbstractContextManager[M]",
    "AbstractAsyncContextManager[C]": "AbstractContextManager[C]",
    "AsyncGenerator[M | SessionError]": "Generator[M | SessionError]",
    "Callable[[M], Awaitable[None] | None]": "Callable[[M], None]",
}

# The parts of docstrings that differ.
TEXTS: Final = (
    (re.compile(r"\bawait "), ""),
    (re.compile(r"\basync (with|for) "), r"\1 "),
    (re.compile(r"; it may be asynchronous\."), "."),
)

# What runs code of the caller's: arguments that are gone through in the caller's thread first, by their types, and
# functions that are called there.
TAKEN: Final = ("Iterable[SessionToken]", "Iterable[M]", "Spared")
FUNCTIONS: Final = {"progress": "told(progress)", "change": "lent(change)"}

HEAD: Final = '''\
"""The synchronous verbs of `{name}`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

'''

# Where the names are from that the modules need besides those of the asynchronous module.
IMPORTED: Final = {
    "AbstractContextManager": "contextlib",
    "Generator": "collections.abc",
    "OfClient": f"{PACKAGE}.sync.verb_bases",
    "OfConfiguration": f"{PACKAGE}.sync.verb_bases",
    "OfRepository": f"{PACKAGE}.sync.verb_bases",
    "SyncEditing": f"{PACKAGE}.sync.editing",
    "lent": f"{PACKAGE}.sync.calls",
    "stepping": f"{PACKAGE}.sync.stepping",
    "taken": f"{PACKAGE}.sync.calls",
    "told": f"{PACKAGE}.sync.calls",
}


def generated() -> dict[str, str]:
    """Return the text of each module by its path below the repository, as it is before it is formatted."""
    return {f"{PACKAGE}/sync/verbs/{module_name(source)}.py": module(source) for source in SOURCES}


def module_name(source: Source) -> str:
    """Return the name of the module with the synchronous verbs of a class."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", source.name).lower()


def module(source: Source) -> str:
    """Return the text of a module."""
    path = ROOT / PACKAGE / f"{source.module.replace('.', '/')}.py"
    tree = ast.parse(path.read_text("utf-8"))
    (declared,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == source.name)
    verbs = "\n".join(verb_text(verb) for verb in verbs_of(declared))
    name = f"Sync{source.name}{'Verbs' if source.name.endswith('Repository') else ''}"
    text = f'class {name}({source.base}):\n    """The verbs of `{source.name}`, synchronous."""\n\n{verbs}'
    return f"{HEAD.format(name=source.name)}{imports(text, tree, f'{PACKAGE}.{source.module}')}\n\n{text}"


def verbs_of(declared: ast.ClassDef) -> Iterator[Verb]:
    """Yield the verbs of a class, overloads too."""
    for node in declared.body:
        if not isinstance(node, (ast.AsyncFunctionDef, ast.FunctionDef)) or node.name.startswith("_"):
            continue
        if (declared.name, node.name) in LEFT_OUT:
            continue
        if isinstance(node, ast.AsyncFunctionDef) or ast.unparse(node.returns or node).startswith("AbstractAsync"):
            yield node


def verb_text(verb: Verb) -> str:
    """Return the text of a synchronous verb."""
    marks = "".join(f"    @{ast.unparse(mark)}\n" for mark in verb.decorator_list)
    arguments, returns = ast.unparse(verb.args), ast.unparse(verb.returns) if verb.returns else "None"
    for asynchronous, synchronous in TYPES.items():
        arguments, returns = (text.replace(asynchronous, synchronous) for text in (arguments, returns))
    head = f"{marks}    def {verb.name}({arguments}) -> {returns}:"
    if marks:
        return f"{head} ...\n"
    text = verb.body[0]
    if not (isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)):
        sys.exit(f"{verb.name} has no docstring")
    return f'{head}\n        """{docstring(text.value.value)}"""\n{body(verb, returns)}'


def docstring(text: str) -> str:
    """Return a docstring as it is for the synchronous verb."""
    for pattern, replacement in TEXTS:
        text = pattern.sub(replacement, text)
    return text


def body(verb: Verb, returns: str) -> str:
    """Return the statements of a verb, after its docstring."""
    taken = [each.arg for each in every(verb.args) if each.annotation and ast.unparse(each.annotation) in TAKEN]
    first = "".join(f"        {name} = taken({name})\n" for name in taken)
    call = f"self._asynchronous.{verb.name}({handed_over(verb.args)})"
    if returns.startswith("AbstractContextManager"):
        call = f"SyncEditing(self._portal, {call})"
    elif returns.startswith("Generator"):
        call = f"stepping(self._portal, lambda: {call})"
    elif verb.name in OVERLOADED:  # mypy infers a wider type for a lambda
        first += f"        async def call() -> {returns}:\n            return await {call}\n\n"
        call = "self._portal.call(call)"
    else:
        call = f"self._portal.call(lambda: {call})"
    return f"{first}        return {call}\n"


def every(arguments: ast.arguments) -> list[ast.arg]:
    """Return the arguments of a verb but `*` and `**`."""
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]


def handed_over(arguments: ast.arguments) -> str:
    """Return the arguments of a verb as they are handed over to the asynchronous one."""
    by_place = [each.arg for each in (*arguments.posonlyargs, *arguments.args) if each.arg != "self"]
    parts = [FUNCTIONS.get(name, name) for name in by_place]
    parts += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    parts += [f"{each.arg}={FUNCTIONS.get(each.arg, each.arg)}" for each in arguments.kwonlyargs]
    parts += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    return ", ".join(parts)


def imports(text: str, tree: ast.Module, module: str) -> str:
    """Return the imports for all names that a class uses."""
    known = dict.fromkeys(defined_in(tree), module) | imported_by(tree) | IMPORTED
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    lines: dict[str, list[str]] = {}
    for name in sorted(used & known.keys()):
        lines.setdefault(known[name], []).append(name)
    return "\n".join(f"from {origin} import {', '.join(names)}" for origin, names in sorted(lines.items()))


def defined_in(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module defines."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name


def imported_by(tree: ast.Module) -> dict[str, str]:
    """Return where the names are from that a module imports."""
    return {
        alias.asname or alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    }


def main() -> None:
    """Write the modules, formatted."""
    paths = []
    for name, text in generated().items():
        path = ROOT / name
        path.write_text(text, "utf-8")
        paths.append(path)
    for command in (("check", "--quiet", "--fix", "--select", "I,F401"), ("format", "--quiet")):
        subprocess.run([sys.executable, "-m", "ruff", *command, *paths], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
