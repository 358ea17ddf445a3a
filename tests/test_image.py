"""The container image, looked through: what is in it, what is not, and that it runs. `make image` builds and tests it.

NDB_IMAGE names the image, an OCI archive as deploy/build_image.py writes it. Without it the tests are skipped: building
took five minutes on two busy cores, and needs root, sources of packages, mmdebstrap and buildah. The tests need root,
umoci and runc, and took 40 seconds there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

import ndb_models
from ndb_models import NdbClient
from tests.free_ports import free_port

ROOT = Path(__file__).parent.parent
TLS = ROOT / "tests" / "transport" / "tls"
IMAGE = os.environ.get("NDB_IMAGE")
MISSING = [tool for tool in ("umoci", "runc") if shutil.which(tool) is None]
USER = 10001

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(IMAGE is None, reason="NDB_IMAGE names no image: `make image` builds one"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root unpacks a root file system"),
]

# Programs that turn text into programs. Perl is an essential package of Debian.
COMPILERS = re.compile(r"^(cc|c\+\+|gcc|g\+\+|clang|tcc|as|ld|make|cargo|rustc|go|pip3?|apt|apt-get)(-[\d.]+)?$")
SECRETS = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|^//[^\n]*_authToken|^machine \S+ login", re.MULTILINE)
# Where any user may write: each keeps to the own files there.
STICKY = {"tmp", "var/tmp", "run/lock"}


def run(*command: str | Path, timeout: float = 900) -> str:
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image, unpacked: `rootfs`, and `config.json` as a runtime takes it."""
    folder = tmp_path_factory.mktemp("image")
    layout = folder / "layout"
    layout.mkdir()
    run("tar", "--extract", "--file", str(IMAGE), "--directory", layout)
    run("umoci", "unpack", "--image", f"{layout}:ndb-models", folder / "bundle")
    return folder / "bundle"


@pytest.fixture(scope="module")
def rootfs(bundle: Path) -> Path:
    return bundle / "rootfs"


@pytest.fixture(scope="module")
def configuration(bundle: Path) -> Any:
    return json.loads((bundle / "config.json").read_text("utf-8"))


def entries(rootfs: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each file and folder of the image, as its path in there and what it is."""
    for folder, folders, files in os.walk(rootfs):
        for name in (*folders, *files):
            path = Path(folder) / name
            yield path.relative_to(rootfs).as_posix(), path.lstat()


def test_no_file_gives_the_rights_of_another(rootfs: Path) -> None:
    privileged = [path for path, found in entries(rootfs) if stat.S_ISREG(found.st_mode) and found.st_mode & 0o6000]
    assert privileged == []
    attributes = [
        path
        for path, _ in entries(rootfs)
        if "security.capability" in os.listxattr(rootfs / path, follow_symlinks=False)
    ]
    assert attributes == []


def test_no_one_may_write_where_others_read(rootfs: Path) -> None:
    for path, found in entries(rootfs):
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)) or not found.st_mode & 0o002:
            continue
        assert path in STICKY, path
        assert found.st_mode & stat.S_ISVTX, path


def test_the_user_owns_nothing_but_its_data(rootfs: Path) -> None:
    assert [path for path, found in entries(rootfs) if found.st_uid == USER] == ["data"]
    assert stat.S_IMODE((rootfs / "data").lstat().st_mode) == 0o700
    assert [line for line in (rootfs / "etc/passwd").read_text().splitlines() if f":{USER}:" in line] == [
        f"ndb:x:{USER}:{USER}::/nonexistent:/usr/sbin/nologin"
    ]


def test_no_one_logs_in(rootfs: Path) -> None:
    shadow = rootfs / "etc/shadow"
    assert not shadow.exists() or all(line.split(":")[1] in ("*", "!", "!*") for line in shadow.read_text().split())


def test_there_is_nothing_to_build_or_install_with(rootfs: Path) -> None:
    programs = [path for path, _ in entries(rootfs) if re.search(r"(^|/)s?bin/[^/]+$", path)]
    assert "opt/ndb-models/bin/ndb-models" in programs
    assert [path for path in programs if COMPILERS.match(path.rpartition("/")[2])] == []
    assert not [*rootfs.glob("opt/ndb-models/lib/python3*/site-packages/pip*")]


def test_there_are_no_secrets(rootfs: Path) -> None:
    for path, found in entries(rootfs):
        assert not re.search(r"(^|/)(\.env|\.netrc|\.pypirc|id_rsa|id_ed25519|\.git|\.npmrc)$", path), path
        if stat.S_ISREG(found.st_mode) and found.st_size < 2**20 and not path.startswith("usr/share/doc/"):
            assert not SECRETS.search((rootfs / path).read_bytes()), path


def test_the_bill_of_materials_is_that_of_the_image(rootfs: Path) -> None:
    bill = json.loads((rootfs / "opt/ndb-models/sbom.cdx.json").read_text("utf-8"))
    assert bill["metadata"]["component"]["version"] == ndb_models.__version__
    named = {component["purl"] for component in bill["components"]}
    (site,) = rootfs.glob("opt/ndb-models/lib/python3*/site-packages")
    installed = {path.name.split("-")[0].replace("_", "-").lower() for path in site.glob("*.dist-info")}
    assert {purl.split("/")[1].split("@")[0] for purl in named if purl.startswith("pkg:pypi/")} | {
        "ndb-models"
    } == installed
    status = (rootfs / "var/lib/dpkg/status").read_text("utf-8")
    packages = set(re.findall(r"^Package: (\S+)$", status, re.MULTILINE))
    assert {purl.split("/")[2].split("@")[0] for purl in named if purl.startswith("pkg:deb/")} == packages


def debian_packages(rootfs: Path) -> dict[str, str]:
    """Return the version of each package of Debian that is installed in the image."""
    status = (rootfs / "var/lib/dpkg/status").read_text("utf-8")
    installed = [entry for entry in status.split("\n\n") if "\nStatus: install ok installed" in entry]
    named = re.compile(r"^Package: (\S+)\n(?:.*\n)*?Version: (\S+)$", re.MULTILINE)
    return {found[1]: found[2] for found in map(named.search, installed) if found is not None}


def test_no_security_update_of_debian_is_missing(rootfs: Path) -> None:
    """An image ages: run this again after `apt-get update`, on a machine of the image's suite.

    Weaknesses that Debian has not fixed yet are not found: its security tracker knows them.
    """
    here, there = (platform_of(root) for root in (Path("/"), rootfs))
    if here != there or shutil.which("apt-cache") is None:
        pytest.skip(f"this machine is {here}, and has no lists of {there}")
    packages = debian_packages(rootfs)
    told = run("apt-cache", "policy", *packages, timeout=120)
    offered = dict(re.findall(r"^(\S+):\n(?:  .*\n)*?  Candidate: (?!\(none\))(\S+)$", told, re.MULTILINE))
    assert offered.keys() == packages.keys()
    outdated = {
        name: (version, offered[name])
        for name, version in packages.items()
        if subprocess.run(["dpkg", "--compare-versions", version, "lt", offered[name]], check=False).returncode == 0
    }
    assert outdated == {}


def platform_of(root: Path) -> str:
    (name,) = re.findall(r"^VERSION_CODENAME=(\S+)$", (root / "etc/os-release").read_text("utf-8"), re.MULTILINE)
    return str(name)


# The first version without the weakness, of what the image may have. By hand, for want of a database that can be had
# without a network: a scanner with one knows more.
FIXED = {
    "pydantic": ("2.4.0", "CVE-2024-3772"),
    "websockets": ("9.1", "CVE-2021-33880"),
    "hiredis": ("2.1.0", "CVE-2021-32765"),
}


def test_no_package_of_python_is_of_a_version_with_a_known_weakness(rootfs: Path) -> None:
    (site,) = rootfs.glob("opt/ndb-models/lib/python3*/site-packages")
    installed = {found.metadata["Name"].lower(): found.version for found in distributions(path=[str(site)])}
    assert {"pydantic", "websockets"} <= installed.keys()
    for name, (fixed, weakness) in FIXED.items():
        if name in installed:
            assert Version(installed[name]) >= Version(fixed), weakness


def test_it_is_configured_to_run_without_rights(configuration: Any) -> None:
    process = configuration["process"]
    assert (process["user"]["uid"], process["user"]["gid"]) == (USER, USER)
    assert process["args"] == ["/opt/ndb-models/bin/ndb-models", "serve"]
    assert not [variable for variable in process["env"] if re.search("TOKEN|SECRET|PASSWORD|PIP", variable)]


def restricted(configuration: Any, bundle: Path, data: Path, port: int, token: str) -> Any:
    """Return the configuration of a container as the Dockerfile recommends it: read-only, without any capability."""
    process = configuration["process"]
    names = {"NDB_HOST": "127.0.0.1", "NDB_PORT": str(port), "NDB_TOKEN": token}
    names |= {"NDB_TLS_CERT": "/run/tls/certificate.pem", "NDB_TLS_KEY": "/run/tls/key.pem"}
    inherited = [variable for variable in process["env"] if variable.partition("=")[0] not in names]
    nothing: dict[str, list[str]] = {kind: [] for kind in ("bounding", "effective", "permitted")}
    mounts = [mount for mount in configuration["mounts"] if mount["destination"] in ("/proc", "/dev")]
    mounts += [
        {"destination": "/data", "type": "bind", "source": str(data), "options": ["bind", "rw"]},
        {"destination": "/run/tls", "type": "bind", "source": str(TLS), "options": ["bind", "ro"]},
    ]
    return {
        **configuration,
        "root": {"path": str(bundle / "rootfs"), "readonly": True},
        "process": {
            **process,
            "terminal": False,
            "env": [*inherited, *(f"{name}={value}" for name, value in names.items())],
            "noNewPrivileges": True,
            "capabilities": nothing,
        },
        "mounts": mounts,
        # The network is the machine's, so that the test reaches the port.
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
    }


@contextlib.asynccontextmanager
async def container(configuration: Any, folder: Path, name: str) -> AsyncIterator[tuple[str | Path, ...]]:
    """Run a container until the block ends, and require a clean stop. Gives what a command in it begins with."""
    (folder / name).mkdir()
    (folder / name / "config.json").write_text(json.dumps(configuration))
    runc = ("runc", f"--root={folder / 'state'}")
    process = await asyncio.create_subprocess_exec(
        *runc, "run", f"--bundle={folder / name}", name, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(60):
            ready = await process.stdout.readline()
        assert b"is ready on" in ready, (await process.stderr.read()).decode()
        yield (*runc, "exec", name)
    finally:
        with contextlib.suppress(AssertionError):
            run(*runc, "kill", name, "TERM")
        async with asyncio.timeout(60):
            await process.communicate()
    assert process.returncode == 0


async def test_it_serves_without_rights_on_a_root_that_is_read_only_and_keeps_its_sessions(
    bundle: Path, configuration: Any, tmp_path: Path
) -> None:
    data, port, token = tmp_path / "data", free_port(), secrets.token_urlsafe(32)
    data.mkdir(mode=0o700)
    os.chown(data, USER, USER)
    trusting = ssl.create_default_context(cafile=TLS / "certificate.pem")
    settings = restricted(configuration, bundle, data, port, token)
    tkn = 0
    for generation in ("first", "second"):
        async with (
            container(settings, tmp_path, generation) as within,
            NdbClient.connect(f"wss://127.0.0.1:{port}/", token=token, ssl=trusting) as client,
        ):
            if not tkn:
                tkn = (await client.sh_create_session(durationSeconds=600)).tkn
                await client.sh_set({"a": 1}, tkn)
            assert await client.sh_get(("a",), tkn) == {"a": 1}
            # The health check of the image; it says nothing where all is well.
            assert await asyncio.to_thread(run, *within, "/opt/ndb-models/bin/ndb-models", "health") == ""
            status = await asyncio.to_thread(run, *within, "/bin/cat", "/proc/self/status")
            assert re.search(rf"^Uid:\t{USER}\t{USER}\t{USER}\t{USER}$", status, re.MULTILINE)
            assert set(re.findall(r"^Cap\w+:\t(\d+)$", status, re.MULTILINE)) == {"0" * 16}
            for place in ("/x", "/etc/x", "/opt/ndb-models/x"):
                with pytest.raises(AssertionError, match="Read-only file system"):
                    await asyncio.to_thread(run, *within, "/bin/sh", "-c", f"echo > {place}")
