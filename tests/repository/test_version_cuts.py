"""An upgrade that is cut off between any two requests: no version ever reads what is neither old nor new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ndb_models import (
    JsonValue,
    NdbClient,
    NewerVersionError,
    PayloadTooLargeError,
    Repository,
    ResponseError,
    SessionModel,
)
from ndb_models.schema.envelope import RESERVED_KEY, read_envelope
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.sessions.reading import Read
from ndb_models.sessions.upgrade_plan import plan_upgrade
from tests.reloading import in_place_of
from tests.repository.recording import RecordingEngine
from tests.repository.session_world import EngineClient
from tests.stores.watched_store import WatchedStore

MAX_PAYLOAD = 1024


class Doc1(SessionModel, schema="doc", extra="allow"):
    title: str
    body: str = ""
    tags: str = ""
    note: str = ""


class Doc2(SessionModel, schema="doc", version=2, extra="allow"):
    """`title` is called `name`, `tags` are a list, `body` is written backwards, and there is no `note`."""

    name: str
    body: str = ""
    tags: list[str] = []


@in_place_of(Doc2)
class Closed2(SessionModel, schema="doc", version=2):
    """The same, for whom other keys do not count."""

    name: str
    body: str = ""
    tags: list[str] = []


class Doc3(SessionModel, schema="doc", version=3, extra="allow"):
    """`body` is called `text`."""

    name: str
    text: str = ""
    tags: list[str] = []


def second(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    match keys:
        case {"title": str(title), "body": str(body), "tags": str(tags)}:
            keys.update(name=title, body=body[::-1], tags=[*tags.split()])
            del keys["title"], keys["note"]
    assert sorted(keys) == ["body", "name", "same", "tags"]
    return keys


def third(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    assert sorted(keys) == ["body", "name", "same", "tags"]
    keys["text"] = keys.pop("body")
    return keys


for upgraded in (Doc2, Closed2, Doc3):
    upgraded.upgrade(1)(second)
Doc3.upgrade(2)(third)


class CutError(OSError):
    """The connection is cut here."""


class CuttingStore(WatchedStore):
    """Carries out so many writes, and then fails."""

    def __init__(self) -> None:
        super().__init__()
        self.room = 1_000_000

    async def before(self, verb: str, *_args: Any) -> None:
        if verb in ("set", "remove", "change"):
            self.room -= 1
            if self.room < 0:
                raise CutError


@pytest.fixture
def store() -> CuttingStore:
    return CuttingStore()


@pytest.fixture
def engine(store: CuttingStore) -> RecordingEngine:
    return RecordingEngine(store)


@pytest.fixture
async def narrow(engine: RecordingEngine) -> AsyncIterator[NdbClient]:
    """A client that knows that the server takes small frames only."""
    server = NdbServer(engine, ServerOptions(port=0, max_payload=MAX_PAYLOAD))
    async with server, NdbClient.connect(server.uri, max_payload=MAX_PAYLOAD) as client:
        yield client


def first(size: int) -> Doc1:
    return Doc1.model_validate(
        {
            "title": "t" * size,
            "body": "abc" * (size // 3),
            "tags": "x y " * (size // 4),
            "note": "n",
            "same": "s" * size,
        }
    )


def upgraded_from(doc: Doc1) -> dict[str, Any]:
    return {"name": doc.title, "body": doc.body[::-1], "tags": doc.tags.split(), "same": "s" * len(doc.title)}


SIZES = {"one frame": 60, "several frames": 300}


async def cut_after(
    client: NdbClient, store: CuttingStore, doc: Doc1, room: int, model: Any = Doc2
) -> tuple[int, bool]:
    """Write an upgrade and a change, cut off after so many writes; return the token, and whether it came through."""
    tkn = (await Repository(client, Doc1).create(doc)).tkn
    repo: Repository[Any] = Repository(client, model)
    user = await repo.get(tkn)
    user.name = "changed"
    store.room = room
    try:
        await repo.save(user)
    except ResponseError:
        return tkn, False
    finally:
        store.room = 1_000_000
    return tkn, True


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", [Doc2, Closed2])
async def test_wherever_it_is_cut_each_version_reads_the_old_or_the_new_or_refuses(
    narrow: NdbClient, store: CuttingStore, size: str, model: type[SessionModel]
) -> None:
    doc = first(SIZES[size])
    old, new = upgraded_from(doc), {**upgraded_from(doc), "name": "changed"}
    if model is Closed2:
        del old["same"], new["same"]
    outcomes: list[str] = []
    for room in range(100):
        tkn, done = await cut_after(narrow, store, doc, room, model)
        read = (await Repository(narrow, model).get(tkn)).model_dump()
        assert read in (old, new)
        outcomes.append("new" if read == new else "old")
        try:
            assert await Repository(narrow, Doc1).get(tkn) == doc
            assert read == old
        except NewerVersionError:
            assert read == new
        third_read = await Repository(narrow, Doc3).get(tkn)
        assert third_read.model_dump() == {
            "name": read["name"], "text": read["body"], "tags": read["tags"], "same": "s" * len(doc.title)
        }  # fmt: skip
        await finished_by_the_next_write(narrow, model, tkn, read)
        if done:
            break
    else:
        raise AssertionError("it was always cut")
    # Before the commit all is old, from it on all is new: there is one moment.
    assert outcomes == sorted(outcomes, reverse=True)
    assert outcomes[0] == "old"
    assert outcomes[-2:] == ["new", "new"]
    assert len(outcomes) == (3 if size == "one frame" else 8)


async def finished_by_the_next_write(client: NdbClient, model: type[SessionModel], tkn: int, read: Any) -> None:
    repo: Repository[Any] = Repository(client, model)
    user = await repo.get(tkn)
    user.name = "again"
    await repo.save(user)
    assert (await repo.get(tkn)).model_dump() == {**read, "name": "again"}
    left = sorted(name for name in await client.sh_keys(tkn) if not name.startswith(f"{RESERVED_KEY}:"))
    leftover = {"note", "title"} if model is Closed2 else set()
    assert set(left) - leftover == {"__ndb__", "body", "name", "same", "tags"}


async def test_what_was_cut_short_is_finished_or_cut_again_at_any_place(narrow: NdbClient, store: CuttingStore) -> None:
    doc = first(300)
    new = {**upgraded_from(doc), "name": "changed"}
    for room in range(3, 7):
        for again in range(12):
            tkn, done = await cut_after(narrow, store, doc, room)
            assert not done
            if (await Repository(narrow, Doc2).get(tkn)).model_dump() != new:
                break
            store.room = again
            try:
                await Repository(narrow, Doc3, rewrite=True).get(tkn)
                done = True
            except ResponseError:
                pass
            store.room = 1_000_000
            read = (await Repository(narrow, Doc3).get(tkn)).model_dump()
            assert read == {"name": "changed", "text": new["body"], "tags": new["tags"], "same": new["same"]}
            try:
                assert (await Repository(narrow, Doc2).get(tkn)).model_dump() == new
                assert not done
            except NewerVersionError:
                pass
            if done:
                break


async def test_no_frame_of_an_upgrade_is_too_large(narrow: NdbClient, engine: RecordingEngine) -> None:
    for size in range(100, 330, 7):
        doc = first(size)
        tkn = (await Repository(narrow, Doc1).create(doc)).tkn
        await Repository(narrow, Doc2, rewrite=True).get(tkn)
        assert (await Repository(narrow, Doc2).get(tkn)).model_dump() == upgraded_from(doc)
    assert max(map(len, engine.frames)) <= MAX_PAYLOAD


async def test_a_key_that_an_upgrade_makes_too_large_is_named_before_anything_is_sent(
    narrow: NdbClient, engine: RecordingEngine
) -> None:
    @in_place_of(Doc2)
    class Wide2(SessionModel, schema="doc", version=2):
        text: str

    @Wide2.upgrade(1)
    def joined(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"text": "canary" * 300}

    tkn = (await Repository(narrow, Doc1).save(first(60))).tkn
    repo = Repository(narrow, Wide2)
    user = await repo.get(tkn)
    engine.commands()
    with pytest.raises(PayloadTooLargeError, match=r"Wide2\.text") as caught:
        await repo.save(user)
    assert "canary" not in str(caught.value)
    assert set(engine.commands()) <= {"SH_KEYS", "SH_PEEK"}
    assert await Repository(narrow, Doc1).get(tkn) == first(60)


@pytest.mark.parametrize("command", ["SH_KEYS", "SH_PEEK", "SH_SET", "SH_CHANGE", "SH_RMV"])
@pytest.mark.parametrize("carried_out", [False, True])
async def test_cancelled_anywhere_it_is_old_or_new_and_can_be_saved_again(
    narrow: NdbClient, engine: RecordingEngine, command: str, carried_out: bool
) -> None:
    doc = first(300)
    tkn = (await Repository(narrow, Doc1).create(doc)).tkn
    repo = Repository(narrow, Doc2)
    user = await repo.get(tkn)
    user.name = "changed"
    engine.hold(command, carried_out=carried_out)
    saving = asyncio.ensure_future(repo.save(user))
    await engine.waiting.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    engine.release()
    new = {**upgraded_from(doc), "name": "changed"}
    assert (await repo.get(tkn)).model_dump() in (upgraded_from(doc), new)
    await repo.save(user)
    assert (await repo.get(tkn)).model_dump() == new


async def test_an_upgrade_that_comes_between_the_names_and_the_keys_is_seen(
    narrow: NdbClient, engine: RecordingEngine
) -> None:
    doc = first(60)
    tkn = (await Repository(narrow, Doc1).create(doc)).tkn
    engine.hold("SH_KEYS", carried_out=True)
    reading = asyncio.ensure_future(Repository(narrow, Doc2).get(tkn))
    await engine.waiting.wait()
    engine.release()
    await upgrade_at_once(engine, tkn)
    assert (await reading).model_dump() == upgraded_from(doc)


async def upgrade_at_once(engine: RecordingEngine, tkn: int) -> None:
    """Write an upgrade as another process does, whatever is held."""
    await Repository(EngineClient(engine), Doc2, rewrite=True).get(tkn)


async def test_an_upgrade_that_comes_while_a_large_session_is_read_in_parts_is_seen(
    narrow: NdbClient, engine: RecordingEngine
) -> None:
    repo = Repository(narrow, Doc1)
    doc = Doc1.model_validate({"title": "t", **{f"a rather long name {number}": 1 for number in range(80)}})
    tkn = (await repo.save(doc)).tkn
    engine.hold("SH_GET", carried_out=True)
    reading = asyncio.ensure_future(repo.get(tkn))
    await engine.waiting.wait()
    engine.release()
    reserved = b'{"__ndb__":{"schema":"doc","version":2,"tkn":%d}}' % tkn
    await engine.handle(b'{"SH_SET":{"tkn":%d,"keys":%s}}' % (tkn, reserved))
    with pytest.raises(NewerVersionError):
        await reading


def test_what_others_are_staging_is_left_to_them() -> None:
    reserved = b'{"schema":"doc","version":1,"tkn":5}'
    whole = Read(b'{"a":1,"__ndb__:theirs:a":2}', read_envelope(reserved), reserved)
    plan = plan_upgrade("Doc", whole, {"b": b"3"}, 2, None)
    assert [sorted(part) for part in plan.writes] == [["__ndb__", "a", "b"]]
    assert plan.removals == ["a"]
