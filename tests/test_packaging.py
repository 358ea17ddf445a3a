"""What is said of the distributions: the extras, the bill of materials, and what an index shows."""

from __future__ import annotations

import importlib.util
import json
import re
import site
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import ndb_models

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
INSTALLING = (ROOT / "docs" / "installing.md").read_text("utf-8")
EPOCH = "1764000000"


def names(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements ask for."""
    return {found[0] for text in requirements if (found := re.match(r"[\w-]+", text))}


def rows() -> dict[str, list[str]]:
    """Return the cells of the tables of extras, by the extra of each."""
    lines = [line.strip("|").split("|") for line in INSTALLING.splitlines() if line.startswith("| `")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells] for cells in lines}


def test_every_extra_stands_in_a_table_with_what_it_brings() -> None:
    extras: dict[str, list[str]] = PROJECT["optional-dependencies"]
    assert rows().keys() == extras.keys()
    for extra, (_, brings, *rest) in rows().items():
        if rest:
            named = set(re.findall(r"`([\w-]+)`", brings.partition(" with its extra")[0]))
            assert named == names(extras[extra]), extra


def test_what_the_package_brings_by_itself_is_named() -> None:
    (sentence,) = re.findall(r"Without any extra the package brings (.*)\.$", INSTALLING, re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", sentence)) == names(PROJECT["dependencies"])


def test_types_are_announced_and_there() -> None:
    assert "Typing :: Typed" in PROJECT["classifiers"]
    assert Path(ndb_models.__file__).with_name("py.typed").exists()


def bill(*arguments: str, status: int = 0) -> str:
    command = [sys.executable, str(ROOT / ".ci" / "sbom.py"), *arguments]
    environment = {"SOURCE_DATE_EPOCH": EPOCH, "PATH": ""}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.fixture
def environment() -> str:
    """The site-packages of this environment, for what can make a bill of materials."""
    if importlib.util.find_spec("cyclonedx") is None:
        pytest.skip("cyclonedx-python-lib is not installed: it is of the extra dev")
    return site.getsitepackages()[0]


STATUS = """\
Package: python3.11
Status: install ok installed
Architecture: amd64
Version: 3.11.2-6

Package: gcc
Status: deinstall ok config-files
Architecture: amd64
Version: 12
"""


@pytest.mark.slow
def test_a_bill_of_materials_names_dependencies_system_and_files_the_same_each_time(
    environment: str, tmp_path: Path
) -> None:
    (tmp_path / "status").write_text(STATUS)
    (tmp_path / "release.whl").write_bytes(b"a wheel")
    arguments = ("--site", environment, "--debian", str(tmp_path / "status"), "--file", str(tmp_path / "release.whl"))
    first = bill(*arguments)
    assert first == bill(*arguments)
    told = json.loads(first)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert told["metadata"]["timestamp"] == "2025-11-24T16:00:00+00:00"
    root = told["metadata"]["component"]
    assert (root["name"], root["version"]) == ("ndb_models", ndb_models.__version__)
    assert [file["name"] for file in root["components"]] == ["release.whl"]
    purls = {component["purl"] for component in told["components"]}
    assert "pkg:deb/debian/python3.11@3.11.2-6?arch=amd64" in purls
    assert not any("gcc" in purl for purl in purls)
    needed = next(each["dependsOn"] for each in told["dependencies"] if each["ref"] == root["bom-ref"])
    assert names(PROJECT["dependencies"]) <= {re.split("[=]", ref)[0] for ref in needed}


@pytest.mark.slow
def test_an_environment_without_the_package_has_no_bill(environment: str, tmp_path: Path) -> None:
    assert bill("--site", str(tmp_path), status=1) == ""
