"""The synchronous side has every verb of the asynchronous one, with the same types and docstring."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import ndb_models
from ndb_models import ConfigRepository, ConfigWatch, NdbClient, Repository
from ndb_models.sync import SyncClient, SyncConfigRepository, SyncConfigWatch, SyncRepository

ROOT: Final = Path(__file__).parent.parent.parent


class Pair(NamedTuple):
    """A class, and its synchronous one."""

    asynchronous: type[Any]
    synchronous: type[Any]


PAIRS: Final = (
    Pair(NdbClient, SyncClient),
    Pair(Repository, SyncRepository),
    Pair(ConfigRepository, SyncConfigRepository),
    Pair(ConfigWatch, SyncConfigWatch),
)

# For layers that are written with an event loop: they start work on it, or return what is still going on.
OF_THE_LOOP: Final = {
    "begin", "connection_number", "end_soon", "ending_orphans", "in_background", "leave_running", "may_know",
    "note_unknown", "request", "to_the_end",
}  # fmt: skip

RENAMED: Final = {"aclose": "close", "__anext__": "__next__"}

# How the parts of a signature read on the synchronous side.
SIGNATURES: Final = (
    ("AbstractAsyncContextManager", "AbstractContextManager"),
    ("AsyncGenerator", "Generator"),
    (r"Awaitable\[None\] \| None", "None"),
    (r"Callable\[\[(.*?)\], R\]", r"Callable[[\1], None]"),
    (r"Awaitable\[(\w+)\]", r"\1"),
    (r"'Sleep'", "'Callable[[float], object]'"),
    (r"<function sleep at \w+>", "<function block>"),
    (r"\bConfigWatch\b", "SyncConfigWatch"),
    (r"\bNdbClient\b", "SyncClient"),
    ("Connecting", "Self"),
)

# How the parts of a docstring read there.
DOCSTRINGS: Final = (
    (r"\bawait ", ""),
    (r"\basync (with|for) ", r"\1 "),
    (r"; it may be asynchronous\.", "."),
    ("async def", "def"),
    (r"\bNdbClient\b", "SyncClient"),
    (r"\. When awaited or entered: the URI", ", or the URI"),
    (r"when awaited or entered: no", "no"),
)


def translated(text: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


def verbs() -> Iterator[tuple[Pair, str]]:
    for pair in PAIRS:
        stepped = {"__anext__"} & vars(pair.asynchronous).keys()
        for name in sorted({name for name in dir(pair.asynchronous) if not name.startswith("_")} | stepped):
            if name not in OF_THE_LOOP:
                yield pair, name


EVERY: Final = [pair_and_name for pair_and_name in verbs() if pair_and_name[1] not in ("USAGE", "INSTEAD")]
every_verb = pytest.mark.parametrize(
    ("pair", "name"), EVERY, ids=[f"{pair.asynchronous.__name__}.{name}" for pair, name in EVERY]
)


def both(pair: Pair, name: str) -> tuple[Any, Any]:
    """Return a verb of both classes, without what makes it a property or a class method."""
    asynchronous = inspect.getattr_static(pair.asynchronous, name)
    synchronous = inspect.getattr_static(pair.synchronous, RENAMED.get(name, name))
    return _function(asynchronous), _function(synchronous)


def _function(attribute: Any) -> Any:
    return getattr(attribute, "__func__", getattr(attribute, "fget", attribute))


def test_there_are_as_many_verbs_as_one_expects() -> None:
    assert len(EVERY) > 80


@every_verb
def test_every_verb_is_there_and_is_not_asynchronous(pair: Pair, name: str) -> None:
    _, synchronous = both(pair, name)
    assert callable(synchronous)
    assert not inspect.iscoroutinefunction(synchronous)
    assert not inspect.isasyncgenfunction(synchronous)


@every_verb
def test_every_verb_has_the_same_arguments_and_types(pair: Pair, name: str) -> None:
    asynchronous, synchronous = map(inspect.signature, both(pair, name))
    assert re.sub(r"(<function block) at \w+>", r"\1>", str(synchronous)) == translated(str(asynchronous), SIGNATURES)


@every_verb
def test_every_verb_has_the_same_docstring(pair: Pair, name: str) -> None:
    asynchronous, synchronous = both(pair, name)
    if not name.startswith("__"):
        words = translated(" ".join(asynchronous.__doc__.split()), DOCSTRINGS)
        assert " ".join(synchronous.__doc__.split()) == words


@pytest.mark.parametrize("pair", PAIRS[:3], ids=lambda pair: pair.synchronous.__name__)
def test_the_constructors_have_the_same_arguments_and_types(pair: Pair) -> None:
    asynchronous, synchronous = (inspect.signature(each.__init__) for each in pair)
    assert str(synchronous) == translated(str(asynchronous), SIGNATURES)


def test_attributes_of_a_client_are_there_too() -> None:
    attributes = {name for name in vars(NdbClient("memory://")) if not name.startswith("_")}
    assert attributes
    assert all(hasattr(SyncClient("memory://"), name) for name in attributes)


def test_what_the_script_writes_is_what_is_committed() -> None:
    script = ROOT / ".ci" / "sync_verbs.py"
    if not script.exists() or not (ROOT / "ndb_models").exists():
        pytest.skip("the script, or the package beside it, is not here")
    package = Path(ndb_models.__file__).parent.parent
    for path, text in runpy.run_path(str(script))["generated"]().items():
        assert shape((package / path).read_text("utf-8")) == shape(text), f"run .ci/sync_verbs.py: {path}"


def shape(text: str) -> list[str]:
    """Return the statements of a module, without their format, and the imports in any order."""
    tree = ast.parse(text)
    imports = {
        f"{node.module}.{alias.name}" for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return [*sorted(imports), *(ast.dump(node) for node in tree.body if not isinstance(node, ast.ImportFrom))]
