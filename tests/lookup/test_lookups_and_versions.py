"""Sessions of older versions are listed under what is stored, and under what they become once that is written back."""

from __future__ import annotations

from typing import Annotated

import pytest

from ndb_models import DuplicateError, JsonValue, Lookup, NdbClient, Repository, SessionModel


class Account1(SessionModel, schema="account"):
    email: Annotated[str, Lookup(unique=True)]
    team: Annotated[str, Lookup()] = "a"


class Account2(SessionModel, schema="account", version=2):
    """Addresses are in small letters."""

    email: Annotated[str, Lookup(unique=True)]
    team: Annotated[str, Lookup()] = "a"


@Account2.upgrade(1)
def _in_small_letters(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {**keys, "email": str(keys["email"]).lower()}


@pytest.fixture
def old(client: NdbClient) -> Repository[Account1]:
    return Repository(client, Account1)


@pytest.fixture
def new(client: NdbClient) -> Repository[Account2]:
    return Repository(client, Account2)


async def test_what_was_written_back_is_found_by_what_it_became(
    old: Repository[Account1], new: Repository[Account2]
) -> None:
    tkn = (await old.save(Account1(email="Billy"))).tkn
    await new.update(tkn, team="b")
    assert await new.find_one(email="billy") == Account2(email="billy", team="b")
    assert await new.find_one(email="Billy") is None
    assert [found.tkn for found in await new.find(team="b")] == [tkn]
    assert await new.find(team="a") == []


async def test_the_value_that_an_upgrade_left_is_free(old: Repository[Account1], new: Repository[Account2]) -> None:
    tkn = (await old.save(Account1(email="Billy"))).tkn
    await new.save(await new.get(tkn))
    other = await new.save(Account2(email="Billy"))
    assert (await new.find_one(email="Billy")) == other
    assert (await new.find_one(email="billy")) == await new.get(tkn)


async def test_what_was_not_written_back_is_not_found_by_what_it_is_no_longer(
    old: Repository[Account1], new: Repository[Account2]
) -> None:
    tkn = (await old.save(Account1(email="Billy"))).tkn
    assert await new.find(email="Billy") == []
    assert [found.tkn for found in await new.find(team="a")] == [tkn]


async def test_reading_that_writes_back_moves_the_entries(client: NdbClient, old: Repository[Account1]) -> None:
    tkn = (await old.save(Account1(email="Billy"))).tkn
    eager = Repository(client, Account2, rewrite=True)
    assert [found.tkn for found in await eager.find(team="a")] == [tkn]
    found = await eager.find_one(email="billy")
    assert found is not None
    assert found.tkn == tkn


async def test_an_upgrade_to_a_value_that_is_taken_is_refused_and_the_session_left(
    old: Repository[Account1], new: Repository[Account2]
) -> None:
    first = (await old.save(Account1(email="Billy"))).tkn
    second = await new.save(Account2(email="billy"))
    with pytest.raises(DuplicateError):
        await new.update(first, team="b")
    assert await old.get(first) == Account1(email="Billy")
    assert await new.find_one(email="billy") == second


async def test_rotating_keeps_the_version_and_the_entries(old: Repository[Account1], new: Repository[Account2]) -> None:
    before = await old.save(Account1(email="Billy"))
    session = await new.get(before.tkn)
    await new.rotate(session)
    assert await old.get(session.tkn) == Account1(email="Billy")
    found = await old.find_one(email="Billy")
    assert found is not None
    assert found.tkn == session.tkn
