"""What is under `deploy` fits the command line that it starts, and leaves the server no more than it needs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import ssl
import stat
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.cli.main import make_parser
from ndb_models.server.configuration import configure
from ndb_models.server.settings import SETTINGS
from tests.free_ports import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
TLS = ROOT / "tests" / "transport" / "tls"
TOKEN = secrets.token_urlsafe(32)
GUARD = 60
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
UNIT = ROOT / "deploy" / "ndb-models.service"


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """Every setting of the unit with its values, in their order."""
    settings: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def instructions(kind: str) -> list[str]:
    """Return what stands behind each instruction of a kind in the Dockerfile, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return [line.partition(" ")[2] for line in joined.splitlines() if line.startswith(f"{kind} ")]


def test_the_unit_starts_what_the_command_line_takes(unit: dict[str, list[str]]) -> None:
    program, *arguments = shlex.split(unit["ExecStart"][0])
    assert Path(program).name == "ndb-models"
    options = vars(make_parser().parse_args(arguments))
    given = {setting.name for setting in SETTINGS if options[setting.name] is not None}
    assert given == {"store", "persist_path", "token_file", "tls_cert", "tls_key", "log_format", "log_level"}
    assert not any("insecure" in argument for argument in arguments)


def test_the_unit_loads_every_credential_that_it_names(unit: dict[str, list[str]]) -> None:
    named = set(re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\S+)", unit["ExecStart"][0]))
    assert named == {credential.partition(":")[0] for credential in unit["LoadCredential"]}


def test_the_unit_waits_for_a_graceful_stop(unit: dict[str, list[str]]) -> None:
    assert int(unit["TimeoutStopSec"][0]) > configure({}, {}).stop_timeout


def test_the_unit_is_hardened(unit: dict[str, list[str]]) -> None:
    hardened = {"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": ""}
    assert {name: unit[name][0] for name in hardened} == hardened
    assert unit["StateDirectory"] == ["ndb-models"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit() -> None:
    done = subprocess.run(["systemd-analyze", "verify", UNIT], check=False, capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert not complaints


def test_the_container_runs_the_command_as_a_user_without_rights() -> None:
    assert [user for user in instructions("USER") if user not in ("root", "0")] == ["10001"]
    command = json.loads(instructions("ENTRYPOINT")[0])[1:] + json.loads(instructions("CMD")[0])
    make_parser().parse_args(command)
    assert DOCKERFILE.index("USER ") < DOCKERFILE.index("ENTRYPOINT ")


def test_the_container_s_environment_is_of_known_variables(tmp_path: Path) -> None:
    environment = dict(pair.split("=", 1) for pair in instructions("ENV")[0].split())
    variables = {setting.variable for setting in SETTINGS}
    assert {name for name in environment if name.startswith("NDB_")} <= variables
    configuration = configure({}, {**environment, "NDB_PERSIST_PATH": str(tmp_path)})
    assert str(configuration.port) in instructions("EXPOSE")
    assert configuration.host == "0.0.0.0"
    assert not configuration.insecure


def test_the_container_tells_whether_it_is_healthy() -> None:
    check = instructions("HEALTHCHECK")[0].partition("CMD ")[2]
    make_parser().parse_args(json.loads(check)[1:])


@pytest.mark.skipif(not (ROOT / "ndb_models").exists(), reason="the package is installed, and not beside its tests")
def test_the_container_copies_what_there_is() -> None:
    copied = [source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]]
    assert all((ROOT / source).exists() for source in copied)
    # All that building the package reads: setup.py makes the page of an index from README.md.
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "ndb_models"} <= {*copied}


@contextlib.asynccontextmanager
async def serving(arguments: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[None]:
    """Run the server from its start until it has stopped as systemd and Docker stop it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NDB_", "PYTHONASYNCIO"))}
    environment = {**inherited, "PYTHONPATH": str(ROOT), **environment}
    command = (sys.executable, "-m", "ndb_models", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, umask=0o077
    )
    try:
        async with asyncio.timeout(GUARD):
            assert process.stdout is not None
            assert b"is ready on" in await process.stdout.readline()
        yield
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


def private(directory: Path) -> bool:
    """Tell whether nobody else can read a file of a directory."""
    return all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in directory.iterdir())


async def require_sessions_to_survive(
    arguments: Sequence[str], environment: Mapping[str, str], port: int, directory: Path
) -> None:
    """Log somebody in, replace the server as an upgrade does, and require that they are still logged in."""
    trusting = ssl.create_default_context(cafile=TLS / "certificate.pem")
    tkn = 0
    for generation in range(3):
        async with (
            serving(arguments, environment),
            NdbClient.connect(f"wss://127.0.0.1:{port}/", token=TOKEN, ssl=trusting) as client,
        ):
            if not tkn:
                tkn = (await client.sh_create_session(durationSeconds=3600)).tkn
            else:
                assert await client.sh_get(("generation",), tkn) == {"generation": generation - 1}
            await client.sh_set({"generation": generation}, tkn)
            assert private(directory)
    assert [path.name for path in directory.iterdir()] == ["sessions.db"]


@pytest.mark.slow
async def test_the_unit_s_sessions_survive_an_upgrade(unit: dict[str, list[str]], tmp_path: Path) -> None:
    state, credentials, port = tmp_path / "state", tmp_path / "credentials", free_port()
    for directory in (state, credentials):
        directory.mkdir(mode=0o700)
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(TLS / name, credentials)
    (credentials / "tokens").write_text(f"data:{TOKEN}\n")
    (tmp_path / "server.jsonc").write_text(f'{{"version": 5, "ip": "127.0.0.1", "port": {port}}}')
    line = unit["ExecStart"][0].replace("/etc/ndb-models", str(tmp_path))
    line = line.replace("${STATE_DIRECTORY}", str(state)).replace("${CREDENTIALS_DIRECTORY}", str(credentials))
    await require_sessions_to_survive(shlex.split(line)[1:], {}, port, state)


@pytest.mark.slow
async def test_the_container_s_sessions_survive_an_upgrade_and_it_is_healthy_meanwhile(tmp_path: Path) -> None:
    (volume,) = instructions("VOLUME")
    state, port = tmp_path / "volume", free_port()
    state.mkdir(mode=0o700)
    environment = dict(pair.split("=", 1) for pair in instructions("ENV")[0].split())
    environment = {name: value.replace(volume, str(state)) for name, value in environment.items()}
    environment |= {
        "NDB_HOST": "127.0.0.1",
        "NDB_PORT": str(port),
        "NDB_TOKEN": TOKEN,
        "NDB_TLS_CERT": str(TLS / "certificate.pem"),
        "NDB_TLS_KEY": str(TLS / "key.pem"),
    }
    await require_sessions_to_survive(json.loads(instructions("CMD")[0]), environment, port, state)
    check = json.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])[1:]
    command = [sys.executable, "-m", "ndb_models", *check]
    health_environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    assert await asyncio.to_thread(subprocess.call, command, env=health_environment, stderr=subprocess.DEVNULL) == 1
    async with serving(json.loads(instructions("CMD")[0]), environment):
        assert await asyncio.to_thread(subprocess.call, command, env=health_environment) == 0


def test_the_container_s_folder_is_its_user_s_alone() -> None:
    (volume,) = instructions("VOLUME")
    made = re.search(rf"install --directory --owner=(\S+) --group=\S+ --mode=(\d+) {volume}", DOCKERFILE)
    assert made
    assert made.groups() == ("ndb", "0700")
