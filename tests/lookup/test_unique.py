"""Unique values: one session has each."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

import pytest

from ndb_models import (
    ConnectionLostError,
    DuplicateError,
    InvalidArgumentError,
    Lookup,
    NdbClient,
    NdbError,
    PayloadTooLargeError,
    Repository,
    SessionModel,
    UnstorableError,
)
from ndb_models.index.entries import PENDING_SECONDS
from tests.lookup.models import Login
from tests.lookup.truth import Scene
from tests.lookup.turns import GatedTransport, MortalTransport, TransportClient


class Account(SessionModel, schema="unique-account"):
    name: Annotated[str | None, Lookup(unique=True)] = None
    email: Annotated[str | None, Lookup(unique=True)] = None
    note: str = ""


async def test_a_value_that_is_taken_is_refused_by_the_name_of_its_field(
    logins: Repository[Login], client: NdbClient
) -> None:
    await logins.save(Login(email="canary"))
    before = await client.sh_info_all()
    with pytest.raises(DuplicateError, match=r"Login\.email: another session has this value") as caught:
        await logins.save(Login(email="canary"))
    assert (caught.value.model, caught.value.field) == ("Login", "email")
    assert "canary" not in str(caught.value)
    assert await client.sh_info_all() == before


async def test_a_change_to_a_value_that_is_taken_changes_nothing(logins: Repository[Login]) -> None:
    await logins.save(Login(email="a"))
    session = await logins.save(Login(email="b", user_id=7))
    with pytest.raises(DuplicateError):
        await logins.update(session.tkn, email="a", user_id=8)
    assert await logins.get(session.tkn) == Login(email="b", user_id=7)
    assert await logins.find_one(email="b") == Login(email="b", user_id=7)
    assert [found.tkn for found in await logins.find(user_id=7)] == [session.tkn]


async def test_a_session_is_no_duplicate_of_itself(logins: Repository[Login]) -> None:
    session = await logins.save(Login(email="a"))
    session.note = "changed"
    await logins.save(session)
    await logins.update(session.tkn, email="a")
    await logins.update(session.tkn, email="b")
    await logins.update(session.tkn, email="a")
    await logins.save(session)
    await logins.rotate(session)
    assert (await logins.find_one(email="a")) == Login(email="a", note="changed")


async def test_a_value_is_free_as_soon_as_its_session_has_left_it(logins: Repository[Login], client: NdbClient) -> None:
    first = await logins.save(Login(email="a"))
    await logins.update(first.tkn, email="b")
    second = await logins.save(Login(email="a"))
    await logins.delete(second.tkn)
    third = await logins.save(Login(email="a"))
    await client.sh_end(third.tkn)
    await logins.save(Login(email="a"))
    with pytest.raises(DuplicateError):
        await logins.save(Login(email="a"))


async def test_of_many_who_want_a_value_at_once_one_has_it(logins: Repository[Login], client: NdbClient) -> None:
    results = await logins.save_many(Login(email="a") for _ in range(50))
    assert sum(isinstance(result, Login) for result in results) == 1
    assert sum(isinstance(result, DuplicateError) for result in results) == 49
    one = await logins.find_one(email="a")
    assert one is not None
    assert await client.sh_session_exists([one.tkn]) == [one.tkn]


async def test_what_is_refused_by_one_field_takes_no_value_of_another(client: NdbClient) -> None:
    accounts = Repository(client, Account)
    await accounts.save(Account(email="a"))
    other = await accounts.save(Account())
    with pytest.raises(DuplicateError, match="email"):
        await accounts.save(Account(name="n", email="a"))
    with pytest.raises(DuplicateError, match="email"):
        await accounts.update(other.tkn, name="n", email="a")
    await accounts.save(Account(name="n"))


async def test_what_is_not_written_takes_no_value() -> None:
    scene = Scene()
    limited = Repository(TransportClient(GatedTransport(scene.engine), max_payload=1024), Account)
    session = await limited.save(Account(name="n"))
    with pytest.raises(PayloadTooLargeError):
        await limited.save(Account(name="m", note="n" * 2000))
    with pytest.raises(PayloadTooLargeError):
        await limited.update(session.tkn, name="m", note="n" * 2000)
    with pytest.raises(UnstorableError):
        await limited.update(session.tkn, name=5)  # type: ignore[ndb-value]  # the mistake
    await limited.save(Account(name="m"))


@pytest.mark.parametrize("verb", ["save", "update", "edit"])
async def test_who_tries_again_after_dying_amid_a_change_is_not_refused_by_the_own_claim(verb: str) -> None:
    async def change(accounts: Repository[Account], session: Account) -> None:
        if verb == "update":
            await accounts.update(session.tkn, name="m")
        elif verb == "edit":
            async with accounts.edit(session.tkn) as edited:
                edited.name = "m"
        else:
            session.name = "m"
            await accounts.save(session)

    lifetime, died = 0, True
    while died:
        scene = Scene()
        accounts = Repository(scene.client, Account, clock=scene.clock)
        tkn = (await accounts.save(Account(name="n"))).tkn
        transport = MortalTransport(scene.engine, lifetime)
        session = await accounts.get(tkn)
        with contextlib.suppress(ConnectionLostError):
            await change(Repository(TransportClient(transport), Account, clock=scene.clock), session)
        died = transport.dead
        await change(accounts, await accounts.get(tkn))  # at once
        assert await accounts.find_one(name="m") == Account(name="m")
        with pytest.raises(DuplicateError):
            await accounts.save(Account(name="m"))
        lifetime += 1
    assert lifetime > 5


async def test_what_is_refused_after_a_write_whose_end_nobody_saw_keeps_what_was_written() -> None:
    lifetime, died = 0, True
    while died:
        scene = Scene()
        accounts = Repository(scene.client, Account, clock=scene.clock)
        await accounts.save(Account(email="taken"))
        session = await accounts.save(Account(name="n"))
        transport = MortalTransport(scene.engine, lifetime)
        session.name = "m"
        with contextlib.suppress(ConnectionLostError):
            await Repository(TransportClient(transport), Account, clock=scene.clock).save(session)
        died = transport.dead
        session.email = "taken"
        with pytest.raises(DuplicateError, match="email"):
            await accounts.save(session)
        stored = (await scene.living("unique-account"))[session.tkn]["name"]
        with pytest.raises(DuplicateError, match="name"):
            await accounts.save(Account(name=stored))
        lifetime += 1


async def test_a_value_that_a_session_is_about_to_take_is_taken(scene: Scene) -> None:
    """The claim is there, the write is not, and the session lives: nobody can tell whether it still comes."""
    session = await scene.logins.save(Login())
    claimed = await scene.logins.save(Login(email="a"))
    await scene.client.sh_end(claimed.tkn)
    (name,) = await scene.client.kv_keys()
    entries = (await scene.client.kv_get([name]))[name]
    assert isinstance(entries, int)
    await scene.client.sh_set({"1": [session.tkn, int(scene.clock() * 1000)]}, entries)
    with pytest.raises(DuplicateError):
        await scene.logins.save(Login(email="a"))
    await scene.logins.update(session.tkn, email="a")
    await scene.logins.update(session.tkn, email="b")
    await scene.client.sh_set({"9": [session.tkn, int(scene.clock() * 1000)]}, entries)
    scene.clock.move(PENDING_SECONDS)
    await scene.logins.save(Login(email="a"))


async def test_a_set_of_claims_does_not_grow(scene: Scene) -> None:
    for _ in range(5):
        session = await scene.logins.save(Login(email="a"))
        await scene.logins.rotate(session)
        await scene.logins.update(session.tkn, email="b")
        await scene.logins.update(session.tkn, email="a")
        await scene.client.sh_end(session.tkn)
    assert sorted(len(claims) for claims in (await scene.listed()).values()) == [1, 1]


async def test_a_large_session_is_created_in_parts_and_read_by_nobody_until_the_last() -> None:
    scene = Scene()
    limited = Repository(TransportClient(GatedTransport(scene.engine), max_payload=1024), Login)
    session = await limited.save(Login(email="a", note="n" * 900))
    assert await limited.find_one(email="a") == session
    with pytest.raises(DuplicateError):
        await limited.save(Login(email="a", note="n" * 900))


async def test_other_clients_keep_nothing_unique(client: NdbClient) -> None:
    with pytest.raises(InvalidArgumentError, match="leave foreign=True out"):
        Repository(client, Login, foreign=True)


async def test_many_who_change_places_never_share_a_value(logins: Repository[Login]) -> None:
    sessions = [await logins.save(Login(email=str(number))) for number in range(4)]

    async def wander(index: int) -> None:
        for step in range(20):
            try:
                await logins.update(sessions[index].tkn, email=str((index * 7 + step) % 6))
            except NdbError as exc:
                assert isinstance(exc, DuplicateError)  # noqa: PT017 - whether it is raised is a matter of chance

    await asyncio.gather(*(wander(index) for index in range(4)))
    now = [await logins.get(session.tkn) for session in sessions]
    assert len({session.email for session in now}) == 4
    for session in now:
        found = await logins.find_one(email=session.email)  # type: ignore[ndb-value]  # it is not None
        assert found is not None
        assert found.tkn == session.tkn
