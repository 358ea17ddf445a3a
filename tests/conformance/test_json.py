"""JSON is taken, refused, and kept to the byte, as a value and as a request, as RFC 8259 has it."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
from websockets.asyncio.client import connect

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.contract import Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.sqlite import SqliteStore
from tests.conformance.json_texts import EITHER, NOT_UTF8, REFUSED, TAKEN, WRAPPINGS, is_json

ALL_TAKEN: Final = (*TAKEN, *(text.encode() for text, (taken, _) in EITHER.items() if taken))
ALL_REFUSED: Final = (*REFUSED, *(text.encode() for text, (taken, _) in EITHER.items() if not taken))
READS: Final = {
    "KV_SET": b'{"KV_GET":{"keys":["a"]}}',
    "SH_SET": b'{"SH_GET":{"tkn":7,"keys":["a"]}}',
    "KV_ARR_APPEND": b'{"KV_GET":{"keys":["l"]}}',
}
# What is there before each text.
RESETS: Final = (b'{"KV_CLEAR_SET":{"keys":{"a":"before","l":[]}}}', b'{"SH_SET":{"tkn":7,"keys":{"a":"before"}}}')
JSON_INVALID: Final = b'"st":3'


@pytest.fixture(params=["memory", "sqlite"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine with a session 7."""
    store: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "sessions.db")
    if isinstance(store, SqliteStore):
        await store.open()
    engine = Engine(store)
    await engine.handle(b'{"SH_NEW_SET":{"tkn":7,"keys":{}}}')
    yield engine
    await store.aclose()


async def all_there_is(engine: Engine) -> list[bytes]:
    return [await engine.handle(read) for read in READS.values()]


def stored(command: str, text: bytes) -> bytes:
    """Return what is read back of a text that was stored by this command."""
    text = text.strip(b" \t\r\n")
    value = b'"l":[' + text + b"]" if command == "KV_ARR_APPEND" else b'"a":' + text
    return b'{"%b_GET_RSP":{"keys":{%b},"st":1}}' % (command[:2].encode(), value)


def test_there_are_enough_texts_and_a_parser_of_its_own_agrees_on_each() -> None:
    assert len({*TAKEN, *REFUSED, *EITHER}) == len(TAKEN) + len(REFUSED) + len(EITHER) >= 300
    assert all(is_json(text) for text in TAKEN)
    assert not any(is_json(text) for text in REFUSED)


@pytest.mark.parametrize("command", WRAPPINGS)
async def test_a_value_that_is_json_comes_back_equal_to_the_byte(engine: Engine, command: str) -> None:
    before, behind = WRAPPINGS[command]
    for text in ALL_TAKEN:
        for reset in RESETS:
            await engine.handle(reset)
        assert await engine.handle(before + text + behind) == b'{"%b_RSP":{"st":1}}' % command.encode(), text
        assert await engine.handle(READS[command]) == stored(command, text), text


def spoilt_by(command: str) -> Iterator[bytes]:
    """Yield the texts that spoil this command: not those that happen to complete it otherwise."""
    before, behind = WRAPPINGS[command]
    yield from (text for text in REFUSED if not is_json(before + text + behind))
    yield from (text.encode() for text, (taken, _) in EITHER.items() if not taken)


@pytest.mark.parametrize("command", WRAPPINGS)
async def test_a_value_that_is_no_json_is_refused_and_changes_nothing(engine: Engine, command: str) -> None:
    before, behind = WRAPPINGS[command]
    for reset in RESETS:
        await engine.handle(reset)
    there = await all_there_is(engine)
    texts = list(spoilt_by(command))
    assert len(texts) > 0.9 * len(ALL_REFUSED)
    for text in texts:
        assert JSON_INVALID in await engine.handle(before + text + behind), text
        assert await all_there_is(engine) == there, text


async def test_a_request_that_is_no_json_is_refused_and_one_that_is_gets_another_answer(engine: Engine) -> None:
    there = await all_there_is(engine)
    for text in ALL_REFUSED:
        assert (JSON_INVALID in await engine.handle(text)) is not text.startswith(BOM_UTF8), text
    for text in ALL_TAKEN:
        answer = await engine.handle(text)
        assert is_json(answer), text
        assert JSON_INVALID not in answer, text
    assert await all_there_is(engine) == there


async def test_it_is_so_through_the_server_and_the_connection_lives(engine: Engine) -> None:
    async with NdbServer(engine, ServerOptions(port=0)) as server, connect(server.uri, max_size=None) as client:
        for command, (before, behind) in WRAPPINGS.items():
            for text in ALL_TAKEN[::10]:
                for request in (*RESETS, before + text + behind, READS[command]):
                    await client.send(request.decode())
                for _ in range(len(RESETS) + 1):
                    await client.recv()
                assert await client.recv(decode=False) == stored(command, text), text
            for text in list(spoilt_by(command))[::10]:
                if text not in NOT_UTF8:  # that ends a connection
                    await client.send((before + text + behind).decode())
                    assert JSON_INVALID in await client.recv(decode=False), text
