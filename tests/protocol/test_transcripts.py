"""What a real NemesisDB answered, frame by frame, is what the engine answers: in-process and through a WebSocket."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from tests.stores.conftest import STORES, OpenStore, also_slowly

CASES = [json.loads(line) for line in Path(__file__).with_name("transcripts.jsonl").read_text("utf-8").splitlines()]

# Where the file itself allows more than one answer: (case, number of the step) -> other answers that are right.
ALSO_RIGHT: dict[tuple[str, int], list[Any]] = {
    ("kv find paths", 1): [{"KV_FIND_RSP": {"st": 1, "keys": ["u1"]}}],
    ("kv duplicate key in object", 1): [{"KV_GET_RSP": {"st": 1, "keys": {"a": 1}}}],
}

Exchange = Callable[[str, bool], Awaitable[Any]]


async def exchange_in_process(open_store: OpenStore, directory: Path) -> AsyncIterator[Exchange]:
    async with open_store(directory, time.time) as store:
        engine = Engine(store, persist_path=directory)

        async def exchange(text: str, binary: bool) -> Any:
            assert not binary
            return json.loads(await engine.handle(text.encode()))

        yield exchange


async def exchange_over_websocket(server: NdbServer) -> AsyncIterator[Exchange]:
    async with connect(server.uri, compression=None, proxy=None) as websocket:

        async def exchange(text: str, binary: bool) -> Any:
            try:
                await websocket.send(text.encode() if binary else text)
                return json.loads(await websocket.recv())
            except ConnectionClosed as closed:
                return {"closed": closed.rcvd.code if closed.rcvd else None}

        yield exchange


def is_about_frames(case: dict[str, Any]) -> bool:
    """Binary frames, and frames over the maximum, exist on a WebSocket only."""
    return any(step.get("binary") or "closed" in step["recv"] for step in case["steps"])


class Transcript:
    """Fills in what differs from run to run: tokens as they were given out, names of data sets, durations."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def fill_in(self, text: str) -> str:
        return re.sub(r"\$T(\d+)", lambda match: str(self.tokens[int(match[1]) - 1]), text).replace("$NAME", "a_name")

    def normalise(self, value: Any, name: str = "") -> Any:
        """Replace what may differ by what the file has in its place."""
        if isinstance(value, dict):
            return {key: self.normalise(item, key) for key, item in value.items() if key != "m"}
        if isinstance(value, list):
            items = [self.normalise(item) for item in value]
            return sorted(items, key=repr) if name == "keys" else items
        if name == "serverVersion":
            return "$VERSION"
        if name == "duration" and value == "$MS":
            return "$MS"
        if isinstance(value, int) and not isinstance(value, bool) and value in self.tokens:
            return f"$T{self.tokens.index(value) + 1}"
        return "$NAME" if value == "a_name" else value

    def matches(self, expected: Any, actual: Any) -> bool:
        (name,) = expected
        want, have = self.normalise(expected), self.normalise(actual)
        if list(want) != list(have):
            return False
        if not isinstance(want[name], dict):
            return bool(want == have)
        if name in ("KV_SAVE_RSP", "SH_SAVE_RSP", "KV_LOAD_RSP", "SH_LOAD_RSP"):
            want[name].pop("duration", None)
            have[name].pop("duration", None)
        for side in (want, have):
            if "expiry" in side[name]:
                remaining = side[name]["expiry"].pop("remaining")
                assert 599 <= remaining <= 600
        return bool(want == have)


async def follow(case: dict[str, Any], exchange: Exchange, *, expectation: str = "expect") -> None:
    transcript = Transcript()
    for number, step in enumerate(case["steps"]):
        answer = await exchange(transcript.fill_in(step["send"]), step.get("binary", False))
        new = answer.get("SH_NEW_RSP", {})
        if isinstance(new, dict) and new.get("st") == 1:
            transcript.tokens.append(new["tkn"])
        right = [step.get(expectation, step["recv"]), *ALSO_RIGHT.get((case["case"], number), [])]
        assert any(transcript.matches(expected, answer) for expected in right), (step, answer)


def named(case: dict[str, Any]) -> str:
    return str(case["case"])


@pytest.mark.parametrize("case", CASES, ids=named)
async def test_the_server_gives_the_recorded_answers_over_a_websocket(case: dict[str, Any], server: NdbServer) -> None:
    async for exchange in exchange_over_websocket(server):
        await follow(case, exchange)


@pytest.mark.parametrize("case", [case for case in CASES if not is_about_frames(case)], ids=named)
@pytest.mark.parametrize("store", also_slowly(STORES))
async def test_the_engine_gives_the_recorded_answers_in_process(
    case: dict[str, Any], store: str, tmp_path: Path
) -> None:
    async for exchange in exchange_in_process(STORES[store], tmp_path):
        await follow(case, exchange)


# What the imitation does not do, and why.
NOT_IMITATED = {
    "kv load a sh save": "our loading refuses a data set of the other kind",
    "proto unknown command": "the name of the first unknown command is one that the server saw before this case",
    "proto comments": "comments are not read",
}


@pytest.mark.parametrize(
    "case", [case for case in CASES if not (is_about_frames(case) or case["case"] in NOT_IMITATED)], ids=named
)
async def test_the_imitation_of_a_nemesisdb_gives_its_very_answers(case: dict[str, Any], nemesisdb: NdbServer) -> None:
    async for exchange in exchange_over_websocket(nemesisdb):
        await follow(case, exchange, expectation="recv")
