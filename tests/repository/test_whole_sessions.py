"""Sessions that tools read and create whole, without their models: what they do with each refusal."""

from __future__ import annotations

import pytest

from ndb_models import NdbClient
from ndb_models.errors import PayloadTooLargeError, ResponseError, UnsupportedError
from ndb_models.index.without_model import end_session
from ndb_models.protocol.statuses import Status
from ndb_models.sessions.whole_sessions import create_whole, peek, read_all_keys, read_timing
from ndb_models.types import ExpirySettings
from tests.interposed import InterposedClient

TKN = 16204359010587816757
KEYS = {"name": b'"billy"', "age": b"7"}
NEVER = ExpirySettings(0, False, False, False)


async def stored(client: NdbClient) -> int:
    assert await create_whole(client, TKN, NEVER, KEYS)
    return TKN


async def test_a_session_that_does_not_exist_has_no_keys_and_no_timing() -> None:
    client = InterposedClient()
    assert await read_timing(client, TKN) is None
    assert await read_all_keys(client, TKN) is None
    assert await peek(client, TKN, ("name",)) is None
    assert not await end_session(client, TKN)


async def test_a_session_that_ends_between_two_requests_has_no_keys() -> None:
    client = InterposedClient()
    tkn = await stored(client)
    client.before("SH_PEEK", lambda: client.sh_end(tkn))
    assert await read_all_keys(client, tkn) is None


@pytest.mark.parametrize("command", ["SH_KEYS", "SH_PEEK"])
async def test_a_refusal_of_another_kind_is_no_missing_session(command: str) -> None:
    client = InterposedClient()
    tkn = await stored(client)
    client.refuse(command, Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError) as refused:
        await read_all_keys(client, tkn)
    assert refused.value.status == Status.COMMAND_DISABLED


async def test_a_refused_look_at_the_timing_is_an_error() -> None:
    client = InterposedClient()
    tkn = await stored(client)
    client.refuse("SH_INFO", Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError):
        await read_timing(client, tkn)


async def test_a_nemesisdb_cannot_create_a_session_under_its_token(nemesisdb_client: NdbClient) -> None:
    with pytest.raises(UnsupportedError, match="SH_NEW_SET"):
        await create_whole(nemesisdb_client, TKN, NEVER, KEYS)


async def test_a_session_larger_than_a_frame_is_created_in_parts() -> None:
    client = InterposedClient(max_payload=400)
    keys = {f"key{number}": b'"%s"' % (b"x" * 40) for number in range(20)}
    assert await create_whole(client, TKN, NEVER, keys)
    assert client.asked.count("SH_SET") > 1
    assert await read_all_keys(client, TKN) == keys


async def test_a_session_whose_later_part_is_refused_is_ended_again() -> None:
    client = InterposedClient(max_payload=400)
    client.refuse("SH_SET", None, Status.VALUE_SIZE)
    with pytest.raises(ResponseError):
        await create_whole(client, TKN, NEVER, {f"key{number}": b'"%s"' % (b"x" * 40) for number in range(20)})
    assert await client.sh_session_exists([TKN]) == []


async def test_a_key_larger_than_a_frame_creates_no_session() -> None:
    client = InterposedClient(max_payload=400)
    with pytest.raises(PayloadTooLargeError):
        await create_whole(client, TKN, NEVER, {"key": b'"%s"' % (b"x" * 400)})
    assert client.asked == []


async def test_a_store_without_room_is_not_taken_for_a_session_that_exists() -> None:
    client = InterposedClient()
    client.refuse("SH_NEW_SET", Status.SESSION_NEW_FAIL)
    with pytest.raises(ResponseError) as refused:
        await create_whole(client, TKN, NEVER, KEYS)
    assert refused.value.status == Status.SESSION_NEW_FAIL


async def test_a_session_of_no_model_is_ended_once() -> None:
    """Another client wrote it: it has no reserved key, and no entries."""
    client = InterposedClient()
    tkn = await stored(client)
    assert await end_session(client, tkn)
    assert not await end_session(client, tkn)


async def test_a_session_that_someone_else_ends_first_was_not_ended_here() -> None:
    client = InterposedClient()
    tkn = await stored(client)
    client.refuse("SH_END", Status.SESSION_NOT_EXIST)
    assert not await end_session(client, tkn)


async def test_an_end_that_is_refused_is_an_error() -> None:
    client = InterposedClient()
    tkn = await stored(client)
    client.refuse("SH_END", Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError):
        await end_session(client, tkn)
    assert await client.sh_session_exists([tkn]) == [tkn]
