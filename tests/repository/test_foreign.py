"""Sessions that other clients wrote, that do not fit, or are to be repaired: `foreign`, `on_invalid`, `raw`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ndb_models import (
    ForeignSessionError,
    InvalidArgumentError,
    JsonInput,
    NdbClient,
    Repository,
    SessionExpiredError,
    SessionGoneError,
    StoredDataError,
    WrongSchemaError,
)
from ndb_models.schema.envelope import RESERVED_KEY
from tests.conftest import VirtualClock
from tests.repository.models import Address, Otp, User
from tests.repository.verbs import NameView

FOREIGN: dict[str, JsonInput] = {"username": "b", "visits": 3, "address": {"street": "S"}, "theirs": [1]}


async def written(client: NdbClient, keys: dict[str, JsonInput] = FOREIGN) -> int:
    """Return the token of a session that another client wrote."""
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set(keys, tkn)
    return tkn


@pytest.fixture
def strangers(client: NdbClient) -> Repository[User]:
    return Repository(client, User, foreign=True)


async def test_a_foreign_session_is_read_as_the_model(strangers: Repository[User], client: NdbClient) -> None:
    tkn = await written(client)
    user = User(username="b", visits=3, address=Address(street="S"))
    assert await strangers.get(tkn) == user
    assert (await strangers.get(tkn)).tkn == tkn
    assert await strangers.exists(tkn) is True
    assert await strangers.get_many([tkn]) == [user]
    assert await strangers.project(tkn, NameView) == NameView(username="b")
    await strangers.touch(tkn)
    assert await strangers.ttl(tkn) is None


async def test_a_foreign_session_is_changed_where_it_changed_and_stays_foreign(
    strangers: Repository[User], users: Repository[User], client: NdbClient
) -> None:
    tkn = await written(client)
    async with strangers.edit(tkn) as user:
        user.roles.append("r")
    await strangers.update(tkn, visits=4)
    keys = await client.sh_get(await client.sh_keys(tkn), tkn)
    assert keys == {**FOREIGN, "roles": ["r"], "visits": 4}
    with pytest.raises(ForeignSessionError):
        await users.get(tkn)


async def test_a_foreign_session_that_does_not_fit_is_refused(strangers: Repository[User], client: NdbClient) -> None:
    for keys in ({"fname": "canary"}, {"username": "b", "visits": "canary"}):
        tkn = await written(client, keys)  # type: ignore[arg-type]  # a dict of less is one of JSON
        with pytest.raises(StoredDataError) as caught:
            await strangers.get(tkn)
        assert "canary" not in str(caught.value)
        assert await client.sh_get(await client.sh_keys(tkn), tkn) == keys


async def test_taking_foreign_sessions_takes_no_other_models(strangers: Repository[User], client: NdbClient) -> None:
    otp = await Repository(client, Otp).save(Otp(code=1))
    with pytest.raises(WrongSchemaError):
        await strangers.get(otp.tkn)


async def test_taking_foreign_sessions_takes_ones_own_too(strangers: Repository[User]) -> None:
    user = await strangers.save(User(username="b"))
    assert await strangers.get(user.tkn) == user


async def test_a_foreign_session_can_be_deleted_and_rotated(strangers: Repository[User], client: NdbClient) -> None:
    assert await strangers.delete(await written(client)) is True
    old = await written(client)
    user = await strangers.rotate(await strangers.get(old))
    assert user.tkn != old
    assert await strangers.get(user.tkn) == user
    assert await client.sh_get(["theirs"], user.tkn) == {"theirs": [1]}
    assert (await client.sh_info_all())["totalSessions"] == 1


async def test_a_foreign_session_that_its_expiry_emptied_has_expired(timed: NdbClient, clock: VirtualClock) -> None:
    tkn = (await timed.sh_create_session(60)).tkn
    await timed.sh_set(FOREIGN, tkn)
    for repo in (Repository(timed, User, foreign=True), Repository(timed, User)):
        assert (await repo.raw(tkn))["username"] == '"b"'
    clock.move(60)
    assert await timed.sh_session_exists([tkn]) == [tkn]
    for repo in (Repository(timed, User, foreign=True), Repository(timed, User)):
        with pytest.raises(SessionExpiredError):
            await repo.get(tkn)
        with pytest.raises(SessionExpiredError):
            await repo.touch(tkn)
        assert await repo.get_or_none(tkn) is None
        assert await repo.exists(tkn) is False


# Data that does not fit


async def test_a_session_that_does_not_fit_is_ended_where_that_is_asked_for(client: NdbClient) -> None:
    repo = Repository(client, User, on_invalid="end")
    for read in (repo.get, repo.update, repo.get_or_none):
        user = await repo.save(User(username="b"))
        await client.sh_set({"visits": "canary"}, user.tkn)
        if read == repo.get_or_none:
            assert await read(user.tkn) is None
        else:
            with pytest.raises(SessionGoneError) as caught:
                await read(user.tkn)
            assert isinstance(caught.value.__cause__, StoredDataError)
            assert "canary" not in str(caught.value)
        assert (await client.sh_info_all())["totalSessions"] == 0


async def test_what_is_not_this_models_is_not_ended(client: NdbClient) -> None:
    repo = Repository(client, User, on_invalid="end")
    otp = await Repository(client, Otp).save(Otp(code=1))
    foreign = await written(client)
    with pytest.raises(WrongSchemaError):
        await repo.get(otp.tkn)
    with pytest.raises(ForeignSessionError):
        await repo.get(foreign)
    assert await client.sh_session_exists([otp.tkn, foreign]) == [otp.tkn, foreign]


async def test_a_session_that_does_not_fit_is_left_for_repair_by_default(
    users: Repository[User], client: NdbClient
) -> None:
    user = await users.save(User(username="b"))
    await client.sh_set({"visits": "one"}, user.tkn)
    with pytest.raises(StoredDataError):
        await users.get(user.tkn)
    assert json.loads((await users.raw(user.tkn))["visits"]) == "one"
    await client.sh_set({"visits": 1}, user.tkn)
    assert (await users.get(user.tkn)).visits == 1


@pytest.mark.parametrize("on_invalid", ["END", "ignore", None, True])
async def test_only_raising_and_ending_can_be_asked_for(client: NdbClient, on_invalid: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'raise' or 'end'"):
        Repository(client, User, on_invalid=on_invalid)


# What is stored, as it is


async def test_raw_shows_every_key_as_its_json(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b", roles=["é"]))
    await client.sh_set({"theirs": [1]}, user.tkn)
    raw = await users.raw(user.tkn)
    reserved = json.loads(raw.pop(RESERVED_KEY))
    assert (reserved["schema"], reserved["tkn"]) == ("User", user.tkn)
    assert {name: json.loads(text) for name, text in raw.items()} == {**user.model_dump(), "theirs": [1]}


async def test_raw_shows_sessions_that_are_no_ones(users: Repository[User], client: NdbClient) -> None:
    foreign, empty = await written(client), await client.sh_create_session()
    otp = await Repository(client, Otp).save(Otp(code=1))
    cut_short = await written(client, {"username": "b", RESERVED_KEY: {"schema": "User", "version": 1}})
    assert {name: json.loads(text) for name, text in (await users.raw(foreign)).items()} == FOREIGN
    assert await users.raw(empty.tkn) == {}
    assert (await users.raw(otp.tkn))["code"] == "1"
    assert json.loads((await users.raw(cut_short))["username"]) == "b"
