"""Commands that a NemesisDB does not have: their methods, and that a client learns what each server knows."""

from __future__ import annotations

import pytest

from ndb_models import InvalidArgumentError, NdbClient, Repository, ResponseError, UnsupportedError
from ndb_models.client.sessions import LONGEST_DURATION
from ndb_models.protocol.statuses import Status
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.repository.models import User
from tests.repository.recording import RecordingEngine


async def test_peeking_extends_nothing_and_expiring_starts_the_time(client: NdbClient) -> None:
    session = await client.sh_create_session(100, True, True, True)
    await client.sh_set({"a": 1, "b": [2]}, session.tkn)
    assert await client.sh_peek(("b", "nothing"), session.tkn) == {"b": [2]}
    assert await client.sh_expire(session.tkn, 1000, True, False, True)
    info = await client.sh_info(session.tkn)
    assert info["expiry"] == {
        "duration": 1000,
        "deleteSession": True,
        "extendOnSetAdd": False,
        "extendOnGet": True,
        "remaining": info["expiry"]["remaining"],  # type: ignore[index,call-overload]  # an object  # pyright: ignore
    }
    assert await client.sh_expire(session.tkn)
    assert (await client.sh_info(session.tkn))["expires"] is False


async def test_what_is_called_wrongly_is_refused(client: NdbClient) -> None:
    with pytest.raises(ResponseError) as caught:
        await client.sh_expire(5, 60)
    assert caught.value.status == Status.SESSION_NOT_EXIST
    with pytest.raises(ResponseError):
        await client.sh_peek(["a"], 5)
    with pytest.raises(InvalidArgumentError, match="negative"):
        await client.sh_expire(5, -1)
    with pytest.raises(InvalidArgumentError, match="flags"):
        await client.sh_expire(5, 0, True)
    with pytest.raises(InvalidArgumentError, match="not a str"):
        await client.sh_peek("a", 5)


@pytest.mark.parametrize("duration", [LONGEST_DURATION + 1, 2**63, 2**64 - 1])
async def test_our_engines_keep_the_longest_durations(client: NdbClient, duration: int) -> None:
    session = await client.sh_create_session(duration, True)
    expiry = (await client.sh_info(session.tkn))["expiry"]
    assert isinstance(expiry, dict)
    assert expiry["duration"] == duration


async def test_a_server_is_asked_once_for_each_connection_what_it_knows() -> None:
    engine = RecordingEngine(MemoryStore())
    engine.like_nemesisdb = True
    server = NdbServer(engine, ServerOptions(port=0))
    async with server, NdbClient.connect(server.uri) as client:
        repo = Repository(client, User)
        users = [await repo.save(User(username="b")) for _ in range(2)]
        assert engine.commands() == ["SH_NEW_SET", "SH_NEW", "SH_SET", "SH_NEW", "SH_SET"]
        for _ in range(2):
            with pytest.raises(UnsupportedError, match="SH_PEEK"):
                await client.sh_peek(["a"], users[0].tkn)
            with pytest.raises(UnsupportedError, match="SH_EXPIRE"):
                await client.sh_expire(users[0].tkn, 60)
            with pytest.raises(UnsupportedError, match="SH_CHANGE"):
                await client.sh_change({}, users[0].tkn)
            with pytest.raises(UnsupportedError, match="SH_LIST"):
                await client.sh_list("a")
        # The raw methods ask whenever they are called, since they say no more than what was answered.
        assert set(engine.commands()) == {"SH_PEEK", "SH_EXPIRE", "SH_CHANGE", "SH_LIST"}


async def test_sessions_are_listed_with_one_of_their_keys(client: NdbClient) -> None:
    tkns = {(await client.sh_create_session()).tkn: number for number in range(5)}
    for tkn, number in tkns.items():
        await client.sh_set({"number": [number, "\u20ac"]}, tkn)
    page = await client.sh_list("number", count=2)
    found = [page]
    while page.next is not None:
        page = await client.sh_list("number", page.next, 2)
        found.append(page)
    values = {tkn: value for page in found for tkn, value in page.values.items()}
    assert values == {tkn: [number, "\u20ac"] for tkn, number in tkns.items()}
    assert not any(str(tkn) in repr(page) for tkn in tkns for page in found)
    assert (await client.sh_list("nothing")).values == {}
    with pytest.raises(ResponseError) as caught:
        await client.sh_list("number", count=0)
    assert caught.value.status == Status.VALUE_SIZE


async def test_keys_are_compared_and_set(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    long = "x" * 100
    await client.sh_set({"cart": {"apple": 1}, "text": long, "old": 1}, tkn)
    cart, text = '{"apple":1}', f'"{long}"'
    assert not await client.sh_change({"cart": {}}, tkn, texts={"cart": "{}", "text": text})
    assert not await client.sh_change({"cart": {}}, tkn, texts={"text": text + " "})
    assert not await client.sh_change({"cart": {}}, tkn, absent=["old"])
    assert await client.sh_change({"new": 2}, tkn, remove=["old"], texts={"cart": cart, "text": text}, absent=["new"])
    assert await client.sh_get(["cart", "old", "new"], tkn) == {"cart": {"apple": 1}, "new": 2}
    with pytest.raises(InvalidArgumentError, match="not a str"):
        await client.sh_change({}, tkn, remove="old")


async def test_it_is_learnt_anew_when_another_server_stands_there() -> None:
    engine = RecordingEngine(MemoryStore())
    engine.like_nemesisdb = True
    first = NdbServer(engine, ServerOptions(port=0))
    async with first:
        client = await NdbClient.connect(first.uri)
        port = int(first.uri.rpartition(":")[2].strip("/"))
        repo = Repository(client, User)
        with pytest.raises(UnsupportedError):
            await repo.get((await repo.save(User(username="b"))).tkn, extend=False)
    engine.like_nemesisdb = False
    try:
        async with NdbServer(engine, ServerOptions(port=port)):
            engine.commands()
            user = await repo.save(User(username="b"))
            assert engine.commands() == ["SH_NEW_SET"]
            assert await repo.get(user.tkn, extend=False) == user
            assert engine.commands() == ["SH_PEEK"]
    finally:
        await client.close()


@pytest.mark.parametrize("duration", [LONGEST_DURATION + 1, 10**10, 2**64 - 1])
async def test_a_nemesisdb_is_told_no_longer_duration_than_it_can_keep(duration: int) -> None:
    engine = RecordingEngine(MemoryStore())
    engine.like_nemesisdb = True
    server = NdbServer(engine, ServerOptions(port=0))
    async with server, NdbClient.connect(server.uri) as client:
        for given, told in ((duration, LONGEST_DURATION), (LONGEST_DURATION, LONGEST_DURATION), (60, 60)):
            session = await client.sh_create_session(given, True)
            expiry = (await client.sh_info(session.tkn))["expiry"]
            assert isinstance(expiry, dict)
            assert expiry["duration"] == told
        assert engine.commands().count("SH_PEEK") == 1
