"""Servers that die, lie or say nothing: a call ends with an error of our tree, and never with another's data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection

from ndb_models.client import NdbClient, NdbError
from ndb_models.errors import ConnectionLostError, ProtocolError, RequestTimeoutError
from tests.client.scripted_server import (
    Script,
    answer_nothing,
    answering,
    first_then_honest,
    honest_answer,
    own_value,
    scripted,
    send_in_one_write,
)


async def abort(connection: ServerConnection) -> None:
    await connection.recv()
    connection.transport.abort()


async def close_normally(connection: ServerConnection) -> None:
    await connection.recv()
    await connection.close()


async def go_away(connection: ServerConnection) -> None:
    await connection.recv()
    await connection.close(1001)


async def fail_inside(connection: ServerConnection) -> None:
    await connection.recv()
    await connection.close(1011, "out of memory")


async def abort_in_the_middle_of_an_answer(connection: ServerConnection) -> None:
    await connection.recv()
    connection.protocol.send_text(b'{"KV_ADD_RSP":{"st', fin=False)
    connection.transport.write(b"".join(connection.protocol.data_to_send()))
    connection.transport.close()


async def abort_in_the_middle_of_a_frame(connection: ServerConnection) -> None:
    await connection.recv()
    connection.protocol.send_text(b'{"KV_ADD_RSP":{"st":1}}')
    connection.transport.write(b"".join(connection.protocol.data_to_send())[:-5])
    connection.transport.close()


@pytest.mark.parametrize(
    "script",
    [abort, close_normally, go_away, fail_inside, abort_in_the_middle_of_an_answer, abort_in_the_middle_of_a_frame],
)
async def test_a_server_that_dies_in_the_middle_of_a_request_fails_it(script: Script) -> None:
    async with scripted(script) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        with pytest.raises(ConnectionLostError, match="may or may not") as lost:
            await client.kv_add({"a": 1})
    assert lost.value.maybe_done
    assert lost.value.command == "KV_ADD"
    assert isinstance(lost.value, ConnectionError)


async def test_a_server_that_dies_fails_all_that_is_in_flight() -> None:
    async with scripted(first_then_honest(abort)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        ends = await asyncio.gather(*(client.kv_add({"a": n}) for n in range(64)), return_exceptions=True)
    # What was not sent yet may have gone over another connection; what was sent may not be sent again.
    assert isinstance(ends[0], ConnectionLostError)
    assert all(isinstance(end, ConnectionLostError) or end is True for end in ends)


NOT_ANSWERS = [
    "",
    "no JSON",
    '{"KV_ADD_RSP":{"st":1}',
    '{"KV_ADD_RSP":{"st":1}} {}',
    "null",
    "1",
    '"KV_ADD_RSP"',
    "[]",
    "{}",
    '{"KV_ADD_RSP":1}',
    '{"KV_ADD_RSP":[]}',
    '{"KV_ADD_RSP":{}}',
    '{"KV_ADD_RSP":{"st":"1"}}',
    '{"KV_ADD_RSP":{"st":1.0}}',
    '{"KV_ADD_RSP":{"st":true}}',
    '{"KV_ADD_RSP":{"st":null}}',
    '{"KV_ADD_RSP":{"st":1},"KV_GET_RSP":{"st":1}}',
    '{"KV_ADD":{"st":1}}',
    '{"KV_SET_RSP":{"st":1}}',
    '{"SH_ADD_RSP":{"st":1}}',
    '{"KV_ADD_RSP":{"st":1,"x":' + "[" * 100_000 + "]" * 100_000 + "}}",
]


@pytest.mark.parametrize("text", NOT_ANSWERS, ids=lambda text: str(text)[:40])
async def test_what_cannot_be_the_answer_is_an_error_of_ours(text: str) -> None:
    async with scripted(answering(text)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        with pytest.raises((ConnectionLostError, ProtocolError)):
            await client.kv_add({"a": 1})


async def test_an_answer_that_is_not_utf8_is_an_error_of_ours() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        connection.protocol.send_text(b'{"KV_ADD_RSP":{"st":1,"m":"\xff"}}')
        connection.transport.write(b"".join(connection.protocol.data_to_send()))
        await connection.wait_closed()

    async with scripted(script) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        with pytest.raises((ConnectionLostError, ProtocolError)):
            await client.kv_add({"a": 1})


LACKING: dict[str, tuple[str, Callable[[NdbClient], Awaitable[object]]]] = {
    "no keys": ('{"KV_GET_RSP":{"st":1}}', lambda client: client.kv_get(("a",))),
    "keys null": ('{"KV_GET_RSP":{"st":1,"keys":null}}', lambda client: client.kv_get(("a",))),
    "keys array": ('{"KV_GET_RSP":{"st":1,"keys":[]}}', lambda client: client.kv_get(("a",))),
    "no count": ('{"KV_COUNT_RSP":{"st":1}}', lambda client: client.kv_count()),
    "count text": ('{"KV_COUNT_RSP":{"st":1,"cnt":"3"}}', lambda client: client.kv_count()),
    "names object": ('{"KV_KEYS_RSP":{"st":1,"keys":{}}}', lambda client: client.kv_keys()),
    "no token": ('{"SH_NEW_RSP":{"st":1}}', lambda client: client.sh_create_session()),
    "token text": ('{"SH_NEW_RSP":{"st":1,"tkn":"16204359010587816757"}}', lambda client: client.sh_create_session()),
    "token float": ('{"SH_NEW_RSP":{"st":1,"tkn":1.6e19}}', lambda client: client.sh_create_session()),
}


@pytest.mark.parametrize("case", LACKING)
async def test_an_answer_without_what_it_must_hold_is_an_error_of_ours(case: str) -> None:
    text, call = LACKING[case]
    async with scripted(answering(text)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        with pytest.raises((ConnectionLostError, ProtocolError)):
            await call(client)


async def test_no_answer_in_time_is_a_timeout_that_says_for_what() -> None:
    async with (
        scripted(answer_nothing) as uri,
        asyncio.timeout(30),
        NdbClient.connect(uri, request_timeout=0.05) as client,
    ):
        with pytest.raises(RequestTimeoutError, match=r"\(KV_ADD\) within 0\.05 s") as overdue:
            await client.kv_add({"a": 1})
    assert (overdue.value.command, overdue.value.timeout) == ("KV_ADD", 0.05)
    assert isinstance(overdue.value, TimeoutError)


async def test_a_late_answer_never_goes_to_a_later_request() -> None:
    late = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        first = await connection.recv()
        await late.wait()
        await connection.send(honest_answer(first))
        async for request in connection:
            await connection.send(honest_answer(request))

    async with (
        scripted(first_then_honest(script)) as uri,
        asyncio.timeout(30),
        NdbClient.connect(uri, request_timeout=0.1) as client,
    ):
        ends = await asyncio.gather(client.sh_create_session(), return_exceptions=True)
        assert isinstance(ends[0], RequestTimeoutError)
        late.set()
        await require_own_or_error(client, "b")


async def require_own_or_error(client: NdbClient, *names: str) -> None:
    """Read keys all at once; each read must end with its own value or with an error of our tree."""
    ends = await asyncio.gather(*(client.kv_get((name,)) for name in names), return_exceptions=True)
    for name, end in zip(names, ends, strict=True):
        assert isinstance(end, NdbError) or end == {name: own_value(name)}


async def test_an_answer_to_nothing_never_goes_to_a_later_request() -> None:
    stray = json.dumps({"KV_GET_RSP": {"st": 1, "keys": {"a": "another's"}}})

    async def script(connection: ServerConnection) -> None:
        send_in_one_write(connection, honest_answer(await connection.recv()), stray)
        async for request in connection:
            await connection.send(honest_answer(request))

    async with (
        scripted(first_then_honest(script)) as uri,
        asyncio.timeout(30),
        NdbClient.connect(uri, request_timeout=0.5) as client,
    ):
        await asyncio.gather(client.kv_set({"a": 1}), return_exceptions=True)
        await require_own_or_error(client, "a")
        await require_own_or_error(client, "b", "c")


async def test_answers_in_the_wrong_order_are_errors_where_their_names_tell() -> None:
    async def script(connection: ServerConnection) -> None:
        first, second = await connection.recv(), await connection.recv()
        send_in_one_write(connection, honest_answer(second), honest_answer(first))
        async for request in connection:
            await connection.send(honest_answer(request))

    async with (
        scripted(first_then_honest(script)) as uri,
        asyncio.timeout(30),
        NdbClient.connect(uri, request_timeout=0.5) as client,
    ):
        got, count = await asyncio.gather(client.kv_get(("a",)), client.kv_count(), return_exceptions=True)
    assert isinstance(got, NdbError) or got == {"a": own_value("a")}
    assert isinstance(count, NdbError) or count == 7


async def test_a_lost_answer_in_a_burst_shifts_nothing() -> None:
    async def lose_the_second_answer(connection: ServerConnection) -> None:
        number = 0
        async for request in connection:
            number += 1
            if number != 2:
                await connection.send(honest_answer(request))

    async with (
        scripted(first_then_honest(lose_the_second_answer)) as uri,
        asyncio.timeout(30),
        NdbClient.connect(uri, request_timeout=0.2) as client,
    ):
        await require_own_or_error(client, *(f"key{number}" for number in range(16)))
        await require_own_or_error(client, *(f"later{number}" for number in range(16)))


async def test_a_fragmented_answer_is_put_together() -> None:
    async def script(connection: ServerConnection) -> None:
        async for request in connection:
            answer = honest_answer(request)
            await connection.send(answer[start : start + 3] for start in range(0, len(answer), 3))

    async with scripted(script) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        assert await client.kv_get(("ä", "🎈")) == {"ä": own_value("ä"), "🎈": own_value("🎈")}
        answers = await asyncio.gather(*(client.kv_get((name,)) for name in "abc"))
        assert answers == [{name: own_value(name)} for name in "abc"]


async def test_a_ping_between_the_fragments_of_an_answer_does_no_harm() -> None:
    async def script(connection: ServerConnection) -> None:
        async for request in connection:
            answer = honest_answer(request).encode()
            connection.protocol.send_text(answer[:9], fin=False)
            connection.protocol.send_ping(b"1")
            connection.protocol.send_continuation(answer[9:], fin=True)
            connection.transport.write(b"".join(connection.protocol.data_to_send()))

    async with scripted(script) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        assert await client.kv_get(("a",)) == {"a": own_value("a")}


async def test_a_client_opens_again_after_its_connection_was_lost() -> None:
    async with scripted(first_then_honest(abort)) as uri, asyncio.timeout(30):
        client = await NdbClient.connect(uri)
        with pytest.raises(ConnectionLostError):
            await client.kv_add({"a": 1})
        assert await client.open(uri)
        assert await client.kv_get(("a",)) == {"a": own_value("a")}
        await client.close()


async def test_a_status_that_nobody_knows_is_a_refusal_that_shows_it() -> None:
    text = '{"KV_ADD_RSP":{"st":77,"m":"odd"}}'
    async with scripted(answering(text)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        with pytest.raises(NdbError, match=r"\(KV_ADD\) failed with status 77"):
            await client.kv_add({"a": 1})
