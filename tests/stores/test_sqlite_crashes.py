"""What was acknowledged survives the death of the process, and at FULL the loss of power; and nothing is ever torn.

20 deaths, or as many as `NDB_CRASHES` says.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.disk import build

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

CRASHES = int(os.environ.get("NDB_CRASHES", "20"))
SECONDS_FOR_EACH = 5


async def crash(directory: Path, crashes: int, environment: dict[str, str]) -> int:
    """Let processes die; return how much they had acknowledged altogether."""
    command = [sys.executable, "-m", "tests.stores.crashes", str(directory), str(crashes)]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30 + SECONDS_FOR_EACH * crashes)
    assert process.returncode == 0, errors.decode()
    return int(output)


async def test_a_process_that_is_killed_takes_nothing_with_it_that_it_had_acknowledged(tmp_path: Path) -> None:
    assert await crash(tmp_path, CRASHES, {}) > CRASHES


async def test_a_power_loss_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    library = build(tmp_path)
    if library is None:
        pytest.skip("there is no compiler for a disk that loses its power")
    directory, shadow = tmp_path / "files", tmp_path / "shadow"
    directory.mkdir()
    shadow.mkdir()
    assert await crash(directory, CRASHES // 2, {"LD_PRELOAD": library, "DISK_SHADOW": str(shadow)}) > CRASHES // 2
