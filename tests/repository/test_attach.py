"""A model that was made elsewhere is saved as the session that exists, once it was given its token."""

from __future__ import annotations

import pickle
from typing import Annotated

import pytest
from pydantic import ConfigDict

from ndb_models import (
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    JsonValue,
    Lookup,
    NdbClient,
    NdbError,
    NewerVersionError,
    Repository,
    SessionExpiredError,
    SessionGoneError,
    SessionModel,
    StoredDataError,
    WrongSchemaError,
)
from tests.conftest import VirtualClock
from tests.repository.models import Frozen, Otp, User


class Open(SessionModel, schema="attach-open"):
    model_config = ConfigDict(extra="allow")
    name: str


class Found(SessionModel, schema="attach-found"):
    email: Annotated[str, Lookup(unique=True)]
    seen: int = 0


class Old(SessionModel, schema="attach-versioned"):
    name: str


class New(SessionModel, schema="attach-versioned", version=2):
    full_name: str
    seen: int = 0


@New.upgrade(1)
def rename(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"full_name": keys.pop("name"), **keys}


async def total(client: NdbClient) -> JsonValue:
    return (await client.sh_info_all())["totalSessions"]


async def test_saving_it_changes_the_session_and_makes_no_other(client: NdbClient, users: Repository[User]) -> None:
    user = await users.save(User(username="billy", roles=["admin"]))
    again = User.model_validate(user.model_dump())
    again.visits = 7
    attached = await users.attach(again, user.tkn)
    assert attached is again
    assert (again.tkn, again.visits) == (user.tkn, 7)
    assert (await users.get(user.tkn)).visits == 0  # nothing was written yet
    await users.save(again)
    assert await total(client) == 1
    assert await users.get(user.tkn) == again


async def test_only_what_differs_is_written(users: Repository[User]) -> None:
    user = await users.save(User(username="billy"))
    again = await users.attach(User.model_validate({**user.model_dump(), "visits": 7}), user.tkn)
    await users.update(user.tkn, roles=["admin"])
    await users.save(again)
    stored = await users.get(user.tkn)
    assert (stored.visits, stored.roles) == (7, ["admin"])


async def test_what_is_missing_is_at_its_default_and_written_so(users: Repository[User]) -> None:
    user = await users.save(User(username="billy", visits=7))
    await users.save(await users.attach(User(username="billy"), user.tkn))
    assert (await users.get(user.tkn)).visits == 0


async def test_a_model_of_this_token_is_compared_with_what_is_stored_by_now(users: Repository[User]) -> None:
    user = await users.save(User(username="billy"))
    await users.update(user.tkn, visits=3)
    await users.save(await users.attach(user, user.tkn))
    assert (await users.get(user.tkn)).visits == 0


async def test_a_model_of_another_session_is_refused_and_left(users: Repository[User]) -> None:
    billy, james = await users.save(User(username="billy")), await users.save(User(username="james"))
    token = billy.tkn
    with pytest.raises(InvalidArgumentError, match="another token") as refused:
        await users.attach(billy, james.tkn)
    assert str(james.tkn) not in str(refused.value)
    assert billy.tkn == token


async def test_what_get_refuses_is_refused_and_the_model_has_no_token(client: NdbClient) -> None:
    users = Repository(client, User)
    gone = (await users.save(User(username="billy"))).tkn
    await users.delete(gone)
    empty = (await client.sh_create_session()).tkn
    foreign = (await client.sh_create_session()).tkn
    await client.sh_set({"username": "billy"}, foreign)
    unfit = (await users.save(User(username="billy"))).tkn
    await client.sh_set({"visits": "many"}, unfit)
    refusals: list[tuple[int, type[NdbError]]] = [
        (gone, SessionGoneError),
        ((await Repository(client, Otp).save(Otp(code=1))).tkn, WrongSchemaError),
        (empty, IncompleteSessionError),
        (foreign, ForeignSessionError),
        (unfit, StoredDataError),
        (2**64, InvalidArgumentError),
    ]
    for tkn, error in refusals:
        model = User(username="billy")
        with pytest.raises(error):
            await users.attach(model, tkn)
        assert not model.is_saved
    with pytest.raises(InvalidArgumentError, match="stores User"):
        await users.attach(Otp(code=1), gone)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # the mistake


async def test_of_an_open_class_what_the_model_has_not_is_removed(client: NdbClient) -> None:
    repo = Repository(client, Open)
    session = await repo.save(Open.model_validate({"name": "billy", "a": 1, "b": 2}))
    await repo.save(await repo.attach(Open.model_validate({"name": "billy", "b": 3}), session.tkn))
    stored = await repo.get(session.tkn)
    assert stored.model_extra == {"b": 3}


async def test_a_value_that_is_looked_up_moves(client: NdbClient) -> None:
    repo = Repository(client, Found)
    session = await repo.save(Found(email="a@example.org"))
    await repo.save(await repo.attach(Found(email="b@example.org"), session.tkn))
    assert await repo.find_one(email="a@example.org") is None
    found = await repo.find_one(email="b@example.org")
    assert found is not None
    assert found.tkn == session.tkn
    await repo.save(Found(email="a@example.org"))


async def test_an_older_session_is_upgraded_with_the_save(client: NdbClient) -> None:
    old = await Repository(client, Old).save(Old(name="billy"))
    repo = Repository(client, New)
    await repo.save(await repo.attach(New(full_name="billy", seen=1), old.tkn))
    assert await repo.get(old.tkn) == New(full_name="billy", seen=1)
    with pytest.raises(NewerVersionError):
        await Repository(client, Old).attach(Old(name="billy"), old.tkn)


async def test_a_frozen_model_is_given_its_token_too(client: NdbClient) -> None:
    repo = Repository(client, Frozen)
    session = await repo.save(Frozen(username="billy"))
    await repo.save(await repo.attach(Frozen(username="james"), session.tkn))
    assert (await repo.get(session.tkn)).username == "james"


async def test_an_expired_session_is_not_attached_to(watched: Repository[User], clock: VirtualClock) -> None:
    tkn = (await watched.save(User(username="billy"))).tkn
    clock.move(61)
    with pytest.raises(SessionGoneError):
        await watched.attach(User(username="billy"), tkn)
    assert issubclass(SessionExpiredError, SessionGoneError)


async def test_a_copy_has_its_token_by_itself(users: Repository[User]) -> None:
    user = await users.save(User(username="billy"))
    for copied in (user.model_copy(), pickle.loads(pickle.dumps(user))):
        assert copied.tkn == user.tkn
