"""Each example of docs/protocol.md is what our server answers, and the page names every command and status."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from ndb_models.conformance.placeholders import Placeholders
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.statuses import Status
from ndb_models.server import NdbServer

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
BLOCKS = re.findall(r"```wire\n(.*?)```", PAGE, re.DOTALL)
_MARK = re.compile(r"(?<!\")\$[TN]\d+")


def exchanges(block: str) -> list[tuple[str, str]]:
    """Return the frames of a block with their answers."""
    lines = block.splitlines()
    assert [line[:2] for line in lines] == ["> ", "< "] * (len(lines) // 2)
    return [(request[2:], answer[2:]) for request, answer in zip(lines[::2], lines[1::2], strict=True)]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
async def test_the_server_answers_as_the_page_says(block: str, server: NdbServer) -> None:
    placeholders = Placeholders("no prefix", "a_data_set", (secrets.randbits(64),))
    async with connect(server.uri, compression=None, proxy=None) as websocket:
        for request, expected in exchanges(block):
            frame = placeholders.fill(request)
            assert frame is not None, request
            await websocket.send(frame)
            answer = json.loads(await websocket.recv())
            placeholders.note(answer)
            wanted = json.loads(_MARK.sub(lambda mark: f'"{mark[0]}"', expected))
            assert placeholders.matches(wanted, answer), (request, answer)


def test_there_are_examples_of_every_command() -> None:
    sent = set(re.findall(r'^> \{"(\w+)"', PAGE, re.MULTILINE))
    untold = {"KV_SAVE"}  # its answer is that of SH_SAVE
    assert COMMANDS.keys() - sent == untold
    assert all(f"`{name}`" in PAGE for name in untold)


def test_every_status_is_in_the_table() -> None:
    rows = {int(number) for number in re.findall(r"^\| (\d+) \| \w+ \|", PAGE, re.MULTILINE)}
    assert rows == set(Status)


def test_the_commands_that_are_safe_to_repeat_are_named() -> None:
    (sentence,) = re.findall(r"\*\*Safe to repeat\.\*\*(.*?)All others", PAGE, re.DOTALL)
    named = set(re.findall(r"`([A-Z_*]+)`", sentence))
    repeatable = {name for name, command in COMMANDS.items() if command.repeatable}
    covered = {
        name for name in COMMANDS for pattern in named
        if name == pattern or (pattern.startswith("*") and name[2:] == pattern[1:])
    }  # fmt: skip
    assert covered == repeatable
