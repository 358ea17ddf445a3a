"""What is under `deploy` fits the command line that it starts, and leaves the server no more than it needs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from ndb_models.server.cli import make_parser
from ndb_models.server.configuration import configure
from ndb_models.server.settings import SETTINGS

ROOT = Path(__file__).parent.parent
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
    assert given == {"persist_path", "token_file", "tls_cert", "tls_key", "log_format", "log_level"}
    assert not any("insecure" in argument for argument in arguments)


def test_the_unit_loads_every_credential_that_it_names(unit: dict[str, list[str]]) -> None:
    named = set(re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\S+)", unit["ExecStart"][0]))
    assert named == {credential.partition(":")[0] for credential in unit["LoadCredential"]}


def test_the_unit_waits_for_a_graceful_stop(unit: dict[str, list[str]]) -> None:
    assert int(unit["TimeoutStopSec"][0]) > configure({}, {}).server.stop_timeout


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
    assert str(configuration.server.port) in instructions("EXPOSE")
    assert configuration.server.host == "0.0.0.0"
    assert not configuration.server.insecure


def test_the_container_tells_whether_it_is_healthy() -> None:
    check = instructions("HEALTHCHECK")[0].partition("CMD ")[2]
    make_parser().parse_args(json.loads(check)[1:])


def test_the_container_copies_what_there_is() -> None:
    copied = [source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]]
    assert copied
    assert all((ROOT / source).exists() for source in copied)
