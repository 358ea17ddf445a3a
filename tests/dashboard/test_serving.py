"""`ndb-models serve --dashboard`, as processes: alone, and as several workers."""

from __future__ import annotations

import asyncio
import os
import re
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from ndb_models.cli.main import main
from tests.dashboard.calls import Person
from tests.server.plain_client import ask, plain
from tests.server.test_command_line import GUARD, serving, start

pytestmark = pytest.mark.slow

PAGE = re.compile(
    r"status page at http://127\.0\.0\.1:(\d+)/dashboard/"
    r" \(the server has no tokens, so log in with the one of this run: (\S+)\)\n"
)


async def page_of(process: Process, lines: int) -> tuple[int, str]:
    """Return the port and the token that a server writes, among so many lines of standard output."""
    assert process.stdout is not None
    written = [(await process.stdout.readline()).decode() for _ in range(lines)]
    (found,) = [match for match in map(PAGE.fullmatch, written) if match is not None]
    return int(found[1]), found[2]


async def test_a_server_writes_where_its_page_is_and_a_token_that_is_not_logged() -> None:
    async with serving("--dashboard") as (process, _):
        port, token = await page_of(process, 1)
        person = Person(port)
        assert (await person.call("about")).status == 401
        assert (await person.log_in(token)).status == 200
        assert (await person.ask("about"))["store"] == "sessions in memory"
        process.terminate()
        output, errors = await process.communicate()
    assert output == b"ndb-models stopped\n"
    assert b"an admin at 127.0.0.1 has logged in to the status page" in errors
    assert token.encode() not in errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forks")
async def test_workers_share_logins_and_add_up_their_figures(tmp_path: Path) -> None:
    store = ("--store", f"sqlite:///{tmp_path / 'sessions.db'}", "--workers", "2")
    async with asyncio.timeout(2 * GUARD):
        process = await start("serve", "--port", "0", "--dashboard", *store)
        try:
            port, token = await page_of(process, 3)
            person = Person(port)
            assert (await person.log_in(token)).status == 200
            # The system spreads connections over the workers: some calls come to each.
            assert {(await person.call("about")).status for _ in range(12)} == {200}
            for _ in range(12):
                async with plain(f"ws://127.0.0.1:{port}/") as websocket:
                    await ask(websocket, "KV_COUNT")
            facts = (await person.ask("figures"))["facts"]
            while facts["requests"] < 12:
                await asyncio.sleep(0.2)
                facts = (await person.ask("figures"))["facts"]
            assert (facts["requests"], facts["workers"], facts["ofWorkers"]) == (12, 2, 2)
            await person.call("logout")
            assert {(await person.call("about")).status for _ in range(12)} == {401}
        finally:
            process.terminate()
            _, errors = await process.communicate()
    assert token.encode() not in errors


def test_a_page_without_a_way_in_is_refused_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"data:{'d' * 32}\n")
    tokens.chmod(0o600)
    for arguments, expected in (
        (("--dashboard-write",), "--dashboard-write: it is for the status page: give --dashboard too"),
        (
            ("--dashboard", "--token-file", str(tokens)),
            "--dashboard: the status page is for admins, and no token is one's: add a line admin:TOKEN",
        ),
        (
            ("--dashboard", "--host", "0.0.0.0", "--insecure"),
            "--dashboard: the status page needs an admin's token beyond this machine (--token-file)",
        ),
    ):
        assert main(["serve", "--port", "0", *arguments]) == 2
        assert capsys.readouterr().err == f"ndb-models: {expected}\n"
