"""The server answers any stream of bytes as RFC 6455 has it, and as the websockets library's own server does.

Where the two differ stands in `DIFFERENCES` and `SOONER`, with the reason.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.sqlite import SqliteStore
from tests.conformance.conversations import (
    CHUNKINGS,
    WITH_THE_HANDSHAKE,
    Said,
    converse,
    empty_engine,
    websockets_server,
)
from tests.conformance.websocket_cases import (
    CASES,
    MAX_PAYLOAD,
    Case,
    characters,
    closings,
    fragments,
    headers,
    lengths,
    orders,
    pings,
)
from tests.server.raw_connection import Opcode

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured, pytest.mark.loop]

# How the library's server departs from the case, and why this one does not follow.
_TAKES_LONG: Final = "the library does not look whether a length is in the fewest bytes, as RFC 6455 asks in 5.2"
_WAITS: Final = "the library judges these rules when the payload has come, for which a client can have it wait"
DIFFERENCES: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "a length in 16 bits for 0": ({"close": None, "answers": 1}, _TAKES_LONG),
    "a length in 16 bits for 15": ({"close": None, "answers": 1}, _TAKES_LONG),
    "a length in 64 bits for 15": ({"close": None, "answers": 1}, _TAKES_LONG),
    "a length in 64 bits for 300": ({"close": None, "answers": 1}, _TAKES_LONG),
    "ping whose length is in 16 bits": ({"close": None, "pongs": (b"x",)}, _TAKES_LONG),
    "pong whose length is in 16 bits": ({"close": None}, _TAKES_LONG),
    "the beginning of a frame alone: reserved bits": ({"close": None, "at_end": None}, _WAITS),
    "the beginning of a frame alone: a ping too long": ({"close": None, "at_end": None}, _WAITS),
    "the beginning of a frame alone: a fragment of a ping": ({"close": None, "at_end": None}, _WAITS),
    "the beginning of a frame alone: a continuation of nothing": ({"close": None, "at_end": None}, _WAITS),
}

# What this server says before the library's does: the library parses all that came before its handler runs, so pongs
# overtake answers, and a close or a breach has the answers dropped that were due. Here all is said in order.
SOONER: Final[dict[str, tuple[list[Opcode], list[Opcode]]]] = {
    "ten pings between ten requests": ([Opcode.PONG, Opcode.TEXT] * 10, [Opcode.PONG] * 10 + [Opcode.TEXT] * 10),
    "a close after ten requests": ([Opcode.TEXT] * 10, []),
    "opcode 3 between requests": ([Opcode.TEXT], []),
    "a request, then one beyond the limit": ([Opcode.TEXT], []),
    "a request, then one unmasked": ([Opcode.TEXT], []),
}

BY_NAME: Final = {case.name: case for case in CASES}

# One server answers all conversations of a group, one after the other.
GROUPS: Final = {
    kind.__name__: tuple(kind()) for kind in (lengths, pings, headers, fragments, characters, closings, orders)
}
BEHIND_THE_FRAMES: Final = ("pings", "headers", "fragments", "closings", "orders")


@contextlib.contextmanager
def named(case: Case, chunking: str) -> Iterator[None]:
    """Have a failure name its case."""
    try:
        yield
    except Exception as exc:
        exc.add_note(f"the case: {case.name}, sent {chunking}")
        raise


@pytest.fixture
async def in_memory() -> AsyncIterator[tuple[Engine, int]]:
    engine = empty_engine()
    async with NdbServer(engine, ServerOptions(port=0, max_payload=MAX_PAYLOAD)) as server:
        yield engine, server.port


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[tuple[Engine, int]]:
    async with SqliteStore(tmp_path / "sessions.db") as store:
        engine = Engine(store)
        async with NdbServer(engine, ServerOptions(port=0, max_payload=MAX_PAYLOAD)) as server:
            yield engine, server.port


@pytest.fixture
async def theirs(caplog: pytest.LogCaptureFixture) -> AsyncIterator[tuple[Engine, int]]:
    caplog.set_level(logging.CRITICAL, "websockets.server")  # every breach is an exception of its handler
    engine = empty_engine()
    async with websockets_server(engine) as port:
        yield engine, port


async def said_by(server: tuple[Engine, int], case: Case, chunking: str) -> Said:
    """Have a conversation with a server whose engine has been emptied, and see that it is what the case expects."""
    engine, port = server
    await engine.handle(b'{"KV_CLEAR":{}}')
    said = await converse(port, case, CHUNKINGS.get(chunking))
    assert said.close == (case.at_end if case.close is None else case.close), chunking
    assert said.pongs == list(case.pongs), chunking
    return said


def test_there_are_enough_cases_and_each_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 170
    assert len(BY_NAME) == len(CASES)
    assert [case.name for cases in GROUPS.values() for case in cases] == [case.name for case in CASES]
    assert {*DIFFERENCES, *SOONER} <= BY_NAME.keys()


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("group", GROUPS)
async def test_a_stream_is_answered_as_the_library_answers_it_or_as_the_table_says(
    group: str, chunking: str, in_memory: tuple[Engine, int], theirs: tuple[Engine, int]
) -> None:
    for case in GROUPS[group]:
        with named(case, chunking):
            departs, _ = DIFFERENCES.get(case.name, ({}, ""))
            their_case = replace(case, **departs)
            assert bool(departs) is (their_case != case)
            our_answers = (await said_by(in_memory, case, chunking)).answers
            their_answers = (await said_by(theirs, their_case, chunking)).answers
            assert len(our_answers) == case.answers
            # Of a connection that ends, the library may answer less.
            compared = our_answers if case.close is None else our_answers[: len(their_answers)]
            assert departs or their_answers == compared


@pytest.mark.parametrize("group", GROUPS)
async def test_a_stream_that_comes_with_the_handshake_is_answered_alike(
    group: str, in_memory: tuple[Engine, int]
) -> None:
    for case in GROUPS[group]:
        with named(case, WITH_THE_HANDSHAKE):
            assert len((await said_by(in_memory, case, WITH_THE_HANDSHAKE)).answers) == case.answers


# SQLite runs all but the lengths and the characters, which end before the store.
@pytest.mark.parametrize("chunking", ["whole", "at random, seed 1"])
@pytest.mark.parametrize("group", BEHIND_THE_FRAMES)
@pytest.mark.parametrize("_store", ["sqlite"])
async def test_a_stream_is_answered_alike_where_answers_are_waited_for(
    group: str, chunking: str, _store: str, sqlite: tuple[Engine, int]
) -> None:
    for case in GROUPS[group]:
        with named(case, chunking):
            answers = (await said_by(sqlite, case, chunking)).answers
            # Answers that are waited for when the connection ends do not go out any more.
            assert len(answers) == case.answers or (case.close is not None and len(answers) < case.answers)


@pytest.mark.parametrize("name", SOONER)
async def test_all_is_said_in_order_and_before_the_end(
    name: str, in_memory: tuple[Engine, int], theirs: tuple[Engine, int]
) -> None:
    our_order, their_order = SOONER[name]
    assert [opcode for opcode, _ in (await said_by(in_memory, BY_NAME[name], "whole")).frames] == our_order
    assert [opcode for opcode, _ in (await said_by(theirs, BY_NAME[name], "whole")).frames] == their_order
