"""Extending a session without reading or writing its data: the requests, and what happens to a session unlike most."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ndb_models import Expiry, NdbClient, Repository, SessionModel
from ndb_models.errors import (
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    SessionGoneError,
    StoreError,
    StoreUnreachableError,
    WrongSchemaError,
)
from ndb_models.schema.envelope import RESERVED_KEY
from tests.conftest import VirtualClock
from tests.repository.models import EternalUser, Otp, ReadUser, User, WrittenUser
from tests.repository.recording import RecordingEngine
from tests.stores.uncertain_store import PLACE, UncertainClient, UncertainStore


class Tracked(SessionModel, schema="touched-tracked", expiry=Expiry(idle=60), track=10):
    username: str


class Dated(SessionModel, schema="touched-dated", expiry=Expiry(idle=60, absolute=600)):
    username: str


def asked(engine: RecordingEngine) -> list[str]:
    """Return the commands since the last call."""
    return [command for command, _ in engine.requests()]


@pytest.mark.parametrize("model", [User, WrittenUser, EternalUser])
async def test_one_request_that_reads_and_writes_no_data_does(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock, model: type[User]
) -> None:
    repo = Repository(timed, model, clock=clock)
    user = await repo.save(model(username="b"))
    engine.commands()
    await repo.touch(user.tkn)
    ((command, body),) = engine.requests()
    assert (command, body["tkn"], body["keys"], [*body["digests"]]) == ("SH_CHANGE", user.tkn, {}, [RESERVED_KEY])
    assert await repo.get(user.tkn) == user


@pytest.mark.parametrize("model", [ReadUser, Tracked, Dated])
async def test_where_a_write_does_not_do_all_that_a_use_does_there_is_a_read_too(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock, model: type[User | Tracked | Dated]
) -> None:
    repo = Repository(timed, model, clock=clock)
    user = await repo.save(model(username="b"))
    clock.move(20)
    engine.commands()
    await repo.touch(user.tkn)
    assert asked(engine)[:2] == ["SH_GET", "SH_ADD"]
    assert await repo.ttl(user.tkn) == 60


async def test_a_server_that_cannot_compare_is_asked_once(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    engine.like_nemesisdb = True
    repo = Repository(timed, User, clock=clock)
    user = await repo.save(User(username="b"))
    engine.commands()
    await repo.touch(user.tkn)
    assert asked(engine) == ["SH_CHANGE", "SH_GET", "SH_ADD"]
    await repo.touch(user.tkn)
    assert asked(engine) == ["SH_GET", "SH_ADD"]


@pytest.mark.parametrize("left", [1, 0])
async def test_a_session_lives_exactly_as_long_after_it(timed: NdbClient, clock: VirtualClock, left: int) -> None:
    repo = Repository(timed, User, clock=clock)
    user = await repo.save(User(username="b"))
    clock.move(59)
    await repo.touch(user.tkn)
    clock.move(60 - left)
    assert await repo.exists(user.tkn, extend=False) is bool(left)


class TestASessionUnlikeMost:
    async def test_with_an_expiry_of_its_own(self, watched: Repository[User], clock: VirtualClock) -> None:
        user = await watched.create(User(username="b"), expiry=Expiry(idle=10, on="read"))
        clock.move(9)
        await watched.touch(user.tkn)
        clock.move(9)
        assert await watched.get(user.tkn) == user

    async def test_of_another_model(self, timed: NdbClient, watched: Repository[User]) -> None:
        otp = await Repository(timed, Otp).save(Otp(code=1))
        with pytest.raises(WrongSchemaError):
            await watched.touch(otp.tkn)

    async def test_that_other_clients_made(self, timed: NdbClient, watched: Repository[User]) -> None:
        tkn = (await timed.sh_create_session()).tkn
        assert tkn is not None
        with pytest.raises(IncompleteSessionError):
            await watched.touch(tkn)
        await timed.sh_set({"a": 1}, tkn)
        with pytest.raises(ForeignSessionError):
            await watched.touch(tkn)

    async def test_that_has_ended(self, watched: Repository[User]) -> None:
        user = await watched.save(User(username="b"))
        await watched.delete(user.tkn)
        with pytest.raises(SessionGoneError):
            await watched.touch(user.tkn)

    @pytest.mark.parametrize("tkn", [-1, 2**64, True, "1", None])
    async def test_of_no_token(self, watched: Repository[User], tkn: int) -> None:
        with pytest.raises(InvalidArgumentError):
            await watched.touch(tkn)


@pytest.fixture
def store() -> UncertainStore:
    return UncertainStore()


@pytest.fixture
async def uncertain(store: UncertainStore) -> AsyncIterator[Repository[User]]:
    async with UncertainClient(store) as client:
        yield Repository(client, User)


@pytest.mark.parametrize("done", [False, True])
async def test_it_is_repeated_if_it_is_not_known_whether_it_was_carried_out(
    uncertain: Repository[User], store: UncertainStore, done: bool
) -> None:
    user = await uncertain.save(User(username="b"))
    store.fail("change", StoreUnreachableError(PLACE, "no answer", maybe_done=True), done=done)
    await uncertain.touch(user.tkn)
    assert await uncertain.get(user.tkn) == user


async def test_a_store_that_is_away_is_told(uncertain: Repository[User], store: UncertainStore) -> None:
    user = await uncertain.save(User(username="b"))
    store.is_away = True
    with pytest.raises(StoreError, match="no reply"):
        await uncertain.touch(user.tkn)
