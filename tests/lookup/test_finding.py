"""Finding sessions by the values of their fields."""

from __future__ import annotations

import enum
import uuid
from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import EmailStr, Field, field_validator

from ndb_models import (
    Expiry,
    InvalidArgumentError,
    Lookup,
    NdbClient,
    Repository,
    SessionGoneError,
    SessionModel,
    StoredDataError,
)
from ndb_models.index.entries import PENDING_SECONDS
from ndb_models.server import NdbServer
from tests.lookup.models import Login, Plain, Visit
from tests.lookup.truth import Scene
from tests.lookup.turns import GatedTransport, TransportClient


async def test_the_sessions_of_a_user_are_found_in_the_order_in_which_they_came(logins: Repository[Login]) -> None:
    mine = [await logins.save(Login(user_id=7, note=str(number))) for number in range(3)]
    await logins.save(Login(user_id=8))
    found = await logins.find(user_id=7)
    assert sorted(session.note for session in found) == ["0", "1", "2"]
    assert {session.tkn for session in found} == {session.tkn for session in mine}
    assert await logins.find(user_id=9) == []


async def test_the_order_is_that_of_the_clock(scene: Scene) -> None:
    for number in (2, 0, 1):
        await scene.logins.save(Login(user_id=7, note=str(number)))
        scene.clock.move(1)
    assert [session.note for session in await scene.logins.find(user_id=7)] == ["2", "0", "1"]


async def test_what_is_found_is_a_session_like_any_other(logins: Repository[Login]) -> None:
    await logins.save(Login(user_id=7))
    (session,) = await logins.find(user_id=7)
    session.note = "changed"
    await logins.save(session)
    assert (await logins.get(session.tkn)).note == "changed"


async def test_several_fields_have_to_be_true_at_once(visits: Repository[Visit]) -> None:
    for user_id, device in ((7, "phone"), (7, "tablet"), (8, "phone")):
        await visits.save(Visit(user_id=user_id, device=device))
    assert await visits.find(user_id=7, device="phone") == [Visit(user_id=7, device="phone")]
    assert await visits.find(user_id=8, device="tablet") == []
    assert len(await visits.find(device="phone")) == 2


@pytest.mark.parametrize("verb", ["save", "update", "edit"])
async def test_a_change_of_the_field_moves_the_session(logins: Repository[Login], verb: str) -> None:
    session = await logins.save(Login(user_id=7, email="a"))
    if verb == "update":
        await logins.update(session.tkn, user_id=8, email="b")
    elif verb == "edit":
        async with logins.edit(session.tkn) as edited:
            edited.user_id, edited.email = 8, "b"
    else:
        session.user_id, session.email = 8, "b"
        await logins.save(session)
    assert await logins.find(user_id=7) == []
    assert [found.tkn for found in await logins.find(user_id=8)] == [session.tkn]
    assert await logins.find_one(email="a") is None
    assert await logins.find_one(email="b") == Login(user_id=8, email="b")


async def test_a_session_that_moved_leaves_no_entry_behind(scene: Scene) -> None:
    session = await scene.logins.save(Login(user_id=7, email="a"))
    await scene.logins.update(session.tkn, user_id=8)
    await scene.logins.update(session.tkn, user_id=9)
    members = [[*entries.values()] for entries in (await scene.listed()).values()]
    assert sorted(map(len, members)) == [0, 0, 1, 1]


async def test_none_is_not_looked_up(logins: Repository[Login]) -> None:
    await logins.save_many([Login(), Login()])
    session = await logins.save(Login(user_id=7, email="a"))
    await logins.update(session.tkn, user_id=None, email=None)
    assert await logins.find(user_id=7) == []
    await logins.save(Login(email="a"))
    for asking in (logins.find(user_id=None), logins.find_one(email=None), logins.end_all_for(user_id=None)):  # type: ignore[ndb-value]  # the mistake
        with pytest.raises(InvalidArgumentError, match="None is not looked up"):
            await asking


async def test_a_session_that_has_ended_is_found_no_more(logins: Repository[Login], client: NdbClient) -> None:
    deleted, ended, rotated = [await logins.save(Login(user_id=7, email=email)) for email in "abc"]
    await logins.delete(deleted.tkn)
    await client.sh_end(ended.tkn)
    await logins.rotate(rotated)
    assert [session.tkn for session in await logins.find(user_id=7)] == [rotated.tkn]
    assert await logins.find_one(email="a") is None
    assert await logins.find_one(email="b") is None
    found = await logins.find_one(email="c")
    assert found is not None
    assert found.tkn == rotated.tkn


async def test_a_deleted_session_leaves_no_entry_behind(scene: Scene) -> None:
    for session in [await scene.logins.save(Login(user_id=7, email=email)) for email in "ab"]:
        await scene.logins.delete(session.tkn)
    members = [member for entries in (await scene.listed()).values() for member in entries.values()]
    assert {tkn for tkn, _ in members} <= {0}


async def test_what_expired_is_removed_by_the_next_who_looks(scene: Scene) -> None:
    await scene.logins.save(Login(user_id=7))
    expired = Expiry(idle=1)
    await scene.logins.save(Login(user_id=7, note="short"), expiry=expired)
    scene.clock.move(1)
    assert len(await scene.logins.find(user_id=7)) == 1
    assert [len(entries) for entries in (await scene.listed()).values()] == [1]


async def test_what_is_false_and_may_become_true_is_removed_later(scene: Scene) -> None:
    session = await scene.logins.save(Login(user_id=7))
    await scene.client.sh_set({"user_id": 8}, session.tkn)
    for expected in (1, 1, 0):
        assert await scene.logins.find(user_id=7) == []
        assert [len(entries) for entries in (await scene.listed()).values()] == [expected]
        scene.clock.move(PENDING_SECONDS / 2)


async def test_finding_nothing_leaves_nothing_behind(logins: Repository[Login], client: NdbClient) -> None:
    assert await logins.find(user_id=7) == []
    assert await logins.find_one(email="a") is None
    assert await logins.end_all_for(user_id=7) == 0
    assert (await client.kv_count(), await client.sh_info_all()) == (0, {"totalSessions": 0, "totalKeys": 0})


async def test_an_entry_alone_makes_no_session_found(logins: Repository[Login], client: NdbClient) -> None:
    session = await logins.save(Login(user_id=7))
    other = await Repository(client, Plain).save(Plain(user_id=7))
    foreign = await client.sh_create_session()
    await client.sh_set({"user_id": 7}, foreign.tkn)
    (name,) = await client.kv_keys()
    entries = (await client.kv_get([name]))[name]
    assert isinstance(entries, int)
    added = {str(tkn): [tkn, 0] for tkn in (other.tkn, foreign.tkn, 12345)}
    await client.sh_set({**added, "no number": [1, 2], "1": "no entry", "2": [-5, 0]}, entries)
    assert [found.tkn for found in await logins.find(user_id=7)] == [session.tkn]
    assert await Repository(client, Plain).get(other.tkn) == Plain(user_id=7)


async def test_another_schema_has_an_index_of_its_own(client: NdbClient) -> None:
    class Admin(Login):
        """The same fields."""

    await Repository(client, Login).save(Login(user_id=7, email="a"))
    admins = Repository(client, Admin)
    assert await admins.find(user_id=7) == []
    await admins.save(Admin(user_id=7, email="a"))
    assert len(await admins.find(user_id=7)) == 1


async def test_find_one_is_for_unique_fields(logins: Repository[Login]) -> None:
    session = await logins.save(Login(user_id=7, email="a"))
    with pytest.raises(InvalidArgumentError, match=r"Lookup\(unique=True\); find\(\) returns all"):
        await logins.find_one(user_id=7)  # type: ignore[ndb-field]  # the mistake
    found = await logins.find_one(email="a", user_id=7)
    assert found is not None
    assert found.tkn == session.tkn
    assert await logins.find_one(email="a", user_id=8) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "name at least one field to look for; Login has email, user_id"),
        ({"note": "x"}, "Login has no Lookup field 'note'; it has email, user_id"),
        ({"user_id": 7, "e_mail": "x"}, "no Lookup field 'e_mail'"),
        ({"user_id": "canary"}, "Login.user_id: Input should be a valid integer"),
        ({"email": 5}, "Login.email: Input should be a valid string"),
        ({"email": "\ud800"}, "Login.email: "),
    ],
)
async def test_what_cannot_be_looked_for_is_refused(
    logins: Repository[Login], values: dict[str, Any], message: str
) -> None:
    for asking in (logins.find(**values), logins.find_one(**values), logins.end_all_for(**values)):
        with pytest.raises(InvalidArgumentError, match=r".") as caught:
            await asking
        assert message in str(caught.value)
        assert "canary" not in f"{caught.value}{caught.value.__cause__}"


async def test_a_class_without_lookups_says_how_to_declare_one(client: NdbClient) -> None:
    plain = Repository(client, Plain)
    for asking in (plain.find(user_id=7), plain.find_one(user_id=7), plain.end_all_for(user_id=7), plain.reindex()):  # type: ignore[ndb-field]  # the mistake
        with pytest.raises(InvalidArgumentError, match=r"user_id: Annotated\[int, Lookup\(\)\]"):
            await asking


async def test_a_class_without_lookups_sends_what_it_always_sent(scene: Scene) -> None:
    transport = GatedTransport(scene.engine)
    plain = Repository(TransportClient(transport), Plain)
    session = await plain.save(Plain(user_id=7))
    session.user_id = 8
    await plain.save(session)
    await plain.delete(session.tkn)
    assert transport.commands == ["SH_NEW_SET", "SH_SET", "SH_PEEK", "SH_END"]


class Colour(enum.Enum):
    RED = "red"


class Many(SessionModel):
    colour: Annotated[Colour | None, Lookup()] = None
    number: Annotated[uuid.UUID | None, Lookup()] = None
    day: Annotated[date | None, Lookup()] = None
    address: Annotated[EmailStr | None, Lookup()] = Field(None, alias="e-mail")
    place: Annotated[dict[str, int] | None, Lookup()] = None
    yes: Annotated[bool | None, Lookup()] = None
    big: Annotated[int | None, Lookup()] = None
    words: Annotated[tuple[str, ...] | None, Lookup()] = None
    name: Annotated[str | None, Lookup()] = None

    @field_validator("name")
    @classmethod
    def _folded(cls, name: str | None) -> str | None:
        return name.casefold() if name else name


@pytest.mark.parametrize(
    ("field", "value", "same"),
    [
        ("colour", Colour.RED, "red"),
        ("number", uuid.UUID(int=5), str(uuid.UUID(int=5))),
        ("day", date(2026, 1, 2), "2026-01-02"),
        ("address", "Billy@example.org", "Billy@EXAMPLE.org"),
        ("place", {"x": 1, "y": 2}, {"y": 2, "x": 1}),
        ("yes", True, "true"),
        ("big", 2**53 + 1, str(2**53 + 1)),
        ("words", ("a", "é\u2028"), ["a", "é\u2028"]),
        ("name", "BILLY", "billy"),
        ("name", "'\"\\\x00", "'\"\\\x00"),
    ],
)
async def test_a_value_is_found_however_it_is_given(client: NdbClient, field: str, value: object, same: object) -> None:
    repo = Repository(client, Many)
    alias = "e-mail" if field == "address" else field
    session = await repo.save(Many.model_validate({alias: value}))
    await repo.save(Many.model_validate({}))
    for given in (value, same):
        looked_for: dict[str, Any] = {field: given}
        assert [found.tkn for found in await repo.find(**looked_for)] == [session.tkn]


async def test_the_value_stands_nowhere_in_the_index(scene: Scene) -> None:
    session = await scene.logins.save(Login(email="canary@example.org"))
    names = await scene.client.kv_keys()
    assert "canary" not in f"{names}{await scene.listed()}"
    assert all(name.startswith("__ndb__:Login:email:") for name in names)
    await scene.logins.delete(session.tkn)


async def test_a_session_that_does_not_fit_is_an_error_or_ended(client: NdbClient) -> None:
    session = await Repository(client, Visit).save(Visit(user_id=7))
    await client.sh_set({"note": 5}, session.tkn)
    with pytest.raises(StoredDataError, match="note"):
        await Repository(client, Visit).find(user_id=7)
    ending = Repository(client, Visit, on_invalid="end")
    with pytest.raises(SessionGoneError):
        await ending.get(session.tkn)
    assert await ending.find(user_id=7) == []


async def test_a_session_that_does_not_fit_does_not_hide_the_others(client: NdbClient) -> None:
    spoilt, sound = [await Repository(client, Visit).save(Visit(user_id=7)) for _ in range(2)]
    await client.sh_set({"note": 5}, spoilt.tkn)
    found = await Repository(client, Visit, on_invalid="end").find(user_id=7)
    assert [session.tkn for session in found] == [sound.tkn]
    assert await client.sh_session_exists([spoilt.tkn]) == []


async def test_open_models_are_found_whole(client: NdbClient) -> None:
    class Open(SessionModel, schema="finding-open", extra="allow"):
        user_id: Annotated[int, Lookup()]

    repo = Repository(client, Open)
    await repo.save(Open.model_validate({"user_id": 7, "theme": "dark"}))
    assert await repo.find(user_id=7) == [Open.model_validate({"user_id": 7, "theme": "dark"})]


async def test_sessions_of_other_clients_are_found_once_they_are_known(client: NdbClient) -> None:
    repo = Repository(client, Visit, foreign=True)
    foreign = await client.sh_create_session()
    await client.sh_set({"user_id": 7}, foreign.tkn)
    assert await repo.find(user_id=7) == []
    assert (await repo.reindex([foreign.tkn])).added == 2
    assert await repo.find(user_id=7, device="phone") == [Visit(user_id=7)]


@pytest.mark.slow
@pytest.mark.parametrize("max_payload", [1024, 8192])
async def test_more_sessions_than_a_frame_names_are_found(server: NdbServer, max_payload: int) -> None:
    async with NdbClient.connect(server.uri, max_payload=max_payload) as client:
        repo = Repository(client, Visit)
        tokens = [
            saved.tkn
            for saved in await repo.save_many(Visit(user_id=7) for _ in range(500))
            if isinstance(saved, Visit)
        ]
        assert len(await repo.find(user_id=7)) == 500
        for tkn in tokens[:200]:
            await client.sh_end(tkn)
        assert len(await repo.find(user_id=7)) == 300
        assert await repo.end_all_for(user_id=7) == 300
        assert await repo.find(user_id=7) == []
