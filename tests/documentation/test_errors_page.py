"""Each error has its section on the page of errors, which says why it happens, what to do, and whether to try again."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import ndb_models
from ndb_models import errors
from ndb_models.error_root import documented_class
from ndb_models.errors import NdbError

# They look at every module, and the plugin for mypy is one.
pytest.importorskip("mypy")

ROOT = Path(__file__).parents[2]
SECTIONS = dict(
    re.findall(
        r"^### (\w+)\n(.*?)(?=^##|\Z)", (ROOT / "docs" / "errors.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
)


def tree(root: type[NdbError]) -> set[type[NdbError]]:
    """Return a class with all below it."""
    return {root}.union(*(tree(below) for below in root.__subclasses__()))


def public_errors() -> dict[str, type[NdbError]]:
    """Return the errors of all modules of the package, by name."""
    for module in pkgutil.walk_packages(ndb_models.__path__, "ndb_models."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    ours = {kind for kind in tree(NdbError) if kind.__module__.startswith("ndb_models.")}
    return {kind.__name__: kind for kind in ours if not kind.__name__.startswith("_")}


def test_each_error_has_a_section_and_each_section_an_error() -> None:
    assert SECTIONS.keys() == public_errors().keys()


def test_each_error_is_explained_by_the_command_that_its_traceback_names() -> None:
    for name, kind in public_errors().items():
        assert kind.__notes__ == [f"Explained by: ndb-models explain {name}"]


def test_an_error_of_the_inside_is_described_as_the_one_it_is() -> None:
    inner = type("_InnerError", (errors.SessionGoneError,), {"__module__": "ndb_models.inside"})
    assert documented_class(inner) is errors.SessionGoneError


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_says_what_happened_why_what_to_do_and_whether_to_try_again(name: str) -> None:
    happened, *points = SECTIONS[name].strip().split("\n- ")
    assert happened.strip()
    assert [point.partition(":**")[0] for point in points] == ["**Why", "**Do", "**Try again"]
    assert all(point.partition(":** ")[2].strip() for point in points)
