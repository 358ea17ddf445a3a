"""A verb that is cut short at any of its requests: cancelled, disconnected, refused or killed with its process.

With lookups and without, on this package's engine and on a NemesisDB. With NDB_INTERLEAVINGS set, all are tried at
every request, otherwise at every few.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

import pytest

from ndb_models import (
    DuplicateError,
    Expiry,
    JsonValue,
    Lookup,
    NdbClient,
    NdbError,
    NotSavedError,
    Repository,
    SessionModel,
)
from ndb_models.index.entries import PENDING_SECONDS
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.lookup.faults import Fault, FaultyClient, FaultyTransport
from tests.nemesisdb import NemesisDbEngine
from tests.repository.session_world import EngineClient

pytestmark = pytest.mark.slow

# All faults at every request, where otherwise they are at every few.
THOROUGH = os.environ.get("NDB_INTERLEAVINGS")

HOUR = Expiry(idle=3600)


class Fields(SessionModel, schema="cut-fields"):
    """What the models of these tests have."""

    email: str | None = None
    user_id: int | None = None
    note: str = ""


class Plain(Fields, schema="cut-plain", expiry=HOUR):
    """Is not looked up."""


class Found(Fields, schema="cut-found", expiry=HOUR):
    """Is looked up, and nothing of it is unique."""

    email: Annotated[str | None, Lookup()] = None
    user_id: Annotated[int | None, Lookup()] = None


class Unique(Fields, schema="cut-unique", expiry=HOUR):
    """Has a unique value."""

    email: Annotated[str | None, Lookup(unique=True)] = None
    user_id: Annotated[int | None, Lookup()] = None


class Plain2(Fields, schema="cut-plain", version=2, expiry=HOUR):
    """The next version of `Plain`."""


class Found2(Fields, schema="cut-found", version=2, expiry=HOUR):
    """The next version of `Found`."""

    email: Annotated[str | None, Lookup()] = None
    user_id: Annotated[int | None, Lookup()] = None


class Unique2(Fields, schema="cut-unique", version=2, expiry=HOUR):
    """The next version of `Unique`."""

    email: Annotated[str | None, Lookup(unique=True)] = None
    user_id: Annotated[int | None, Lookup()] = None


NEXT: dict[type[Fields], type[Fields]] = {Plain: Plain2, Found: Found2, Unique: Unique2}
EARLIER = {later: earlier for earlier, later in NEXT.items()}


class Way(NamedTuple):
    """How the server is reached: which one it is, and the largest frame that it takes."""

    name: str
    nemesisdb: bool
    limit: int | None


OURS = Way("ours", False, None)
IN_PARTS = Way("nemesisdb in parts", True, 1024)


def renumbered(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {**keys, "user_id": 8, "email": "b", "note": "upgraded"}


for upgraded in NEXT.values():
    upgraded.upgrade(1)(renumbered)

BEFORE: dict[str, Any] = {"email": "a", "user_id": 7, "note": "x" * 700}
AFTER: dict[str, Any] = {"email": "b", "user_id": 8, "note": "y" * 700}
UPGRADED = {**AFTER, "note": "upgraded"}

Doing: TypeAlias = Callable[[Repository[Fields], Fields], Awaitable[object]]
"""What is done with a session that was saved as `BEFORE`, and read by the repository that does it."""


def new(session: Fields) -> Fields:
    return type(session)(**AFTER)


def changed(session: Fields, **changes: Any) -> Fields:
    for name, value in (changes or AFTER).items():
        setattr(session, name, value)
    return session


async def edit(repo: Repository[Fields], session: Fields) -> None:
    async with repo.edit(session.tkn) as edited:
        changed(edited)


async def rotate_twice(repo: Repository[Fields], session: Fields) -> None:
    await repo.rotate(session)
    await repo.rotate(session)


async def end_all(repo: Repository[Fields], session: Fields) -> None:
    await repo.end_all_for(user_id=session.user_id)  # type: ignore[ndb-field]  # its subclasses are


CREATING: dict[str, Doing] = {
    "create": lambda repo, session: repo.create(new(session)),
    "save new": lambda repo, session: repo.save(new(session)),
    "create with an expiry": lambda repo, session: repo.create(new(session), expiry=Expiry(idle=60, absolute=120)),
}
SAVING: dict[str, Doing] = {
    "save changed": lambda repo, session: repo.save(changed(session)),
    "save another note": lambda repo, session: repo.save(changed(session, note="n" * 900)),
    "save moved": lambda repo, session: repo.save(changed(session, email="b")),
    "save without": lambda repo, session: repo.save(changed(session, email=None)),
}
UPDATING: dict[str, Doing] = {"update": lambda repo, session: repo.update(session.tkn, **AFTER), "edit": edit}
ROTATING: dict[str, Doing] = {
    "rotate": lambda repo, session: repo.rotate(session),
    "rotate twice": rotate_twice,
    "expire": lambda repo, session: repo.expire(session, Expiry(idle=60)),
    "expire by token": lambda repo, session: repo.expire(session.tkn, None),
}
ENDING: dict[str, Doing] = {"delete": lambda repo, session: repo.delete(session.tkn), "end all": end_all}
READING: dict[str, Doing] = {
    "get": lambda repo, session: repo.get(session.tkn),
    "touch": lambda repo, session: repo.touch(session.tkn),
    "refresh": lambda repo, session: repo.refresh(session),
    "attach": lambda repo, session: repo.attach(type(session)(), session.tkn),
}
LOOKING: dict[str, Doing] = {
    "find": lambda repo, session: repo.find(user_id=session.user_id),  # type: ignore[ndb-field]  # its subclasses are
    "reindex": lambda repo, session: repo.reindex([session.tkn]),
    "reindex alone": lambda repo, session: repo.reindex(exclusive=True),
}
UPGRADING: dict[str, Doing] = {
    "get that upgrades": lambda repo, session: repo.get(session.tkn),
    "rotate an upgraded one": lambda repo, session: repo.rotate(session),
}


class Scene:
    """A session, and one who does something with it on a connection that has a fault."""

    def __init__(self, model: type[Fields], fault: Fault, number: int, way: Way) -> None:
        self.model = model
        self.fault = fault
        self.clock = VirtualClock()
        self.store = MemoryStore(clock=self.clock)
        engine = NemesisDbEngine(self.store)
        engine.like_nemesisdb = way.nemesisdb
        self.transport = FaultyTransport(engine, fault, number)
        self.repo = self.repository(FaultyClient(self.transport, way.limit), rewrite=True)
        unharmed = without_faults(engine) if way.nemesisdb else EngineClient(engine)
        self.witness = self.repository(unharmed)
        self.older_model = EARLIER.get(model, model)
        self.older = self.repository(unharmed, self.older_model)
        self.old = 0

    def repository(
        self, client: NdbClient, model: type[Fields] | None = None, *, rewrite: bool = False
    ) -> Repository[Fields]:
        return Repository(client, model or self.model, clock=self.clock, rewrite=rewrite)

    async def play(self, doing: Doing) -> tuple[Fields, object]:
        """Let something be done with a session; return its model, and what came of it."""
        saved = await self.older.save(self.older_model(**BEFORE))
        self.old = saved.tkn
        session = await self.witness.get(saved.tkn)
        task: asyncio.Task[object] = asyncio.ensure_future(_awaited(doing(self.repo, session)))
        self.transport.victim = task
        (result,) = await asyncio.gather(task, return_exceptions=True)
        await self.transport.settled()
        if isinstance(result, BaseException) and not isinstance(result, (NdbError, asyncio.CancelledError)):
            raise result
        return session, result

    @property
    def is_dead(self) -> bool:
        """Whether the process has died."""
        return self.transport.struck is not None and self.fault.is_death

    async def living(self) -> dict[int, dict[str, Any]]:
        """Return what is stored of the sessions that can be read."""
        found: dict[int, dict[str, Any]] = {}
        for record in await self.store.export():
            reserved = json.loads(record.keys.get("__ndb__", b"{}"))
            if reserved.get("tkn") == record.token:
                keys = {name: json.loads(text) for name, text in record.keys.items() if not name.startswith("__ndb__")}
                found[record.token] = keys
        return found

    async def stored(self) -> dict[str, Any]:
        """Return what is stored of the one session that there was, which is the only one that lives."""
        ((tkn, keys),) = (await self.living()).items()
        assert tkn == self.old
        return keys

    def settle(self) -> None:
        """Let claims of a verb that was cut short run out. Who is cancelled leaves none."""
        if not self.fault.is_cancelling:
            self.clock.move(PENDING_SECONDS)

    async def check_nothing_is_left(self) -> None:
        """No session is left but those that live, and the sets of the index."""
        sets = {json.loads(text) for text in (await self.store.get_all(None)).values()}
        left = {record.token: record.keys for record in await self.store.export() if record.token not in sets}
        unfinished = [keys for tkn, keys in left.items() if tkn not in await self.living()]
        if self.is_dead:
            return
        if self.transport.struck == "SH_NEW" and self.fault in (Fault.CUT_UNANSWERED, Fault.CUT_TWICE):
            assert unfinished in ([], [{}]), "more than the empty session whose token never came"
        else:
            assert unfinished == []

    async def check_found(self) -> None:
        """Lookups find what lives, as its class reads it, and nothing else."""
        if not is_looked_up(self.model):
            return
        read = [await self.witness.get(tkn) for tkn in await self.living()]
        for value in (7, 8):
            found = {session.tkn for session in await self.witness.find(user_id=value)}  # type: ignore[ndb-field]  # its subclasses are
            assert found == {session.tkn for session in read if session.user_id == value}, value
        for email in ("a", "b"):
            found = {session.tkn for session in await self.witness.find(email=email)}  # type: ignore[ndb-field]  # its subclasses are
            having = {session.tkn for session in read if session.email == email}
            assert found == having if not is_unique(self.model) else (found <= having and bool(found) == bool(having))

    async def check_free(self) -> None:
        """What no living session has can be taken, and once only."""
        living = await self.living()
        having = {keys["email"] for keys in living.values()}
        having |= {(await self.witness.get(tkn)).email for tkn in living}
        for email in sorted({"a", "b"} - having):
            await self.witness.create(self.model(email=email, note="the next one"))
        for email in ("a", "b") if is_unique(self.model) else ():
            with pytest.raises(DuplicateError):
                await self.witness.create(self.model(email=email))


def without_faults(engine: NemesisDbEngine) -> NdbClient:
    return FaultyClient(FaultyTransport(engine, Fault.REFUSED, 10**9), None)


def is_looked_up(model: type[Fields]) -> bool:
    return issubclass(model, (Found, Found2, Unique, Unique2))


def is_unique(model: type[Fields]) -> bool:
    return issubclass(model, (Unique, Unique2))


Check: TypeAlias = Callable[[Scene, Fields, object], Awaitable[None]]


async def _awaited(doing: Awaitable[object]) -> object:
    return await doing


async def interrupt(verbs: Mapping[str, Doing], check: Check, model: type[Fields], way: Way, fault: Fault) -> None:
    """Do each of these with the fault at each of its requests in turn, and check what is there afterwards."""
    problems: list[str] = []
    every = 1 if THOROUGH else (2 if fault.is_cancelling else 6) * (1 if way is OURS else 3)
    for name, doing in verbs.items():
        number, goes_on = 0, True
        while goes_on:
            scene = Scene(model, fault, number, way)
            session, result = await scene.play(doing)
            goes_on = scene.transport.struck is not None
            try:
                await check(scene, session, result)
                await scene.check_nothing_is_left()
                await scene.check_found()
                await scene.check_free()
            except (AssertionError, NdbError, pytest.fail.Exception) as exc:
                at = f"{name} at {number} {scene.transport.struck}"
                problems.append(f"{at}: {type(result).__name__}, {type(exc).__name__} {str(exc)[:200]}")
            number += every
            assert number < 200
        assert number > every
    assert not problems, "\n".join(problems)


every_way = pytest.mark.parametrize(
    ("model", "way"),
    [
        pytest.param(model, way, id=f"{model.__name__}-{way.name}")
        for model in NEXT
        for way in (OURS, IN_PARTS)
        if THOROUGH or model is not Found
    ],
)
every_fault = pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())


@every_fault
@every_way
async def test_a_creation_that_is_cut_short_leaves_no_session(model: type[Fields], way: Way, fault: Fault) -> None:
    async def check(scene: Scene, _: Fields, result: object) -> None:
        created = {result.tkn} if isinstance(result, Fields) else set[int]()
        living = (await scene.living()).keys()
        assert living - {scene.old} == created or (scene.is_dead and len(living) == 2)

    await interrupt(CREATING, check, model, way, fault)


@every_fault
@every_way
async def test_a_change_that_is_cut_short_can_be_made_again(model: type[Fields], way: Way, fault: Fault) -> None:
    async def check(scene: Scene, session: Fields, _: object) -> None:
        stored = await scene.stored()
        assert all(text in (BEFORE[name], getattr(session, name), AFTER[name]) for name, text in stored.items())
        await scene.check_found()
        scene.settle()
        await scene.check_found()
        await scene.witness.save(session)
        assert await scene.stored() == session.model_dump()

    await interrupt(SAVING, check, model, way, fault)


@every_fault
@every_way
async def test_an_update_that_is_cut_short_is_done_or_not(model: type[Fields], way: Way, fault: Fault) -> None:
    async def check(scene: Scene, _: Fields, result: object) -> None:
        stored = await scene.stored()
        if way.limit is None:
            assert stored in (BEFORE, AFTER)
        assert all(text in (BEFORE[name], AFTER[name]) for name, text in stored.items())
        scene.settle()

    await interrupt(UPDATING, check, model, way, fault)


@every_fault
@every_way
async def test_a_rotation_that_is_cut_short_leaves_no_session_that_is_unknown(
    model: type[Fields], way: Way, fault: Fault
) -> None:
    async def check(scene: Scene, session: Fields, result: object) -> None:
        living = await scene.living()
        known = result.tkn if isinstance(result, Fields) else session.tkn
        assert all(keys == BEFORE for keys in living.values())
        if scene.is_dead:
            assert len(living) <= 2
        else:
            assert living.keys() <= {known}
            assert living or not isinstance(result, Fields)

    await interrupt(ROTATING, check, model, way, fault)


@every_fault
@every_way
async def test_an_ending_that_is_cut_short_is_done_or_not_and_can_be_done_again(
    model: type[Fields], way: Way, fault: Fault
) -> None:
    async def check(scene: Scene, _: Fields, __: object) -> None:
        assert (await scene.living()).keys() <= {scene.old}
        await scene.check_found()
        await scene.witness.delete(scene.old)
        assert await scene.living() == {}

    verbs = ENDING if is_looked_up(model) else {"delete": ENDING["delete"]}
    await interrupt(verbs, check, model, way, fault)


@every_fault
@every_way
async def test_a_look_that_is_cut_short_changes_nothing(model: type[Fields], way: Way, fault: Fault) -> None:
    async def check(scene: Scene, _: Fields, __: object) -> None:
        assert await scene.living() == {scene.old: BEFORE}

    verbs = {**READING, **LOOKING} if is_looked_up(model) else READING
    await interrupt(verbs, check, model, way, fault)


@every_fault
@every_way
async def test_an_upgrade_that_is_cut_short_reads_as_before_or_as_after(
    model: type[Fields], way: Way, fault: Fault
) -> None:
    async def check(scene: Scene, session: Fields, result: object) -> None:
        known = result.tkn if isinstance(result, Fields) else session.tkn
        for tkn in await scene.living():
            assert tkn == known or scene.is_dead
            assert (await scene.witness.get(tkn)).model_dump() == UPGRADED
        scene.settle()
        if is_looked_up(model):
            await scene.witness.reindex(await scene.living())

    await interrupt(UPGRADING, check, NEXT[model], way, fault)


@every_fault
@every_way
async def test_of_many_that_are_saved_each_is_whole_or_not_there(model: type[Fields], way: Way, fault: Fault) -> None:
    many: list[Fields] = []

    async def save_many(repo: Repository[Fields], session: Fields) -> None:
        many[:] = [type(session)(email=email, user_id=8, note="one of many") for email in "bc"]
        await repo.save_many(many)

    async def check(scene: Scene, _: Fields, __: object) -> None:
        others = {tkn: keys for tkn, keys in (await scene.living()).items() if tkn != scene.old}
        assert all(keys["note"] == "one of many" for keys in others.values())
        assert others.keys() <= {token_of(each) for each in many} or scene.is_dead

    await interrupt({"save many": save_many}, check, model, way, fault)


def token_of(session: Fields) -> int | None:
    try:
        return session.tkn
    except NotSavedError:
        return None
