"""Sessions of older and newer versions: what each verb makes of them, and what is written back when."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from ndb_models import (
    ForeignSessionError,
    IncompleteSessionError,
    JsonValue,
    NdbClient,
    NewerVersionError,
    OlderVersionError,
    Repository,
    SessionError,
    SessionExpiredError,
    SessionGoneError,
    SessionModel,
    StoredDataError,
    UnstorableError,
    UpgradeError,
)
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.schema.form import form_of
from tests.conftest import VirtualClock
from tests.reloading import in_place_of
from tests.repository.recording import RecordingEngine
from tests.repository.versioned import RUNS, Open1, Open2, UserV1, UserV2, UserV3, UserV4


@pytest.fixture(autouse=True)
def runs() -> list[int]:
    """Which steps have run since the test began."""
    RUNS.clear()
    return RUNS


async def stored(client: NdbClient, tkn: int) -> dict[str, JsonValue]:
    keys = await client.sh_get(await client.sh_keys(tkn), tkn)
    return {name: keys[name] for name in sorted(keys)}


async def version_of(client: NdbClient, tkn: int) -> JsonValue:
    reserved = (await client.sh_get([RESERVED_KEY], tkn))[RESERVED_KEY]
    assert isinstance(reserved, dict)
    return reserved["version"]


async def old_session(client: NdbClient) -> int:
    """Return the token of a session that code of version 1 has written."""
    return (await Repository(client, UserV1).save(UserV1(name="billy", role="admin", visits=3))).tkn


AS_V3 = UserV3(username="billy", role=["ADMIN"], visits=3)


# Reading, changing and reading again


async def test_a_session_of_version_1_is_read_changed_and_read_by_version_3(client: NdbClient) -> None:
    tkn = await old_session(client)
    repo = Repository(client, UserV3)
    assert await repo.get(tkn) == AS_V3
    async with repo.edit(tkn) as user:
        user.role.append("OWNER")
    assert await repo.get(tkn) == UserV3(username="billy", role=["ADMIN", "OWNER"], visits=3)
    before = await stored(client, tkn)
    for refused in (Repository(client, UserV1).get, Repository(client, UserV2).get):
        with pytest.raises(NewerVersionError) as caught:
            await refused(tkn)
        assert caught.value.stored == 3
        assert "deploy the newer code" in str(caught.value)
        assert str(tkn) not in str(caught.value)
    assert await stored(client, tkn) == before


async def test_each_step_runs_once_for_a_read_and_none_once_it_is_written_back(
    client: NdbClient, runs: list[int]
) -> None:
    tkn = await old_session(client)
    repo = Repository(client, UserV3)
    await repo.get(tkn)
    assert runs == [1, 2]
    await repo.get(tkn)
    assert runs == [1, 2, 1, 2]
    async with repo.edit(tkn) as user:
        user.visits += 1
    assert runs == [1, 2] * 3
    await repo.get(tkn)
    await repo.update(tkn, visits=9)
    assert runs == [1, 2] * 3


async def test_reading_writes_nothing(timed: NdbClient, engine: RecordingEngine, clock: VirtualClock) -> None:
    tkn = (await Repository(timed, UserV1, clock=clock).save(UserV1(name="billy"))).tkn
    before = await stored(timed, tkn)
    engine.commands()
    repo = Repository(timed, UserV3, clock=clock)
    await repo.get(tkn)
    assert engine.commands() == ["SH_GET", "SH_KEYS", "SH_PEEK"]
    await repo.get_many([tkn])
    await repo.project(tkn, Name)
    assert await stored(timed, tkn) == before


async def test_the_next_write_writes_the_upgrade_with_it_in_one_request(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    v1 = await Repository(timed, UserV1, clock=clock).save(UserV1(name="billy", role="admin"))
    before = await stored(timed, v1.tkn)
    repo = Repository(timed, UserV3, clock=clock)
    user = await repo.get(v1.tkn)
    user.visits = 1
    engine.commands()
    await repo.save(user)
    envelope = before[RESERVED_KEY]
    assert isinstance(envelope, dict)
    assert engine.requests()[2:] == [
        (
            "SH_CHANGE",
            {
                "tkn": v1.tkn,
                "digests": {RESERVED_KEY: digest_of(envelope)},
                "keys": {
                    "username": "billy",
                    "role": ["ADMIN"],
                    "visits": 1,
                    "name": {"__ndb__": "removed"},
                    RESERVED_KEY: {**envelope, "version": 3, "upgraded": True, "by": form_of(UserV3)},
                },
            },
        ),
        ("SH_RMV", {"tkn": v1.tkn, "keys": ["name"]}),
    ]
    user.visits = 2
    await repo.save(user)
    assert engine.requests() == [("SH_SET", {"tkn": v1.tkn, "keys": {"visits": 2}})]


def digest_of(value: object) -> str:
    """Return the digest that a change compares with, of a value that the repository wrote."""
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:32]


async def test_what_the_upgrade_leaves_alone_is_not_written(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    tkn = (await Repository(timed, UserV1, clock=clock).save(UserV1(name="billy"))).tkn
    user = await Repository(timed, UserV3, clock=clock).get(tkn)
    engine.commands()
    await Repository(timed, UserV3, clock=clock).save(user)
    writes = [body["keys"] for name, body in engine.requests() if name == "SH_CHANGE"]
    assert [sorted(keys) for keys in writes] == [["__ndb__", "name", "role", "username"]]


async def test_saving_without_a_change_writes_the_upgrade_back(client: NdbClient) -> None:
    tkn = await old_session(client)
    repo = Repository(client, UserV3)
    async with repo.edit(tkn):
        pass
    assert await version_of(client, tkn) == 3
    assert await repo.get(tkn) == AS_V3
    assert sorted(await client.sh_keys(tkn)) == ["__ndb__", "role", "username", "visits"]


async def test_changing_a_field_writes_the_upgrade_back(client: NdbClient) -> None:
    tkn = await old_session(client)
    repo = Repository(client, UserV3)
    assert await repo.update(tkn, visits=4) == AS_V3.model_copy(update={"visits": 4})
    assert await version_of(client, tkn) == 3
    assert await repo.get(tkn) == AS_V3.model_copy(update={"visits": 4})


async def test_an_edit_that_fails_writes_no_upgrade(client: NdbClient) -> None:
    tkn = await old_session(client)
    before = await stored(client, tkn)
    with pytest.raises(ZeroDivisionError):
        async with Repository(client, UserV3).edit(tkn):
            raise ZeroDivisionError
    assert await stored(client, tkn) == before


async def test_all_else_in_the_reserved_key_is_kept(client: NdbClient) -> None:
    tkn = await old_session(client)
    reserved = (await client.sh_get([RESERVED_KEY], tkn))[RESERVED_KEY]
    assert isinstance(reserved, dict)
    await client.sh_set({RESERVED_KEY: {**reserved, "of later code": [1]}}, tkn)
    await Repository(client, UserV3).update(tkn, visits=4)
    after = (await client.sh_get([RESERVED_KEY], tkn))[RESERVED_KEY]
    by = form_of(UserV3)
    assert after == {**reserved, "of later code": [1], "version": 3, "upgraded": True, "by": by}


async def test_the_absolute_end_is_kept(timed: NdbClient, clock: VirtualClock) -> None:
    tkn = (await Repository(timed, UserV1, clock=clock).save(UserV1(name="billy"))).tkn
    repo = Repository(timed, UserV3, clock=clock)
    for _ in range(11):
        clock.move(50)
        await repo.update(tkn, visits=(await repo.get(tkn)).visits + 1)
    clock.move(50)
    with pytest.raises(SessionExpiredError):
        await repo.get(tkn)


async def test_writing_an_upgrade_back_counts_as_a_write(timed: NdbClient, clock: VirtualClock) -> None:
    tkn = (await Repository(timed, UserV1, clock=clock).save(UserV1(name="billy"))).tkn
    repo = Repository(timed, UserV3, clock=clock)
    user = await repo.get(tkn)
    clock.move(59)
    await repo.save(user)
    clock.move(59)
    assert await repo.exists(tkn)


async def test_a_copy_and_a_pickle_write_the_upgrade_back_too(client: NdbClient) -> None:
    repo = Repository(client, UserV3)
    travels: list[Callable[[UserV3], UserV3]] = [
        copy.copy,
        copy.deepcopy,
        lambda user: pickle.loads(pickle.dumps(user)),
    ]
    for travel in travels:
        tkn = await old_session(client)
        await repo.save(travel(await repo.get(tkn)))
        assert await version_of(client, tkn) == 3
        assert await repo.get(tkn) == AS_V3


# Eagerly


@pytest.mark.parametrize("verb", ["get", "get_or_none", "get_many", "refresh", "edit"])
async def test_it_is_written_back_at_once_where_that_is_asked_for(
    client: NdbClient, verb: str, runs: list[int]
) -> None:
    tkn = await old_session(client)
    repo = Repository(client, UserV3, rewrite=True)
    if verb == "refresh":
        user = await Repository(client, UserV3).get(tkn)
        runs.clear()
        assert await repo.refresh(user) == AS_V3
    elif verb == "get_many":
        assert await repo.get_many([tkn]) == [AS_V3]
    elif verb == "edit":
        async with repo.edit(tkn) as user:
            assert await version_of(client, tkn) == 3
            user.visits = 3
    else:
        assert await getattr(repo, verb)(tkn) == AS_V3
    assert runs == [1, 2]
    assert await version_of(client, tkn) == 3
    assert sorted(await client.sh_keys(tkn)) == ["__ndb__", "role", "username", "visits"]
    assert await repo.get(tkn) == AS_V3
    assert runs == [1, 2]


async def test_what_does_not_fit_is_not_written_back(client: NdbClient) -> None:
    tkn = await old_session(client)
    await client.sh_set({"visits": "canary"}, tkn)
    before = await stored(client, tkn)
    with pytest.raises(StoredDataError):
        await Repository(client, UserV3, rewrite=True).get(tkn)
    assert await stored(client, tkn) == before


async def test_many_readers_who_write_back_at_once_do_no_harm(client: NdbClient) -> None:
    tkn = await old_session(client)
    repos = [Repository(client, UserV3, rewrite=True) for _ in range(5)]

    async def visit(repo: Repository[UserV3], number: int) -> None:
        async with repo.edit(tkn) as user:
            user.role.append(str(number))
            user.visits = 100

    results = await asyncio.gather(
        *(repo.get(tkn) for repo in repos), visit(repos[0], 0), *(repo.get(tkn) for repo in repos)
    )
    assert {result.username for result in results if result is not None} == {"billy"}
    assert await repos[0].get(tkn) == UserV3(username="billy", role=["ADMIN", "0"], visits=100)


async def test_of_two_who_change_different_fields_of_an_old_session_both_survive(client: NdbClient) -> None:
    tkn = await old_session(client)
    one, other = Repository(client, UserV3), Repository(client, UserV3)
    first, second = await one.get(tkn), await other.get(tkn)
    first.role.append("OWNER")
    second.visits = 100
    await asyncio.gather(one.save(first), other.save(second))
    assert await one.get(tkn) == UserV3(username="billy", role=["ADMIN", "OWNER"], visits=100)


# Newer code, and much older


LOOKING: dict[str, Callable[[Repository[Any], Any], Awaitable[object]]] = {
    "get": lambda repo, user: repo.get(user.tkn),
    "get_or_none": lambda repo, user: repo.get_or_none(user.tkn),
    "refresh": lambda repo, user: repo.refresh(user),
    "update": lambda repo, user: repo.update(user.tkn, visits=5),
    "edit": lambda repo, user: repo.edit(user.tkn).__aenter__(),
    "rotate": lambda repo, user: repo.rotate(user),
    "project": lambda repo, user: repo.project(user.tkn, Visits),
}


class Visits(BaseModel):
    visits: int


class Name(BaseModel):
    username: str


@pytest.mark.parametrize("verb", LOOKING)
@pytest.mark.parametrize("on_invalid", ["raise", "end"])
async def test_a_newer_session_is_refused_by_all_that_look_into_it_and_left_as_it_is(
    client: NdbClient, verb: str, on_invalid: Any
) -> None:
    old = Repository(client, UserV1, on_invalid=on_invalid)
    user = await old.save(UserV1(name="billy"))
    await Repository(client, UserV3, rewrite=True).get(user.tkn)
    before = await stored(client, user.tkn)
    with pytest.raises(NewerVersionError) as caught:
        await LOOKING[verb](old, user)
    assert (caught.value.model, caught.value.stored, caught.value.version) == ("UserV1", 3, 1)
    assert isinstance(caught.value, SessionError)
    assert await stored(client, user.tkn) == before
    assert (await client.sh_info_all())["totalSessions"] == 1


@pytest.mark.parametrize("model", [UserV1, UserV4])
async def test_verbs_that_look_into_nothing_take_a_session_of_any_version(
    client: NdbClient, model: type[UserV1 | UserV4]
) -> None:
    tkn = (await Repository(client, UserV2).save(UserV2(username="billy"))).tkn
    repo: Repository[Any] = Repository(client, model)
    assert await repo.exists(tkn)
    await repo.touch(tkn)
    assert await repo.ttl(tkn) is not None
    assert json.loads((await repo.raw(tkn))["username"]) == "billy"
    assert await version_of(client, tkn) == 2
    assert await repo.delete(tkn)
    assert await repo.exists(tkn) is False


@pytest.mark.parametrize("verb", sorted(set(LOOKING) - {"rotate"}))
async def test_a_session_of_before_the_oldest_version_is_refused_and_left_as_it_is(
    client: NdbClient, verb: str
) -> None:
    repo = Repository(client, UserV4)
    user = await repo.save(UserV4(username="billy", role=[]))
    reserved: dict[str, JsonValue] = {"schema": "user", "version": 2, "tkn": user.tkn}
    await client.sh_set({"role": "admin", RESERVED_KEY: reserved}, user.tkn)
    before = await stored(client, user.tkn)
    with pytest.raises(OlderVersionError, match="from version 3 on: lower oldest=") as caught:
        await LOOKING[verb](repo, user)
    assert (caught.value.stored, caught.value.oldest) == (2, 3)
    assert await stored(client, user.tkn) == before


async def test_a_session_of_before_the_oldest_version_is_ended_where_what_does_not_fit_is(client: NdbClient) -> None:
    tkn = (await Repository(client, UserV2).save(UserV2(username="billy"))).tkn
    with pytest.raises(SessionGoneError):
        await Repository(client, UserV4, on_invalid="end").get(tkn)
    assert (await client.sh_info_all())["totalSessions"] == 0


@pytest.mark.parametrize("version", [0, -1, True, 1.5, "1", None, [1]])
async def test_what_is_no_version_is_none_of_ours(client: NdbClient, version: Any) -> None:
    repo = Repository(client, UserV1)
    user = await repo.save(UserV1(name="billy"))
    await client.sh_set({RESERVED_KEY: {"schema": "user", "version": version, "tkn": user.tkn}}, user.tkn)
    before = await stored(client, user.tkn)
    with pytest.raises(ForeignSessionError):
        await repo.get(user.tkn)
    assert await repo.delete_many([user.tkn]) != [True]
    assert await stored(client, user.tkn) == before


async def test_what_old_code_still_writes_after_an_upgrade_is_not_seen_unless_it_looks_first(
    client: NdbClient,
) -> None:
    """Nothing in the protocol is conditional: old code that holds a session may write into the new version of it."""
    old, new = Repository(client, UserV1), Repository(client, UserV3, rewrite=True)
    careful = Repository(client, UserV1, verify_version=True)
    tkn = await old_session(client)
    blind, looking = await old.get(tkn), await careful.get(tkn)
    await new.get(tkn)
    before = await stored(client, tkn)
    looking.role = "owner"
    with pytest.raises(NewerVersionError):
        await careful.save(looking)
    assert await stored(client, tkn) == before
    blind.role = "owner"
    await old.save(blind)
    with pytest.raises(StoredDataError):
        await new.get(tkn)


async def test_who_looks_first_writes_as_ever_while_nobody_has_upgraded(client: NdbClient) -> None:
    repo = Repository(client, UserV1, verify_version=True)
    tkn = await old_session(client)
    await repo.update(tkn, role="owner")
    user = await repo.get(tkn)
    assert (user.role, user.visits) == ("owner", 3)
    await repo.delete(tkn)
    with pytest.raises(SessionGoneError):
        await repo.save(user)


async def test_what_old_code_has_written_since_is_upgraded_with_the_rest(client: NdbClient, runs: list[int]) -> None:
    tkn = await old_session(client)
    repo = Repository(client, UserV3)
    user = await repo.get(tkn)
    await Repository(client, UserV1).update(tkn, role="owner")
    user.visits = 100
    await repo.save(user)
    assert runs == [1, 2, 1, 2]
    assert await repo.get(tkn) == UserV3(username="billy", role=["OWNER"], visits=100)


async def test_what_does_not_fit_since_it_was_read_is_not_written_back(client: NdbClient) -> None:
    tkn = await old_session(client)
    repo = Repository(client, UserV3)
    user = await repo.get(tkn)
    await client.sh_set({"visits": "canary"}, tkn)
    before = await stored(client, tkn)
    user.role.append("OWNER")
    with pytest.raises(StoredDataError) as caught:
        await repo.save(user)
    assert "canary" not in str(caught.value)
    assert await stored(client, tkn) == before


async def test_who_was_upgraded_meanwhile_writes_only_what_changed(client: NdbClient, runs: list[int]) -> None:
    tkn = await old_session(client)
    repo = Repository(client, UserV3)
    late = await repo.get(tkn)
    await repo.update(tkn, role=["THEIRS"])
    late.visits = 100
    runs.clear()
    await repo.save(late)
    assert runs == []
    assert await repo.get(tkn) == UserV3(username="billy", role=["THEIRS"], visits=100)


async def test_who_was_upgraded_by_newer_code_meanwhile_is_refused(client: NdbClient) -> None:
    repo = Repository(client, UserV2)
    tkn = await old_session(client)
    late = await repo.get(tkn)
    await Repository(client, UserV3, rewrite=True).get(tkn)
    before = await stored(client, tkn)
    late.visits = 100
    with pytest.raises(NewerVersionError):
        await repo.save(late)
    assert await stored(client, tkn) == before


async def test_a_session_that_ends_before_its_upgrade_is_written_stays_ended(client: NdbClient) -> None:
    repo = Repository(client, UserV3)
    user = await repo.get(await old_session(client))
    await repo.delete(user.tkn)
    with pytest.raises(SessionGoneError):
        await repo.save(user)
    assert (await client.sh_info_all())["totalSessions"] == 0


# Steps that fail


@in_place_of(UserV2)
class Failing(SessionModel, schema="user", version=2):
    username: str = ""


@Failing.upgrade(1)
def fails(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    raise RuntimeError(str(keys["name"]))


@pytest.mark.parametrize("verb", sorted(set(LOOKING) - {"rotate", "refresh"}))
@pytest.mark.parametrize("on_invalid", ["raise", "end"])
async def test_a_step_that_fails_leaves_the_session_whatever_becomes_of_those_that_do_not_fit(
    client: NdbClient, verb: str, on_invalid: Any
) -> None:
    tkn = await old_session(client)
    before = await stored(client, tkn)
    user = copy.copy(await Repository(client, UserV1).get(tkn))
    repo = Repository(client, Failing, on_invalid=on_invalid, rewrite=True)
    asked = LOOKING[verb] if verb != "project" else lambda repo, user: repo.project(user.tkn, Name)
    with pytest.raises(UpgradeError, match=r"Failing.*upgrade\(1\).*raised RuntimeError") as caught:
        await asked(repo, user)
    assert isinstance(caught.value, StoredDataError)
    assert "billy" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert await stored(client, tkn) == before


async def test_what_does_not_fit_after_its_upgrade_is_refused_or_ended(client: NdbClient) -> None:
    tkn = await old_session(client)
    await client.sh_set({"visits": "canary"}, tkn)
    with pytest.raises(StoredDataError, match="visits") as caught:
        await Repository(client, UserV3).get(tkn)
    assert "canary" not in str(caught.value)
    assert await Repository(client, UserV3, on_invalid="end").get_or_none(tkn) is None
    assert (await client.sh_info_all())["totalSessions"] == 0


# Other verbs, other models


async def test_a_view_shows_the_upgraded_session(client: NdbClient) -> None:
    tkn = await old_session(client)
    assert await Repository(client, UserV3, rewrite=True).project(tkn, Name) == Name(username="billy")
    assert await version_of(client, tkn) == 1


async def test_a_view_that_forbids_other_fields_is_given_none(client: NdbClient) -> None:
    class Strict(BaseModel, extra="forbid"):
        username: str

    assert await Repository(client, UserV3).project(await old_session(client), Strict) == Strict(username="billy")


async def test_rotating_keeps_the_version_that_is_stored(client: NdbClient) -> None:
    repo = Repository(client, UserV3)
    tkn = await old_session(client)
    user = await repo.get(tkn)
    user.visits = 100
    await repo.rotate(user)
    assert user.tkn != tkn
    assert await version_of(client, user.tkn) == 1
    assert await Repository(client, UserV1).get(user.tkn) == UserV1(name="billy", role="admin", visits=3)
    await repo.save(user)
    assert await version_of(client, user.tkn) == 3
    assert await repo.get(user.tkn) == UserV3(username="billy", role=["ADMIN"], visits=100)


async def test_an_open_session_is_upgraded_with_all_that_it_holds(client: NdbClient) -> None:
    old, new = Repository(client, Open1), Repository(client, Open2)
    tkn = (await old.save(Open1.model_validate({"name": "billy", "theme": "dark"}))).tkn
    async with new.edit(tkn) as user:
        assert user == Open2.model_validate({"username": "billy", "theme": "dark"})
        assert user.model_extra is not None
        del user.model_extra["theme"]
        user.model_extra["size"] = 3
    assert await new.get(tkn) == Open2.model_validate({"username": "billy", "size": 3})
    assert sorted(await client.sh_keys(tkn)) == ["__ndb__", "size", "username"]


async def test_a_foreign_session_has_no_version_and_is_read_as_the_current(client: NdbClient, runs: list[int]) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"username": "billy", "role": ["ADMIN"], "visits": 3}, tkn)
    repo = Repository(client, UserV3, foreign=True, rewrite=True)
    assert await repo.get(tkn) == AS_V3
    await repo.update(tkn, visits=4)
    assert runs == []
    assert await client.sh_contains([RESERVED_KEY], tkn) == []


async def test_a_creation_that_was_cut_short_is_incomplete_in_any_version(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"name": "b", RESERVED_KEY: {"schema": "user", "version": 1}}, tkn)
    with pytest.raises(IncompleteSessionError):
        await Repository(client, UserV3).get(tkn)


@pytest.mark.parametrize("name", ["__ndb__", "__ndb__:staged"])
async def test_an_extra_may_not_have_a_name_that_an_upgrade_uses(client: NdbClient, name: str) -> None:
    with pytest.raises(UnstorableError, match="reserved"):
        await Repository(client, Open1).save(Open1.model_validate({"name": "b", name: 1}))
    await Repository(client, Open1).save(Open1.model_validate({"name": "b", "__ndb__x": 1}))


async def test_a_foreign_session_is_taken_by_an_open_model_that_has_versions(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"username": "billy", "theme": "dark"}, tkn)
    repo = Repository(client, Open2, foreign=True)
    assert await repo.get(tkn) == Open2.model_validate({"username": "billy", "theme": "dark"})
    with pytest.raises(ForeignSessionError):
        await Repository(client, Open2).get(tkn)
