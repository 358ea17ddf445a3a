"""What the doctor finds about files that are no stores, folders that others write, and servers that tell little."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.doctor import configuration_rules, server_rules
from ndb_models.doctor.diagnosis import diagnose_uri
from ndb_models.doctor.findings import Severity
from tests.doctor.test_rules import CONFIGURATION, SERVER


async def test_a_file_of_a_newer_version_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with NdbClient.connect(f"sqlite:///{path}") as client:
        await client.kv_set({"a": 1})
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99999")
    connection.close()
    diagnosis = await diagnose_uri(f"sqlite:///{path}")
    assert "newer version" in next(each.what for each in diagnosis.findings if each.rule == "reachable")


@pytest.mark.skipif(sys.platform == "win32", reason="modes do not show access")
@pytest.mark.parametrize(("mode", "who"), [(0o777, "every user"), (0o770, "its group"), (0o1777, None)])
async def test_a_folder_that_others_write_is_a_warning_unless_it_is_sticky(
    tmp_path: Path, mode: int, who: str | None
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    async with NdbClient.connect(f"sqlite:///{folder}/s.db") as client:
        await client.kv_set({"a": 1})
    folder.chmod(mode)
    diagnosis = await diagnose_uri(f"sqlite:///{folder}/s.db")
    said = [each.what for each in diagnosis.findings if each.rule == "modes" and each.severity is Severity.WARNING]
    assert [who in each for each in said if who] == ([True] if who else [])
    assert bool(said) is (who is not None)


def test_a_version_that_is_no_text_is_not_repeated() -> None:
    facts = replace(SERVER, version="ndb_models/1.\x1b[31m")
    found = [finding for rule in server_rules.RULES for finding in rule(facts) if finding.rule == "version"]
    assert not any("\x1b" in finding.what for finding in found)


def test_a_status_page_with_tokens_that_only_shows_is_no_finding() -> None:
    facts = replace(CONFIGURATION, has_dashboard=True, writes_dashboard=False)
    assert not any(finding.rule == "dashboard" for rule in configuration_rules.RULES for finding in rule(facts))
    facts = replace(facts, writes_dashboard=True)
    assert any(finding.rule == "dashboard" for rule in configuration_rules.RULES for finding in rule(facts))
