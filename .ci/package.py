"""Build the distributions, look at them as an index does, and run tests of the one against the other.

`python .ci/package.py`, with `build`, `twine` and `cyclonedx-python-lib`: the source distribution holds every file of
the repository, the wheel the whole package, and the page of an index has no link that is broken there. Built again in
another folder, with another umask and time zone, both are the same byte for byte. The tests of the source distribution
pass, in an empty folder and an environment of its own, with the package that the wheel installs.

What has passed is put into dist/, with a bill of materials (CycloneDX) and SHA256SUMS. The time that the distributions
hold is that of the last commit, or SOURCE_DATE_EPOCH if that is set.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from install import UV, install

ROOT = Path(__file__).resolve().parent.parent
NOT_SHIPPED = {".gitignore"}
NOT_COPIED = (".git", ".venv*", ".*_cache", ".coverage", ".hypothesis", "__pycache__", "*.egg-info", "build", "dist")
PLUGIN = "ndb_models_pytest.py"
# What looks at files around the package, and what starts it. That it is whole is compared, file by file.
TESTS = ("tests/cli", "tests/documentation", "tests/test_*.py")


def main() -> None:
    """Do it all; end with an error at what fails first."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        os.environ["SOURCE_DATE_EPOCH"] = epoch()
        source, wheel = build(here / "once")
        require_same(here, source, wheel)
        run(sys.executable, "-m", "twine", "check", "--strict", source, wheel)
        require_all_files(source)
        require_whole_package(wheel)
        require_no_broken_links(wheel)
        unpacked = unpack(source, here)
        python = here / "venv" / "bin" / "python"
        run(sys.executable, "-m", "venv", "--without-pip", here / "venv")
        install(python, f"{wheel}[test]")
        tests = [path for pattern in TESTS for path in sorted(unpacked.glob(pattern))]
        bill = bill_of_materials(python, source, wheel)
        options = ("-q", "-n", "2", "-m", "not slow", "--memory-only", "-p", "no:cacheprovider")
        run(python, "-W", "error", "-m", "pytest", *options, *tests, cwd=unpacked)
        keep(source, wheel, bill)


def epoch() -> str:
    """Return the time that the distributions are to hold, in seconds since 1970."""
    command = ["git", "log", "-1", "--format=%ct"]
    committed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    # The earliest time that a zip holds, where nothing tells.
    return os.environ.get("SOURCE_DATE_EPOCH") or committed or "315619200"


def require_same(here: Path, source: Path, wheel: Path) -> None:
    """Build again, in other surroundings, and compare."""
    umask, zone = os.umask(0o077), os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Kathmandu"
    try:
        again = build(here / "again, and elsewhere", here / "once" / "copy")
    finally:
        os.umask(umask)
        os.environ.pop("TZ")
        os.environ.update({"TZ": zone} if zone else {})
    for first, second in zip((source, wheel), again, strict=True):
        if not filecmp.cmp(first, second, shallow=False):
            sys.exit(f"{first.name} is not the same when it is built again")


def bill_of_materials(python: Path, source: Path, wheel: Path) -> Path:
    """Write the bill of materials of a release: the package, and an environment that has only it."""
    clean = python.parents[2] / "only"
    run(sys.executable, "-m", "venv", "--without-pip", clean)
    install(clean / "bin" / "python", str(wheel))
    (site,) = clean.glob("lib/python*/site-packages")
    command = (sys.executable, ROOT / ".ci" / "sbom.py", "--site", site, "--file", source, "--file", wheel)
    bill = wheel.with_name(f"{wheel.name.partition('-py3')[0]}.cdx.json")
    with bill.open("wb") as file:
        subprocess.run([*command], stdout=file, check=True)
    return bill


def keep(*files: Path) -> None:
    """Put what has passed into dist/, with its hashes."""
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    for path in files:
        shutil.copy(path, target)
    (target / "SHA256SUMS").write_text(sums, "utf-8")


def build(here: Path, tree: Path = ROOT) -> tuple[Path, Path]:
    """Return the source distribution of a tree, and the wheel that was built from it."""
    # Of a copy: it writes metadata beside the package, which the tests that run meanwhile would find.
    copy = shutil.copytree(tree, here / "copy", ignore=shutil.ignore_patterns(*NOT_COPIED))
    installer = "uv" if UV.exists() else "pip"
    run(sys.executable, "-m", "build", "--installer", installer, "--outdir", here / "dist", copy)
    (source,), (wheel,) = (list((here / "dist").glob(pattern)) for pattern in ("*.tar.gz", "*.whl"))
    return source, wheel


def require_all_files(source: Path) -> None:
    """Compare the source distribution with what is committed, where this is a repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    with tarfile.open(source) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    missing = set(listed.stdout.split()) - shipped - NOT_SHIPPED
    if missing:
        sys.exit(f"the source distribution lacks {', '.join(sorted(missing))}")


def require_whole_package(wheel: Path) -> None:
    """Compare the files of the package in the wheel with those of the repository, to the byte."""
    package = ROOT / "ndb_models"
    paths = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    paths.append(ROOT / PLUGIN)
    ours = {str(path.relative_to(ROOT)): path.read_bytes() for path in paths}
    ours["ndb_models/errors.md"] = (ROOT / "docs" / "errors.md").read_bytes()  # setup.py puts it there
    with zipfile.ZipFile(wheel) as archive:
        theirs = {name: archive.read(name) for name in archive.namelist() if name.startswith(("ndb_models/", PLUGIN))}
    if ours != theirs:
        different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        sys.exit(f"the wheel has another package: {', '.join(different)}")


def require_no_broken_links(wheel: Path) -> None:
    """Look for links in the page of the index that work in a repository alone."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        page = archive.read(name).decode()
    relative = re.findall(r"\]\((?!https?://|#)([^)]*)\)", page)
    if relative or "# ndb_models" not in page:
        sys.exit(f"the page of an index would have broken links, or none of the README: {relative}")


def unpack(source: Path, here: Path) -> Path:
    """Return the folder of the source distribution, without the package: the installed one is to be tested."""
    with tarfile.open(source) as archive:
        archive.extractall(here, filter="data")
    (unpacked,) = here.glob("ndb_models-*")
    shutil.rmtree(unpacked / "ndb_models")
    (unpacked / PLUGIN).unlink()
    return unpacked


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a command; end with its status if it fails."""
    arguments: Sequence[str | Path] = command
    status = subprocess.run(arguments, cwd=cwd, check=False).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
