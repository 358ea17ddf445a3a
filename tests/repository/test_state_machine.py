"""Any sequence of verbs, by two repositories on one engine, does what plain dictionaries say that it must.

One of them creates sessions by one request, the other by two.

`NDB_STATE_MACHINE_EXAMPLES=20000` tries so many sequences, and others each time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from pydantic import BaseModel, Field

from ndb_models import (
    Expiry,
    ForeignSessionError,
    JsonValue,
    NdbError,
    Repository,
    ResponseError,
    SessionGoneError,
    SessionModel,
    UnstorableError,
    WrongSchemaError,
)
from ndb_models.engine import Engine
from ndb_models.protocol.commands import COMMANDS
from ndb_models.stores.contract import Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.redis.store import RedisStore
from tests.redis_uris import IS_COMPLETE, redis_uri
from tests.repository.session_world import EngineClient, World

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

T = TypeVar("T")

EXAMPLES = os.environ.get("NDB_STATE_MACHINE_EXAMPLES")


class Visit(SessionModel):
    name: str
    roles: list[str] = []
    count: int = Field(default=0, ge=0)


class Other(SessionModel):
    name: str = "x"


class NameOnly(BaseModel):
    name: str


@dataclass
class Copy:
    """A model in somebody's hands, and what the session's fields were when it was read or saved."""

    model: Visit
    before: dict[str, Any]

    @property
    def tkn(self) -> int:
        return self.model.tkn


COPIES: Bundle[Copy] = Bundle("copies")
WHICH = st.integers(0, 1)
EXPIRIES = st.sampled_from(
    [
        None,
        Expiry(idle=60),
        Expiry(idle=60, on="read"),
        Expiry(idle=60, on="write"),
        Expiry(absolute=100),
        Expiry(idle=60, absolute=150),
        Expiry(idle=60, absolute=90, on="write"),
    ]
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b", ""]),
        "roles": st.lists(st.sampled_from(["r", "s"]), max_size=2),
        "count": st.integers(0, 2),
    },
)


class Verbs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World()
        engine = Engine(self.open_store())
        self.client = EngineClient(engine)
        clients = self.client, EngineClient(engine)
        clients[1].note_unknown(COMMANDS["SH_NEW_SET"])  # as against a NemesisDB
        self.repos = [Repository(client, Visit, clock=self.world.clock) for client in clients]
        self.seen: set[int] = set()

    def open_store(self) -> Store:
        return MemoryStore(clock=self.world.clock)

    def run(self, asking: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asking)

    def copy_of(self, model: Visit) -> Copy:
        self.seen.add(model.tkn)
        return Copy(model, model.model_dump())

    def fields(self, tkn: int) -> dict[str, Any]:
        return self.world.sessions[tkn].fields

    def saved(self, copy: Copy) -> None:
        """What changed since the copy was read is written, and nothing else."""
        now = copy.model.model_dump()
        self.fields(copy.tkn).update({name: value for name, value in now.items() if value != copy.before[name]})
        self.world.write(copy.tkn)
        copy.before = now

    @initialize()
    def strangers(self) -> None:
        """Make sessions that are not ours: of another model, and of another client."""
        self.other = self.run(Repository(self.client, Other).save(Other())).tkn
        self.foreign = self.run(self.client.sh_create_session()).tkn
        self.run(self.client.sh_set({"name": "theirs"}, self.foreign))

    # Creating

    @rule(target=COPIES, which=WHICH, fields=FIELDS, expiry=EXPIRIES, by_save=st.booleans())
    def create(self, which: int, fields: dict[str, Any], expiry: Expiry | None, by_save: bool) -> Copy:
        model = Visit.model_validate({"name": "new", **fields})
        repo = self.repos[which]
        session = self.run((repo.save if by_save else repo.create)(model, expiry=expiry))
        assert session is model
        self.world.create(session.tkn, session.model_dump(), expiry)
        return self.copy_of(session)

    @rule(target=COPIES, which=WHICH, copy=COPIES)
    def create_again_what_has_a_token(self, which: int, copy: Copy) -> Copy:
        tkn = copy.tkn
        again = self.run(self.repos[which].create(copy.model))
        assert (again.tkn != tkn, copy.tkn) == (True, tkn)
        self.world.create(again.tkn, again.model_dump(), None)
        return self.copy_of(again)

    @rule(target=COPIES, which=WHICH, copy=COPIES, number=st.integers(1, 3))
    def save_many(self, which: int, copy: Copy, number: int) -> Any:
        lives = self.world.lives(copy.tkn)
        models = [Visit(name="many", count=index) for index in range(number)]
        results = self.run(self.repos[which].save_many([*models, copy.model]))
        assert results[:-1] == models
        for model in models:
            self.world.create(model.tkn, model.model_dump(), None)
        assert (results[-1] is copy.model) if lives else isinstance(results[-1], SessionGoneError)
        if lives:
            self.saved(copy)
        return multiple(*(self.copy_of(model) for model in models))

    # Reading

    @rule(target=COPIES, which=WHICH, copy=COPIES)
    def get(self, which: int, copy: Copy) -> Any:
        found: list[Copy] = []
        with self.world.expected(copy.tkn):
            read = self.run(self.repos[which].get(copy.tkn))
            assert read.model_dump() == self.fields(copy.tkn)
            self.world.read(copy.tkn)
            found.append(self.copy_of(read))
        return multiple(*found)

    @rule(which=WHICH, copy=COPIES)
    def get_or_none(self, which: int, copy: Copy) -> None:
        lives = self.world.lives(copy.tkn)
        read = self.run(self.repos[which].get_or_none(copy.tkn))
        assert (read.model_dump() if read else None) == (self.fields(copy.tkn) if lives else None)
        if lives:
            self.world.read(copy.tkn)

    @rule(which=WHICH, copy=COPIES)
    def exists(self, which: int, copy: Copy) -> None:
        lives = self.world.lives(copy.tkn)
        assert self.run(self.repos[which].exists(copy.tkn)) is lives
        if lives:
            self.world.read(copy.tkn)

    @rule(which=WHICH, copies=st.lists(COPIES, max_size=3))
    def get_many(self, which: int, copies: list[Copy]) -> None:
        expected = [self.fields(copy.tkn) if self.world.lives(copy.tkn) else None for copy in copies]
        results = self.run(self.repos[which].get_many([copy.tkn for copy in copies]))
        for copy, result, fields in zip(copies, results, expected, strict=True):
            if fields is None:
                assert isinstance(result, SessionGoneError)
            else:
                assert isinstance(result, Visit)
                assert result.model_dump() == fields
                self.world.read(copy.tkn)

    @rule(which=WHICH, copy=COPIES)
    def refresh(self, which: int, copy: Copy) -> None:
        with self.world.expected(copy.tkn):
            assert self.run(self.repos[which].refresh(copy.model)) is copy.model
            assert copy.model.model_dump() == self.fields(copy.tkn)
            self.world.read(copy.tkn)
            copy.before = copy.model.model_dump()

    @rule(which=WHICH, copy=COPIES)
    def project(self, which: int, copy: Copy) -> None:
        with self.world.expected(copy.tkn):
            shown = self.run(self.repos[which].project(copy.tkn, NameOnly))
            assert shown == NameOnly(name=self.fields(copy.tkn)["name"])
            self.world.read(copy.tkn)

    @rule(which=WHICH, copy=COPIES)
    def raw(self, which: int, copy: Copy) -> None:
        """Is for repair: it reads what is past its absolute time, too."""
        if copy.tkn in self.world.sessions:
            assert {*self.run(self.repos[which].raw(copy.tkn))} == {*Visit.model_fields, "__ndb__"}
            self.world.read(copy.tkn)
        else:
            with pytest.raises(SessionGoneError):
                self.run(self.repos[which].raw(copy.tkn))

    @rule(which=WHICH, copy=COPIES)
    def touch(self, which: int, copy: Copy) -> None:
        with self.world.expected(copy.tkn):
            self.run(self.repos[which].touch(copy.tkn))
            self.world.read(copy.tkn)
            self.world.write(copy.tkn)

    @rule(which=WHICH, copy=COPIES)
    def ttl(self, which: int, copy: Copy) -> None:
        with self.world.expected(copy.tkn):
            left = self.run(self.repos[which].ttl(copy.model))
            known = self.world.sessions[copy.tkn]
            ends = min(known.ends, known.deadline)
            assert left == (None if ends == float("inf") else ends - self.world.now)

    # Changing

    @rule(copy=COPIES, fields=FIELDS)
    def change_a_copy(self, copy: Copy, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            setattr(copy.model, name, list(value) if isinstance(value, list) else value)

    @rule(which=WHICH, copy=COPIES)
    def save(self, which: int, copy: Copy) -> None:
        with self.world.expected(copy.tkn):
            assert self.run(self.repos[which].save(copy.model)) is copy.model
            self.saved(copy)

    @rule(which=WHICH, copy=COPIES)
    def save_what_does_not_fit(self, which: int, copy: Copy) -> None:
        count, copy.model.count = copy.model.count, -1
        with pytest.raises(UnstorableError, match="count"):
            self.run(self.repos[which].save(copy.model))
        copy.model.count = count

    @rule(target=COPIES, which=WHICH, copy=COPIES, fields=FIELDS)
    def update(self, which: int, copy: Copy, fields: dict[str, Any]) -> Any:
        found: list[Copy] = []
        with self.world.expected(copy.tkn):
            changed = self.run(self.repos[which].update(copy.tkn, **fields))
            self.fields(copy.tkn).update(fields)
            assert changed.model_dump() == self.fields(copy.tkn)
            self.world.read(copy.tkn)
            self.world.write(copy.tkn)
            found.append(self.copy_of(changed))
        return multiple(*found)

    @rule(which=WHICH, copy=COPIES, fails=st.booleans(), meanwhile=st.integers(0, 70))
    def edit(self, which: int, copy: Copy, fails: bool, meanwhile: int) -> None:
        async def editing() -> None:
            async with self.repos[which].edit(copy.tkn) as session:
                self.world.read(copy.tkn)
                session.roles.append("edited")
                self.world.move(meanwhile)
                if fails:
                    raise KeyError

        tkn = copy.tkn
        if not self.world.lives(tkn):
            with pytest.raises(SessionGoneError):
                self.run(editing())
            return
        try:
            self.run(editing())
        except KeyError:
            assert fails
        except SessionGoneError:
            assert not self.world.lives(tkn)
        else:
            assert self.world.lives(tkn)
            self.fields(tkn)["roles"] = [*self.fields(tkn)["roles"], "edited"]
            self.world.write(tkn)

    @rule(which=WHICH, copy=COPIES)
    def rotate(self, which: int, copy: Copy) -> None:
        old = copy.tkn
        with self.world.expected(old):
            assert self.run(self.repos[which].rotate(copy.model)) is copy.model
            known = self.world.sessions.pop(old)
            self.seen.add(copy.tkn)
            self.world.create(copy.tkn, known.fields, known.expiry, known.deadline)

    # Ending

    @rule(which=WHICH, copy=consumes(COPIES))
    def delete(self, which: int, copy: Copy) -> None:
        lives = self.world.lives(copy.tkn)
        assert self.run(self.repos[which].delete(copy.tkn)) is lives
        self.world.sessions.pop(copy.tkn, None)

    @rule(which=WHICH, copies=st.lists(COPIES, max_size=2, unique_by=lambda copy: copy.tkn))
    def delete_many(self, which: int, copies: list[Copy]) -> None:
        lived = [self.world.lives(copy.tkn) for copy in copies]
        assert self.run(self.repos[which].delete_many([copy.tkn for copy in copies])) == lived
        for copy in copies:
            self.world.sessions.pop(copy.tkn, None)

    @rule(copy=COPIES)
    def end_by_the_raw_client(self, copy: Copy) -> None:
        if self.world.sessions.pop(copy.tkn, None) is not None:
            assert self.run(self.client.sh_end(copy.tkn))
        else:
            with pytest.raises(ResponseError):
                self.run(self.client.sh_end(copy.tkn))

    @rule(seconds=st.sampled_from([1, 29, 30, 59, 60, 100]))
    def wait(self, seconds: int) -> None:
        self.world.move(seconds)

    @rule(which=WHICH)
    def what_is_not_ours_is_refused_and_left_alone(self, which: int) -> None:
        repo = self.repos[which]
        refused: list[tuple[int, type[NdbError]]] = [
            (self.other, WrongSchemaError),
            (self.foreign, ForeignSessionError),
        ]
        for tkn, error in refused:
            for asking in (repo.get, repo.get_or_none, repo.delete, repo.touch, repo.update):
                with pytest.raises(error):
                    self.run(asking(tkn))
            assert self.run(repo.exists(tkn)) is False

    @invariant()
    def those_that_live_are_all_that_is_there(self) -> None:
        async def asking() -> tuple[list[int], JsonValue]:
            totals = await self.client.sh_info_all()
            return await self.client.sh_session_exists(sorted(self.seen)), totals["totalSessions"]

        there, total = self.run(asking())
        assert there == sorted(self.world.sessions)
        assert total in (0, len(there) + 2)

    def teardown(self) -> None:
        self.loop.close()


class VerbsOnRedis(Verbs):
    """The same where every request waits for a server."""

    def open_store(self) -> Store:
        uri = parse_redis_uri(redis_uri("cluster" if IS_COMPLETE else "valkey"))
        self.store = RedisStore(uri, clock=self.world.clock)
        self.run(self.store.open())
        return self.store

    def teardown(self) -> None:
        self.run(self.store.aclose())
        super().teardown()


def trying(examples: int) -> settings:
    """Return settings for so many sequences."""
    return settings(
        max_examples=examples,
        stateful_step_count=15,
        derandomize=EXAMPLES is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


TestVerbs = Verbs.TestCase
TestVerbs.settings = trying(int(EXAMPLES or 600))
TestVerbsOnRedis = VerbsOnRedis.TestCase
TestVerbsOnRedis.settings = trying(int(EXAMPLES or 600) // 15)


async def test_ttl_of_a_model_knows_of_the_absolute_time_that_a_session_alone_has() -> None:
    world = World()
    repo = Repository(EngineClient(Engine(MemoryStore(clock=world.clock))), Visit, clock=world.clock)
    session = await repo.create(Visit(name="a"), expiry=Expiry(idle=60, absolute=90))
    world.move(50)
    await repo.save(session)
    assert await repo.ttl(session) == 40
