"""Run the fast part of the tests on every CPython of 3.11 to 3.14 that this machine has, and tell which it has not.

`python .ci/versions.py`. Interpreters are looked for on PATH and among pyenv's. Each version has an environment of its
own, `.venv-3.x`, which is kept until pyproject.toml changes. The environments are set up while the version that runs
this is tested. After the fast part, the asynchronous part runs on uvloop. Two other versions are tested at a time,
since many tests wait; what they write is shown when they are done. With `NDB_FAST_ON=OTHERS`, the version that runs
this is tested on uvloop alone, since it runs the whole suite anyway, and the others without.
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
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from install import install

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
FAST = ("-m", "not slow", "--memory-only", "tests")
ON_UVLOOP = ("tests/client", "tests/conformance", "tests/server", "tests/transport", "tests/protocol")
ASYNCHRONOUS = ("-m", "not slow or loop", "--loop=uvloop", *ON_UVLOOP)
THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"


def main() -> int:
    """Test every version; return 1 if one failed."""
    others_alone = os.environ.get("NDB_FAST_ON") == "OTHERS"
    with ThreadPoolExecutor(1) as making, ThreadPoolExecutor(2) as testing:
        environments = {version: making.submit(environment, version) for version in sorted(VERSIONS, key=THIS.__ne__)}
        failed = tested(THIS, environments.pop(THIS), others_alone)
        work = [testing.submit(tested, version, made, others_alone) for version, made in environments.items()]
        failed += [each for done in work for each in done.result()]
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def tested(version: str, made: Future[Path | None], others_alone: bool) -> list[str]:
    """Wait for a version's environment, and run the tests that are due on it; return what failed."""
    try:
        python = made.result()
    except subprocess.CalledProcessError:
        return [f"{version} (no environment)"]
    if python is None:
        say(f"CPython {version}: skipped, neither on PATH nor among pyenv's versions")
        return []
    return list(test(version, python, others_alone))


def test(version: str, python: Path, others_alone: bool) -> Iterator[str]:
    """Run the tests that are due on a version; yield what failed."""
    if others_alone and version == THIS:
        say(f"CPython {version}: the fast part is skipped, this version runs all tests")
    elif not passes(version, "the fast part", python, *FAST):
        yield version
    if others_alone and version != THIS:
        return
    if not passes(version, "the asynchronous part on uvloop", python, *ASYNCHRONOUS):
        yield f"{version} on uvloop"


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


def passes(version: str, what: str, python: Path, *arguments: str) -> bool:
    """Run tests in two processes; tell whether they passed, and how long they took."""
    say(f"CPython {version}: {what}")
    begun = time.monotonic()
    command = (python, "-W", "error", "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *arguments)
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    verdict = "passed" if done.returncode == 0 else "FAILED"
    say(f"{done.stdout}CPython {version}: {what} {verdict} in {time.monotonic() - begun:.0f} s")
    return done.returncode == 0


def say(line: str) -> None:
    """Write a line at once, before what a test writes."""
    print(line, flush=True)  # noqa: T201 - what this program is for


if __name__ == "__main__":
    sys.exit(main())
