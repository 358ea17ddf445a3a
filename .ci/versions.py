"""Run the fast part of the tests on every CPython of 3.11 to 3.14 that this machine has, and tell which it has not.

`python .ci/versions.py`. Interpreters are looked for on PATH and among pyenv's. Each version has an environment of its
own, `.venv-3.x`, which is kept until pyproject.toml changes; `python .ci/versions.py environments` makes them and does
no more. On the version that runs this, the asynchronous part runs on uvloop too. Two runs go on at a time, each in one
process; what a run writes is shown when it is done. With `NDB_FAST_ON=OTHERS`, the version that runs this is tested on
uvloop alone, since it runs the whole suite anyway.

Every fast test runs on every version. The parameters of a test that has many of them are shared out among the other
versions: each runs on the version that runs this, and on one more. Tests of `schema` run with all parameters
everywhere, since what a model is depends on the version of Python.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from install import install

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
FAST = ("-m", "not slow", "--memory-only", "tests")
ON_UVLOOP = (
    "tests/client",
    "tests/conformance",
    "tests/server",
    "tests/transport",
    "tests/protocol",
    "tests/redis_driver",
)
# What is sent is the same to every loop: a third of the parameters tells whether a test passes on this one.
ASYNCHRONOUS = ("-m", "not slow or loop", "--loop=uvloop", "--share=1/3", *ON_UVLOOP)
THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Run(NamedTuple):
    """One run of tests on one version."""

    version: str
    python: Path
    what: str
    arguments: tuple[str, ...]


def main() -> int:
    """Test every version; return 1 if one failed."""
    pythons = environments()
    if sys.argv[1:] == ["environments"]:
        return 0 if len(pythons) == len(VERSIONS) else 1
    others = sorted(version for version, python in pythons.items() if python and version != THIS)
    runs = [run for version, python in pythons.items() if python for run in due(version, python, others)]
    with ThreadPoolExecutor(2) as pool:
        passed = list(pool.map(passes, runs))
    failed = [run.version for run, fine in zip(runs, passed, strict=True) if not fine]
    failed += [f"{version} (no environment)" for version in VERSIONS if version not in pythons]
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def due(version: str, python: Path, others: list[str]) -> Iterator[Run]:
    """Yield the runs that are due on a version. `others` are all versions but the one that runs this."""
    if version != THIS:
        share = f"--share={others.index(version) + 1}/{len(others)}"
        yield Run(version, python, "its share of the fast part", (share, *FAST))
        return
    yield Run(version, python, "the asynchronous part on uvloop", ASYNCHRONOUS)
    if os.environ.get("NDB_FAST_ON") != "OTHERS":
        yield Run(version, python, "the fast part", FAST)


def environments() -> dict[str, Path | None]:
    """Return the Python of each version, None where this machine has none, and no item where it cannot be set up."""
    pythons: dict[str, Path | None] = {}
    for version in sorted(VERSIONS, key=THIS.__ne__):
        try:
            pythons[version] = environment(version)
        except subprocess.CalledProcessError:
            say(f"CPython {version}: its environment cannot be set up")
            continue
        if pythons[version] is None:
            say(f"CPython {version}: skipped, neither on PATH nor among pyenv's versions")
    return pythons


def find(version: str) -> Path | None:
    """Return an interpreter of this version that starts and is CPython; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    of_pyenv = sorted(pyenv.glob(f"{version}.*/bin/python"), key=_numbers, reverse=True)
    on_path = shutil.which(f"python{version}")
    this = [Path(sys.executable)] if version == THIS else []
    return next(filter(_is_cpython(version), [*this, *of_pyenv, *([Path(on_path)] if on_path else [])]), None)


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.parts[-3])]


def _is_cpython(version: str) -> Callable[[Path], bool]:
    program = "import sys, venv, ensurepip; print(sys.implementation.name, *sys.version_info[:2])"

    def is_it(path: Path) -> bool:
        try:
            done = subprocess.run([path, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.SubprocessError):
            return False
        return done.stdout.split() == ["cpython", *version.split(".")]

    return is_it


def environment(version: str) -> Path | None:
    """Return the Python of this version's environment, made anew where it is missing or old; None without the version.

    Raises:
        subprocess.CalledProcessError: it cannot be set up.
    """
    interpreter = find(version)
    if interpreter is None:
        return None
    home = ROOT / f".venv-{version}"
    python, ready = home / "bin" / "python", home / ".ready"
    if ready.exists() and ready.stat().st_mtime >= (ROOT / "pyproject.toml").stat().st_mtime:
        return python
    say(f"CPython {version}: setting up {home.name} (once) ...")
    subprocess.run([interpreter, "-m", "venv", "--clear", "--without-pip", home], check=True)
    if version == THIS:
        # What the environment that runs this has, and uvloop, which that one does without.
        install(python, "--no-deps", "--editable", str(ROOT), "uvloop")
        (packages,) = home.glob("lib/*/site-packages")
        (packages / "this.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    else:
        install(python, "--editable", f"{ROOT}[test,speed]")
    ready.touch()
    return python


def passes(run: Run) -> bool:
    """Run tests in one process; tell whether they passed, and how long they took."""
    say(f"CPython {run.version}: {run.what}")
    begun = time.monotonic()
    options = ("-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=300")  # a test that hangs tells where
    command = (str(run.python), "-W", "error", "-m", "pytest", *options, *run.arguments)
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    verdict = "passed" if done.returncode == 0 else "FAILED"
    say(f"{done.stdout}CPython {run.version}: {run.what} {verdict} in {time.monotonic() - begun:.0f} s")
    return done.returncode == 0


def say(line: str) -> None:
    """Write a line at once, before what a test writes."""
    print(line, flush=True)  # noqa: T201 - what this program is for


if __name__ == "__main__":
    sys.exit(main())
