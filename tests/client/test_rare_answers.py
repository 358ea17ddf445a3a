"""Answers that are not as they should be, servers that know less than was thought, and two callers at one moment."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from ndb_models import ConnectError, NdbClient
from ndb_models.client.attempt_limits import AttemptLimits
from ndb_models.client.sessions import LONGEST_DURATION
from ndb_models.errors import ProtocolError, ResponseError, ServerUnavailableError, StoreLockedError, UnsupportedError
from tests.client.scripted_server import answering, honest_answer, scripted
from tests.tcp_peers import accepted, tcp_server

GUARD = 60
TOKEN = 16204359010587816757


@pytest.mark.parametrize("names", ["[1]", '["a", null]', "[[]]"])
async def test_names_that_are_no_strings_are_no_answer(names: str) -> None:
    async with (
        asyncio.timeout(GUARD),
        scripted(answering(f'{{"KV_KEYS_RSP":{{"st":1,"keys":{names}}}}}')) as uri,
        NdbClient.connect(uri) as client,
    ):
        with pytest.raises(ProtocolError, match="no strings"):
            await client.kv_keys()


@pytest.mark.parametrize(
    "body",
    ['"tkns":[1]', '"tkns":[1],"values":[]', '"tkns":["1"],"values":[2]', '"tkns":[],"values":[],"next":"5"'],
)
async def test_a_list_without_a_value_for_each_token_is_no_answer(body: str) -> None:
    async with (
        asyncio.timeout(GUARD),
        scripted(answering(f'{{"SH_LIST_RSP":{{"st":1,{body}}}}}')) as uri,
        NdbClient.connect(uri) as client,
    ):
        with pytest.raises(ProtocolError, match=r"SH_LIST|no 'values'|no 'next'"):
            await client.sh_list("a")


@pytest.mark.parametrize(
    ("status", "raised", "asked"),
    [(1, None, 1), (100, None, 1), (14, ResponseError, 1), (1000, ServerUnavailableError, 4)],
)
async def test_a_session_that_must_end_is_ended_again_only_where_that_may_help(
    status: int, raised: type[Exception] | None, asked: int
) -> None:
    requests: list[str | bytes] = []

    async def end(connection: ServerConnection) -> None:
        async for request in connection:
            requests.append(request)
            await connection.send(json.dumps({"SH_END_RSP": {"st": status, "tkn": TOKEN if status == 1 else None}}))

    async with asyncio.timeout(GUARD), scripted(end) as uri, NdbClient.connect(uri) as client:
        if raised is None:
            await client.end_surely(TOKEN)
        else:
            with pytest.raises(raised):
                await client.end_surely(TOKEN)
    assert len(requests) == asked


async def test_what_another_server_knows_is_asked_anew_where_the_connection_changed_during_the_question() -> None:
    """The question went out over one connection, and was answered over the next."""
    peeks = 0
    connections = 0

    async def know_little(connection: ServerConnection) -> None:
        nonlocal peeks, connections
        connections += 1
        try:
            async for request in connection:
                peeks += "SH_PEEK" in str(request)
                if connections == 1:
                    connection.transport.abort()
                await connection.send(honest_answer(request))
        except ConnectionClosed:
            return

    async with asyncio.timeout(GUARD), scripted(know_little) as uri, NdbClient.connect(uri) as client:
        for asked in (2, 3, 3):
            await client.sh_create_session(LONGEST_DURATION + 1)
            assert peeks == asked
        with pytest.raises(UnsupportedError, match="SH_PEEK"):
            await client.sh_peek(("a",), TOKEN)
        assert peeks == 3


def test_a_fence_may_take_as_long_as_any_answer_that_was_never_slow() -> None:
    limits = AttemptLimits(5.0)
    assert limits.longest_silence(None, 1000.0) == 5.0


@pytest.mark.parametrize("keepalive", [0.03, None])
async def test_pings_are_sent_where_keepalive_asks_for_them_and_only_there(keepalive: float | None) -> None:
    frames: list[Opcode] = []
    pinged = asyncio.Event()

    async def note_frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = await accepted(reader)
        while not protocol.close_expected():
            writer.write(b"".join(protocol.data_to_send()))
            protocol.receive_data(await reader.read(1000))
            frames.extend(event.opcode for event in protocol.events_received() if isinstance(event, Frame))
            if Opcode.PING in frames:
                pinged.set()
        writer.write(b"".join(protocol.data_to_send()))

    async with asyncio.timeout(GUARD), tcp_server(note_frames) as port:
        client = await NdbClient.connect(f"ws://127.0.0.1:{port}/", keepalive=keepalive)
        if keepalive is not None:
            await pinged.wait()
        else:
            await asyncio.sleep(0.15)
            assert Opcode.PING not in frames
        await client.close()


async def test_a_name_in_memory_has_one_persist_path_at_a_time(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    async with NdbClient.connect(f"memory://one-path?persist_path={here}") as client:
        await client.kv_set({"a": 1})
        with pytest.raises(ConnectError, match="another persist_path"):
            await NdbClient.connect(f"memory://one-path?persist_path={there}")
        async with NdbClient.connect("memory://one-path") as other:
            assert await other.kv_get(("a",)) == {"a": 1}


async def test_two_who_open_a_damaged_file_at_once_both_fail_and_leave_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    path.write_text("Dear diary, " * 1000)
    ends = await asyncio.gather(*(NdbClient.connect(f"sqlite:///{path}") for _ in range(2)), return_exceptions=True)
    assert [type(end) for end in ends] == [ConnectError] * 2
    path.unlink()
    async with NdbClient.connect(f"sqlite:///{path}?synchronous=normal") as client:  # options of its own
        assert await client.kv_count() == 0


async def test_a_creation_that_is_cancelled_and_then_fails_leaves_neither_a_session_nor_a_complaint(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sessions.db"
    async with NdbClient.connect(f"sqlite:///{path}?busy_timeout=0.05") as client:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        creating = asyncio.create_task(client.sh_create_session())
        await asyncio.sleep(0.01)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        with pytest.raises(StoreLockedError):
            await client.kv_set({"a": 1})
        other.close()
        assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_server_that_answers_a_tls_handshake_with_text_is_asked_whether_it_speaks_tls() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with asyncio.timeout(GUARD), tcp_server(greet) as port:
        with pytest.raises(ConnectError, match=r"TLS failed: .*; does the server speak TLS there"):
            await NdbClient.connect(f"wss://127.0.0.1:{port}/")
