"""What each verb does for a session that is missing, ended, expired, of another model, foreign, incomplete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from ndb_models import (
    Expiry,
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    JsonInput,
    NdbClient,
    NotSavedError,
    Repository,
    SessionError,
    SessionExpiredError,
    SessionGoneError,
    WrongSchemaError,
)
from ndb_models.schema.envelope import RESERVED_KEY
from tests.conftest import VirtualClock
from tests.repository.models import Address, EternalUser, Otp, User
from tests.repository.recording import RecordingEngine
from tests.repository.verbs import CHANGING, CHECKING, LIVING, READING, NameView

NOTHING = {"totalSessions": 0, "totalKeys": 0}

BY_TOKEN: dict[str, Callable[[Repository[User], int], Awaitable[object]]] = {
    "get": lambda repo, tkn: repo.get(tkn),
    "touch": lambda repo, tkn: repo.touch(tkn),
    "ttl": lambda repo, tkn: repo.ttl(tkn),
    "update": lambda repo, tkn: repo.update(tkn, visits=1),
    "edit": lambda repo, tkn: repo.edit(tkn).__aenter__(),
    "project": lambda repo, tkn: repo.project(tkn, NameView),
    "raw": lambda repo, tkn: repo.raw(tkn),
}


async def stored(client: NdbClient, tkn: int) -> Mapping[str, JsonInput]:
    return await client.sh_get(await client.sh_keys(tkn), tkn)


async def says_no(repo: Repository[User], tkn: int) -> None:
    """Make sure that the verbs that do not raise for a dead session say that there is none."""
    assert await repo.get_or_none(tkn) is None
    assert await repo.exists(tkn) is False
    assert await repo.delete(tkn) is False
    (got,), deleted = await repo.get_many([tkn]), await repo.delete_many([tkn])
    assert isinstance(got, SessionGoneError)
    assert deleted == [False]


@pytest.mark.parametrize("verb", BY_TOKEN)
@pytest.mark.parametrize("tkn", [1, 2**64 - 1])
async def test_a_session_that_never_was_is_gone(users: Repository[User], verb: str, tkn: int) -> None:
    with pytest.raises(SessionGoneError) as caught:
        await BY_TOKEN[verb](users, tkn)
    assert (caught.value.model, caught.value.tkn) == ("User", tkn)
    await says_no(users, tkn)


@pytest.mark.parametrize("verb", BY_TOKEN)
@pytest.mark.parametrize("tkn", [None, "1", True, -1, 2**64, Otp(code=1), Address()], ids=repr)
async def test_what_is_no_token_is_refused(users: Repository[User], verb: str, tkn: Any) -> None:
    # A model would do for `ttl`, if it were of this class.
    refusal = "stores User, not Otp" if verb == "ttl" and isinstance(tkn, Otp) else "unsigned 64-bit integer"
    with pytest.raises(InvalidArgumentError, match=refusal):
        await BY_TOKEN[verb](users, tkn)


@pytest.mark.parametrize("verb", LIVING)
async def test_an_ended_session_is_gone_and_stays_it(users: Repository[User], client: NdbClient, verb: str) -> None:
    user = await users.save(User(username="b"))
    await users.delete(user.tkn)
    for _ in range(2):
        with pytest.raises(SessionGoneError) as caught:
            await LIVING[verb](users, user)
        assert str(user.tkn) not in str(caught.value)
    await says_no(users, user.tkn)
    assert await client.sh_info_all() == NOTHING


@pytest.mark.parametrize("verb", LIVING)
async def test_an_expired_session_is_gone_to_the_second(
    watched: Repository[User], timed: NdbClient, clock: VirtualClock, verb: str
) -> None:
    user = await watched.save(User(username="b"))
    clock.move(60)
    with pytest.raises(SessionGoneError):
        await LIVING[verb](watched, user)
    await says_no(watched, user.tkn)
    assert await timed.sh_info_all() == NOTHING


@pytest.mark.parametrize("verb", CHECKING)
async def test_a_session_of_another_model_is_refused_and_left_alone(
    users: Repository[User], client: NdbClient, verb: str
) -> None:
    user = await users.save(User(username="b"))
    envelope: JsonInput = {"schema": "Otp", "version": 1, "tkn": user.tkn}
    await client.sh_set({RESERVED_KEY: envelope}, user.tkn)
    before = await stored(client, user.tkn)
    with pytest.raises(WrongSchemaError, match="'Otp'"):
        await CHECKING[verb](users, user)
    assert isinstance((await users.get_many([user.tkn]))[0], WrongSchemaError)
    assert isinstance((await users.delete_many([user.tkn]))[0], WrongSchemaError)
    assert await stored(client, user.tkn) == before
    assert (await client.sh_info_all())["totalSessions"] == 1


@pytest.mark.parametrize("verb", CHECKING)
async def test_a_foreign_session_is_refused_and_left_alone(
    users: Repository[User], client: NdbClient, verb: str
) -> None:
    user = await users.save(User(username="b"))
    await client.sh_rmv([RESERVED_KEY], user.tkn)
    before = await stored(client, user.tkn)
    with pytest.raises(ForeignSessionError, match="foreign=True"):
        await CHECKING[verb](users, user)
    assert isinstance((await users.get_many([user.tkn]))[0], ForeignSessionError)
    assert isinstance((await users.delete_many([user.tkn]))[0], ForeignSessionError)
    assert await stored(client, user.tkn) == before
    assert (await client.sh_info_all())["totalSessions"] == 1


@pytest.mark.parametrize("verb", CHECKING)
async def test_a_session_that_was_cut_short_is_refused_left_alone_and_can_be_deleted(
    users: Repository[User], client: NdbClient, verb: str
) -> None:
    user = await users.save(User(username="b"))
    await client.sh_set({RESERVED_KEY: {"schema": "User", "version": 1}}, user.tkn)
    before = await stored(client, user.tkn)
    with pytest.raises(IncompleteSessionError, match="delete it"):
        await CHECKING[verb](users, user)
    assert await stored(client, user.tkn) == before
    assert await users.exists(user.tkn) is False
    assert await users.delete(user.tkn) is True
    assert await client.sh_info_all() == NOTHING


async def test_a_creation_of_another_model_that_was_cut_short_is_not_deleted(
    users: Repository[User], client: NdbClient
) -> None:
    user = await users.save(User(username="b"))
    await client.sh_set({RESERVED_KEY: {"schema": "Otp", "version": 1}}, user.tkn)
    with pytest.raises(WrongSchemaError):
        await users.delete(user.tkn)
    assert await client.sh_session_exists([user.tkn]) == [user.tkn]


@pytest.mark.parametrize("verb", ["refresh", "rotate", "ttl of the model"])
async def test_a_model_without_a_token_is_refused(users: Repository[User], client: NdbClient, verb: str) -> None:
    with pytest.raises(NotSavedError, match="no token yet"):
        await LIVING[verb](users, User(username="b"))
    assert await client.sh_info_all() == NOTHING


@pytest.mark.parametrize("verb", ["refresh", "rotate", "save unchanged"])
async def test_a_model_of_another_class_is_refused(client: NdbClient, verb: str) -> None:
    derived = await Repository(client, EternalUser).save(EternalUser(username="b"))
    with pytest.raises(InvalidArgumentError, match="stores User, not EternalUser"):
        await LIVING[verb](Repository(client, User), derived)
    assert await Repository(client, EternalUser).exists(derived.tkn)


@pytest.mark.parametrize("expiry", [60, "60", {"idle": 60}, True])
async def test_an_expiry_that_is_none_is_refused_before_there_is_a_session(
    users: Repository[User], client: NdbClient, expiry: Any
) -> None:
    for create in (users.create, users.save):
        with pytest.raises(InvalidArgumentError, match=f"an Expiry, not a {type(expiry).__name__}"):
            await create(User(username="b"), expiry=expiry)
    assert await client.sh_info_all() == NOTHING


async def test_creating_twice_is_two_sessions_and_the_first_model_keeps_its_own(
    users: Repository[User], client: NdbClient
) -> None:
    first = await users.create(User(username="b", address=Address(lines=["1"])))
    token = first.tkn
    second = await users.create(first)
    assert second is not first
    assert (first.tkn, second.tkn != token) == (token, True)
    second.address.lines.append("2")
    await users.save(second)
    assert first.address.lines == ["1"]
    assert (await users.get(token)).address.lines == ["1"]
    assert (await users.get(second.tkn)).address.lines == ["1", "2"]
    assert (await client.sh_info_all())["totalSessions"] == 2


async def test_creating_from_a_dead_model_is_a_new_session(users: Repository[User]) -> None:
    dead = await users.save(User(username="b"))
    await users.delete(dead.tkn)
    again = await users.create(dead)
    assert again.tkn != dead.tkn
    assert await users.get(again.tkn) == dead


async def test_refreshing_reads_what_others_wrote_and_drops_what_was_not_saved(users: Repository[User]) -> None:
    user = await users.save(User(username="b", roles=["r"]))
    await users.update(user.tkn, username="theirs")
    user.roles.append("unsaved")
    user.visits = -1
    assert await users.refresh(user) is user
    assert user == User(username="theirs", roles=["r"])
    assert user.model_fields_set == set(User.model_fields)
    user.visits = 3
    await users.save(user)
    assert await users.get(user.tkn) == User(username="theirs", roles=["r"], visits=3)


async def test_a_refused_refresh_leaves_the_model_as_it_is(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    await users.delete(user.tkn)
    user.username = "mine"
    with pytest.raises(SessionGoneError):
        await users.refresh(user)
    assert user.username == "mine"


HELD = {
    **dict.fromkeys(CHECKING, "SH_GET"),
    "rotate": "SH_PEEK",
    "touch": "SH_CHANGE",
    "save changed": "SH_SET",
    "ttl": "SH_INFO",
    "raw": "SH_GET",
}


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("verb", HELD)
async def test_a_cancelled_verb_leaves_a_session_that_reads_well_and_no_other(
    watched: Repository[User], timed: NdbClient, engine: RecordingEngine, verb: str, carried_out: bool
) -> None:
    user = await watched.save(User(username="b"))
    other = await watched.save(User(username="other"))
    engine.hold(HELD[verb], carried_out=carried_out)
    calling = asyncio.ensure_future(LIVING[verb](watched, user))
    await engine.waiting.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    engine.release()
    assert await watched.get(other.tkn) == other
    assert (await watched.get(user.tkn)).visits == (verb == "save changed")
    assert (await timed.sh_info_all())["totalSessions"] == 2


@pytest.mark.parametrize(("verb", "visits"), [("update", 5), ("edit", 1)])
@pytest.mark.parametrize("carried_out", [False, True])
async def test_a_change_that_is_cancelled_once_it_is_sent_is_carried_out_whole(
    watched: Repository[User], engine: RecordingEngine, verb: str, visits: int, carried_out: bool
) -> None:
    user = await watched.save(User(username="b"))
    engine.hold("SH_SET", carried_out=carried_out)
    calling = asyncio.ensure_future(CHANGING[verb](watched, user))
    await engine.waiting.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    engine.release()
    assert await watched.get(user.tkn) == User(username="b", visits=visits)


@pytest.mark.parametrize("verb", [*READING, "get_or_none"])
async def test_reading_is_one_request_and_asks_for_its_own_keys_only(
    watched: Repository[User], engine: RecordingEngine, verb: str
) -> None:
    user = await watched.save(User(username="b"))
    engine.commands()
    await (watched.get_or_none(user.tkn) if verb == "get_or_none" else READING[verb](watched, user))
    ((command, body),) = engine.requests()
    names = ["username"] if verb == "project" else list(User.model_fields)
    assert (command, body) == ("SH_GET", {"tkn": user.tkn, "keys": [*names, RESERVED_KEY]})


async def test_existing_reads_no_data(watched: Repository[User], engine: RecordingEngine) -> None:
    user = await watched.save(User(username="b"))
    engine.commands()
    await watched.exists(user.tkn)
    assert engine.requests() == [("SH_GET", {"tkn": user.tkn, "keys": [RESERVED_KEY]})]


async def test_no_verb_logs_a_token_or_a_value(
    watched: Repository[User], timed: NdbClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    user = await watched.save(User(username="canary"))
    tokens = [str(user.tkn)]
    for verb in LIVING.values():
        await verb(watched, user)
        tokens.append(str(user.tkn))
    assert await watched.delete(user.tkn)
    logged = caplog.text
    assert "canary" not in logged
    assert not [tkn for tkn in tokens if tkn in logged]
    assert await timed.sh_info_all() == NOTHING


def test_session_errors_can_be_caught_by_their_kind() -> None:
    assert issubclass(SessionExpiredError, SessionGoneError)
    for kind in (SessionGoneError, WrongSchemaError, IncompleteSessionError, ForeignSessionError, NotSavedError):
        assert issubclass(kind, SessionError)


async def test_the_expiry_of_a_session_that_exists_is_not_changed_by_saving(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    with pytest.raises(InvalidArgumentError, match=r"create\(\) makes a new one"):
        await users.save(user, expiry=Expiry(idle=5))


async def test_two_models_under_one_client_do_not_mix(client: NdbClient) -> None:
    users, otps = Repository(client, User), Repository(client, Otp)
    user, otp = await users.save(User(username="b")), await otps.save(Otp(code=1))
    assert [type(error) for error in await users.get_many([otp.tkn, user.tkn])] == [WrongSchemaError, User]
    assert [type(error) for error in await otps.get_many([otp.tkn, user.tkn])] == [Otp, WrongSchemaError]
