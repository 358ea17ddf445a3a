"""The errors of mypy with the plugin, and of basedpyright, in programs with mistakes and in the examples.

Each checker is run once on all programs. Another mypy than the installed one is tested by putting it on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import ndb_models

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = Path("tests") / "typing" / "programs"

# The packages that mypy has to know of. It would follow imports into all others that are installed.
PACKAGES = ("pydantic", "pydantic_core", "annotated_types", "typing_inspection")

CONFIGURATION = """
[mypy]
strict = True
plugins = {plugins}
mypy_path = {packages}
no_site_packages = True
disable_error_code = import-not-found, import-untyped
warn_unused_ignores = {unused}
[mypy-ndb_models.*,{quiet}]
follow_imports = silent
ignore_errors = True
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("mypy") is None or find_spec("basedpyright") is None, reason="no type checkers here"),
]


class Workplace:
    """A folder with the programs and the examples, in which checkers run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copytree(ROOT / PROGRAMS, path / PROGRAMS, ignore=shutil.ignore_patterns("__pycache__"))
        page = (ROOT / "docs" / "typing.md").read_text("utf-8")
        (path / PROGRAMS / "page.py").write_text(
            "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), "utf-8"
        )
        shutil.copytree(ROOT / "examples", path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
        for package in (PROGRAMS.parent, PROGRAMS.parent.parent):
            (path / package / "__init__.py").touch()
        (path / "packages").mkdir()
        for name in PACKAGES:
            found = find_spec(name)
            assert found is not None
            assert found.origin is not None
            (path / "packages" / name).symlink_to(Path(found.origin).parent)
        (path / "packages" / "ndb_models").symlink_to(Path(ndb_models.__file__).parent)
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}

    @property
    def files(self) -> list[str]:
        """The programs, the program of the page on types, and the examples."""
        found = [*(self.path / PROGRAMS).glob("*.py"), *(self.path / "examples").glob("*.py")]
        return sorted(str(path.relative_to(self.path)) for path in found)

    def configure(self, *plugins: str) -> str:
        """Return the file of a configuration of mypy with these plugins."""
        name = f"{'-'.join(plugins)}.ini"
        (self.path / name).write_text(
            CONFIGURATION.format(
                plugins=", ".join(plugins),
                packages=self.path / "packages",
                unused="ndb_models.mypy" in plugins,
                quiet=",".join(f"{package}.*" for package in PACKAGES),
            )
        )
        return name

    def edit(self, name: str, before: str, after: str) -> None:
        """Change a program."""
        path = self.path / PROGRAMS / name
        text = path.read_text("utf-8")
        assert before in text
        path.write_text(text.replace(before, after), "utf-8")

    def run(self, *command: str) -> str:
        """Return the output of a command. It may fail, as a checker does that finds errors."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout

    def mypy(self, *plugins: str) -> list[str]:
        """Return the errors that mypy finds with these plugins."""
        name = self.configure(*plugins)
        cache = f"cache-{name}"
        return found_by_mypy(self.run("-m", "mypy", "--config-file", name, "--cache-dir", cache, *self.files))


def found_by_mypy(output: str) -> list[str]:
    """Return the errors in the output of mypy, in order."""
    assert "INTERNAL ERROR" not in output
    return sorted(line for line in output.splitlines() if ": error: " in line)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("checked"))


def expected(workplace: Workplace, mark: str) -> Iterator[tuple[str, int, str]]:
    """Yield the expectations of the programs behind a mark, as the file, the number of the line, and the text."""
    for name in workplace.files:
        for number, line in enumerate((workplace.path / name).read_text("utf-8").splitlines(), 1):
            yield from ((name, number, text) for text in re.findall(rf"  # {mark}: (.*?)(?=  # |$)", line))


def agree(wanted: list[str], said: list[str]) -> bool:
    """Tell whether the messages of a line are those that are expected: a part of the text of each, and its code."""

    def agrees(text: str, message: str) -> bool:
        part, _, code = text.rpartition("[")
        return part.strip() in message and message.endswith(f"[{code}")

    return len(wanted) == len(said) and all(any(agrees(text, message) for message in said) for text in wanted)


def differences(workplace: Workplace, errors: list[str], of: str = "") -> str:
    """Return the differences between mypy's errors and the expected ones, of codes that begin with `of`."""
    said: dict[tuple[str, int], list[str]] = {}
    for line in errors:
        path, number, _, message = line.split(":", 3)
        # mypy does not see the packages of examples here. `make mypy` checks these as a whole.
        if f"[{'ndb-' if path.startswith('examples') else of}" in message:
            said.setdefault((path, int(number)), []).append(message.strip())
    wanted = {
        (path, number): [part for part in text.split(" // ") if f"[{of}" in part]
        for path, number, text in expected(workplace, "E")
    }
    return "\n".join(
        f"{at[0]}:{at[1]}: expected {wanted.get(at)}, not {said.get(at)}"
        for at in sorted(said.keys() | wanted.keys())
        if not agree(wanted.get(at, []), said.get(at, []))
    )


def test_mypy_says_of_each_line_what_the_programs_expect(workplace: Workplace) -> None:
    assert differences(workplace, workplace.mypy("ndb_models.mypy")) == ""


def test_basedpyright_says_of_each_line_what_the_programs_expect(workplace: Workplace) -> None:
    rules = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": "error", "pythonVersion": "3.11"}
    more = {"enableTypeIgnoreComments": False, "reportUnusedClass": False, "reportUnusedFunction": False}
    include = [str(PROGRAMS), "examples"]
    settings = {**rules, **more, "include": include, "extraPaths": [str(ROOT)]}
    (workplace.path / "pyrightconfig.json").write_text(json.dumps(settings))
    written = workplace.run("-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable)
    said = Counter(
        (str(Path(each["file"]).relative_to(workplace.path)), each["range"]["start"]["line"] + 1, each["rule"])
        for each in json.loads(written)["generalDiagnostics"]
    )
    assert said == Counter(
        (path, number, f"report{rule}") for path, number, rules in expected(workplace, "P") for rule in rules.split()
    )


CHANGES = (
    ("    age: int = 0", '    age: str = ""'),
    ("    email: Annotated[str | None, Lookup(unique=True)]", '    email: Annotated[str | None, "not looked up"]'),
    ('class Open(SessionModel, extra="allow")', "class Open(SessionModel)"),
)
AFTER_THEM = (
    'Field "age" of "Login" is "str", not "int"',
    'Field "email" of "Login" is not looked up',
    '"Open" has no field "anything"; it has "name"',
)


def change(workplace: Workplace) -> None:
    """Change models, a mark and a configuration among them, which mypy keeps no types of."""
    for before, after in CHANGES:
        workplace.edit("models.py", before, after)


def restore(workplace: Workplace) -> None:
    """Undo the changes."""
    for before, after in CHANGES:
        workplace.edit("models.py", after, before)


def test_calls_are_checked_again_when_a_model_changes_though_mypys_cache_has_them(workplace: Workplace) -> None:
    before = workplace.mypy("ndb_models.mypy")
    assert workplace.mypy("ndb_models.mypy") == before
    change(workplace)
    after = "\n".join(workplace.mypy("ndb_models.mypy"))
    restore(workplace)
    assert [message for message in AFTER_THEM if message not in after] == []
    assert workplace.mypy("ndb_models.mypy") == before


def test_calls_are_checked_again_by_the_daemon_when_a_model_changes(workplace: Workplace) -> None:
    """Pydantic's plugin is there too, and comes last. Where this project is checked, it comes first."""
    configuration = workplace.configure("ndb_models.mypy", "pydantic.mypy")
    daemon = ("-m", "mypy.dmypy", "--status-file", "daemon.json")

    def check() -> list[str]:
        return found_by_mypy(workplace.run(*daemon, "check", "--", *workplace.files))

    workplace.run(*daemon, "start", "--", "--config-file", configuration, "--cache-dir", "cache-daemon")
    try:
        assert differences(workplace, check(), of="ndb-") == ""
        change(workplace)
        after = "\n".join(check())
        restore(workplace)
        assert differences(workplace, check(), of="ndb-") == ""
    finally:
        workplace.run(*daemon, "kill")
    assert [message for message in AFTER_THEM if message not in after] == []


def test_without_mypy_the_plugin_says_how_to_install_it() -> None:
    program = "import sys; sys.modules['mypy'] = None; import ndb_models; import ndb_models.mypy"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == "ImportError: ndb_models.mypy needs mypy: pip install 'ndb_models[mypy]'"
