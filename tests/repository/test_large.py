"""Sessions that are larger than a frame: written in several, and never left half written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ndb_models import (
    IncompleteSessionError,
    NdbClient,
    PayloadTooLargeError,
    Repository,
    ResponseError,
    SessionGoneError,
    SessionModel,
    WrongSchemaError,
)
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from tests.repository.models import User
from tests.repository.recording import RecordingEngine
from tests.stores.watched_store import WatchedStore
from tests.zoo import Open

MAX_PAYLOAD = 1024
"""NemesisDB's own, in its default configuration."""


class Large(SessionModel):
    a: str = ""
    b: str = ""
    c: list[int] = []
    d: str = ""
    e: str = ""


def large() -> Large:
    return Large(a="é" * 400, b="b" * 900, c=list(range(200)), d='"' * 400, e="e")


class FillingStore(WatchedStore):
    """Refuses to write after so many writes."""

    def __init__(self) -> None:
        super().__init__()
        self.room = 1_000_000

    async def before(self, verb: str, *_args: Any) -> None:
        if verb == "set":
            self.room -= 1
            if self.room < 0:
                raise OSError("no space left on device")


@pytest.fixture
def store() -> FillingStore:
    return FillingStore()


@pytest.fixture
def engine(store: FillingStore) -> RecordingEngine:
    return RecordingEngine(store)


@pytest.fixture
async def uri_of_narrow(engine: RecordingEngine) -> AsyncIterator[str]:
    """Where there is a server that takes small frames only."""
    async with NdbServer(engine, ServerOptions(port=0, max_payload=MAX_PAYLOAD)) as server:
        yield server.uri


@pytest.fixture
async def narrow(uri_of_narrow: str) -> AsyncIterator[NdbClient]:
    """A client that knows what that server takes."""
    async with NdbClient.connect(uri_of_narrow, max_payload=MAX_PAYLOAD) as client:
        yield client


async def test_a_large_session_is_stored_in_frames_that_fit_and_comes_back_equal(
    narrow: NdbClient, engine: RecordingEngine
) -> None:
    repo = Repository(narrow, Large)
    saved = await repo.save(large())
    frames = list(engine.frames)
    assert max(len(frame) for frame in frames) <= MAX_PAYLOAD
    parts = [body["keys"] for name, body in engine.requests() if name == "SH_SET"]
    assert len(parts) > 1
    assert await repo.get(saved.tkn) == large()
    # The first write says whose the session will be, the last one that it is whole.
    assert next(iter(parts[0])) == RESERVED_KEY
    assert "tkn" not in parts[0][RESERVED_KEY]
    assert [name for part in parts[1:-1] for name in part if name == RESERVED_KEY] == []
    assert next(reversed(parts[-1])) == RESERVED_KEY
    assert parts[-1][RESERVED_KEY]["tkn"] == saved.tkn
    assert [name for part in parts for name in part if name != RESERVED_KEY] == list("abcde")


async def test_a_session_that_fits_is_written_in_one(narrow: NdbClient, engine: RecordingEngine) -> None:
    saved = await Repository(narrow, Large).save(Large(a="a" * 700))
    ((_, body),) = [(name, body) for name, body in engine.requests() if name == "SH_SET"]
    assert body["keys"][RESERVED_KEY]["tkn"] == saved.tkn


async def test_a_session_that_fits_with_room_to_spare_is_created_by_one_request(
    narrow: NdbClient, engine: RecordingEngine
) -> None:
    saved = await Repository(narrow, Large).save(Large(a="a" * 300))
    ((name, body),) = engine.requests()
    assert name == "SH_NEW_SET"
    assert body["tkn"] == body["keys"][RESERVED_KEY]["tkn"] == saved.tkn


@pytest.mark.parametrize("size", range(860, 960))
async def test_no_frame_is_too_large_whatever_the_sizes(narrow: NdbClient, engine: RecordingEngine, size: int) -> None:
    repo = Repository(narrow, Large)
    model = Large(a="a" * size, b="b" * (MAX_PAYLOAD - size), e="é" * (size // 2))
    saved = await repo.save(model)
    assert await repo.get(saved.tkn) == model
    assert max(len(frame) for frame in engine.frames) <= MAX_PAYLOAD


async def test_a_large_change_is_split_and_leaves_the_reserved_key_alone(
    narrow: NdbClient, engine: RecordingEngine
) -> None:
    repo = Repository(narrow, Large)
    saved = await repo.save(Large())
    engine.frames.clear()
    async with repo.edit(saved.tkn) as edited:
        edited.a, edited.b, edited.c = large().a, large().b, large().c
    assert max(len(frame) for frame in engine.frames) <= MAX_PAYLOAD
    parts = [body["keys"] for name, body in engine.requests() if name == "SH_CHANGE"]
    assert [list(part) for part in parts] == [["a"], ["b"], ["c"]]
    assert await repo.get(saved.tkn) == edited


@pytest.mark.parametrize("size", [1000, 5000])
async def test_one_field_that_is_too_large_is_refused_by_name_before_anything_is_sent(
    narrow: NdbClient, engine: RecordingEngine, size: int
) -> None:
    repo = Repository(narrow, Large)
    with pytest.raises(PayloadTooLargeError, match=r"Large\.d") as caught:
        await repo.save(Large(a="a" * 900, d="canary" * (size // 6), e="e" * 900))
    assert (caught.value.limit, [name for name, _ in caught.value.largest]) == (MAX_PAYLOAD, ["d"])
    assert caught.value.size > MAX_PAYLOAD
    assert "canary" not in str(caught.value)
    assert engine.commands() == []


async def test_one_changed_field_that_is_too_large_is_refused_and_nothing_is_written(
    narrow: NdbClient, engine: RecordingEngine
) -> None:
    repo = Repository(narrow, Large)
    saved = await repo.save(Large())
    engine.commands()
    saved.a, saved.d = "a" * 900, "d" * 2000
    with pytest.raises(PayloadTooLargeError, match=r"Large\.d"):
        await repo.save(saved)
    assert engine.commands() == []
    assert await repo.get(saved.tkn) == Large()


async def test_a_creation_is_incomplete_to_others_while_it_lasts(
    narrow: NdbClient, uri_of_narrow: str, engine: RecordingEngine, store: FillingStore
) -> None:
    async with NdbClient.connect(uri_of_narrow) as other:
        engine.hold("SH_SET", carried_out=True)
        saving = asyncio.ensure_future(Repository(narrow, Large).save(large()))
        for _ in range(3):
            await engine.waiting.wait()
            (record,) = await store.export()
            with pytest.raises(IncompleteSessionError):
                await Repository(other, Large).get(record.token)
            with pytest.raises(WrongSchemaError):
                await Repository(other, User).get(record.token)
            engine.release()
            engine.hold("SH_SET", carried_out=True)
        engine.release()
        user = await saving
        assert await Repository(other, Large).get(user.tkn) == user


@pytest.mark.parametrize("room", [0, 1, 2, 3])
async def test_a_creation_that_fails_half_way_leaves_nothing_behind(
    narrow: NdbClient, store: FillingStore, room: int
) -> None:
    store.room = room
    repo, model = Repository(narrow, Large), large()
    with pytest.raises(ResponseError):
        await repo.save(model)
    assert not model.is_saved
    assert await narrow.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}
    store.room = 100
    await repo.save(model)
    assert await repo.get(model.tkn) == large()


async def test_a_creation_that_is_cancelled_half_way_leaves_nothing_behind(
    narrow: NdbClient, engine: RecordingEngine
) -> None:
    engine.hold("SH_SET", carried_out=True)
    saving = asyncio.ensure_future(Repository(narrow, Large).save(large()))
    await engine.waiting.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    engine.release()
    # Ending in the background goes on behind this question, and before the next.
    assert (await narrow.sh_info_all(), await narrow.sh_info_all())[1]["totalSessions"] == 0


async def test_a_large_creation_that_is_deleted_half_way_stays_deleted(
    narrow: NdbClient, engine: RecordingEngine, store: FillingStore
) -> None:
    engine.hold("SH_SET", carried_out=True)
    saving = asyncio.ensure_future(Repository(narrow, Large).save(large()))
    await engine.waiting.wait()
    (record,) = await store.export()
    await store.end(record.token)
    engine.release()
    with pytest.raises(SessionGoneError):
        await saving
    assert (await narrow.sh_info_all())["totalSessions"] == 0


async def test_a_large_session_can_be_rotated(narrow: NdbClient) -> None:
    repo = Repository(narrow, Large)
    model = await repo.rotate(await repo.save(large()))
    assert await repo.get(model.tkn) == large()


async def test_a_session_of_many_keys_comes_back_equal(narrow: NdbClient) -> None:
    """Asking for so many names takes more than a frame, too."""
    repo = Repository(narrow, Open)
    model = Open.model_validate({f"a rather long name of a key, {number}": number for number in range(100)})
    await repo.save(model)
    assert await repo.get(model.tkn) == model
