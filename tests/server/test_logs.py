"""Log lines: what is in them, and that no value, no key, no token of any kind ever is."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ndb_models import ConnectError, NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.server.logs import LOGGERS, JsonFormatter, TextFormatter, log_to
from ndb_models.stores.memory import MemoryStore
from tests.server.http_client import fetch
from tests.server.plain_client import GUARD, ask, plain
from tests.stores.watched_store import WatchedStore

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged at the lowest level, as JSON."""
    stream = io.StringIO()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    log_to(stream, level="debug", style="json")
    yield stream
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


class Failing(WatchedStore):
    """Fails with the value in its message."""

    async def before(self, verb: str, *args: Any) -> None:
        if verb == "count":
            keys = await self.get_all(args[0])
            raise RuntimeError(f"canary: {keys}") from KeyError(f"canary: {keys}")


def events(log: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in log.getvalue().splitlines()]


async def test_no_line_holds_a_value_a_key_or_a_token_of_any_kind(log: io.StringIO, tmp_path: Path) -> None:
    value, name, bearer, wrong = (secrets.token_urlsafe(24) for _ in range(4))
    options = ServerOptions(port=0, max_payload=8192, tokens=Tokens([(Role.ADMIN, bearer)]))
    async with asyncio.timeout(GUARD), NdbServer(Engine(Failing(), persist_path=tmp_path), options) as server:
        with pytest.raises(ConnectError):
            await NdbClient.connect(server.uri, token=wrong)
        for header in (f"Bearer {wrong}", f"Bearer {bearer}\x01", f"Bearer {bearer}\r\n broken"):
            with contextlib.suppress(IndexError):  # no answer at all to what is no HTTP
                await fetch(server, f"/?token={bearer}", Authorization=header)
        async with plain(server, additional_headers={"Authorization": f"Bearer {bearer}"}) as websocket:
            tkn = (await ask(websocket, "SH_NEW"))["tkn"]
            await ask(websocket, "SH_SET", tkn=tkn, keys={name: value})
            await ask(websocket, "SH_GET", tkn=tkn, keys=[name])
            assert (await ask(websocket, "SH_COUNT", tkn=tkn))["st"] == 1000
            await ask(websocket, "SH_SAVE", name="sessions")
            await ask(websocket, "SH_LOAD", name="../" + value)
            await ask(websocket, value, tkn=tkn)
            await websocket.send("x" * 10_000 + value)
            await websocket.wait_closed()
    text = log.getvalue()
    for canary in (value, name, bearer, wrong, str(tkn)):
        assert canary not in text
    assert {
        "handshake refused",
        "the request to count the keys of a session (SH_COUNT) failed",
        "ready",
        "stopped",
    } <= set(events(log))


async def test_an_unexpected_failure_is_logged_with_its_types_and_places_alone(log: io.StringIO) -> None:
    ask_failing = Engine(Failing())
    await ask_failing.handle(b'{"KV_COUNT":{}}')
    (line,) = log.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["event"], record["error"]) == (
        "error",
        "the request to count the shared keys (KV_COUNT) failed",
        "RuntimeError from KeyError",
    )
    assert re.fullmatch(r"test_logs\.py:\d+ before", record["at"][-1])
    assert "canary" not in line


def record_of(message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("ndb_models.server", logging.INFO, "", 0, message, (), None)
    record.fields = fields
    return record


def test_a_line_of_json_is_one_object() -> None:
    line = JsonFormatter().format(record_of("it\nhappened", pid=7, path=Path("a")))
    assert "\n" not in line
    record = json.loads(line)
    assert re.fullmatch(TIME, record.pop("time"))
    expected = {"level": "info", "logger": "ndb_models.server", "event": "it\nhappened", "pid": 7, "path": "a"}
    assert record == expected


def test_a_line_of_text_is_one_line_whatever_it_holds() -> None:
    line = TextFormatter().format(record_of("it\r\nhappened", pid=7, path="a\nb"))
    assert re.fullmatch(TIME + r" INFO ndb_models\.server: it\\r\\nhappened pid=7 path=a\\nb", line)


def test_what_is_below_the_level_is_not_logged(log: io.StringIO) -> None:
    stream = io.StringIO()
    log_to(stream, level="warning", style="text")
    logging.getLogger("ndb_models.server.websocket").info("connection open")
    logging.getLogger("asyncio").error("something")
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == ["ERROR asyncio: something"]
    assert "connection open" in events(log)


async def probe(server: NdbServer) -> None:
    """Ask for everything that a probe or a scraper asks for, and knock as a port scan does."""
    for path in ("/healthz", "/readyz", "/metrics"):
        await fetch(server, path)
        await fetch(server, path, method="HEAD")
        await fetch(server, path, method="POST")
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(("level", "told"), [("info", False), ("debug", True)])
async def test_probes_are_logged_at_debug_alone(level: str, told: bool, log: io.StringIO) -> None:
    log_to(stream := io.StringIO(), level=level, style="text")
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server:
        before = stream.getvalue()
        await probe(server)
        await asyncio.sleep(0)
        lines = stream.getvalue()[len(before) :].splitlines()
        assert bool(lines) is told
        assert all(" DEBUG " in line for line in lines)


async def test_clients_are_logged_at_info(log: io.StringIO) -> None:
    log_to(stream := io.StringIO(), level="info", style="text")
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server, plain(server) as websocket:
        await ask(websocket, "KV_COUNT")
    assert re.findall(r" INFO ndb_models\.server\.websocket: (connection \w+)", stream.getvalue()) == [
        "connection open",
        "connection closed",
    ]
