"""What holds on a NemesisDB as it does elsewhere: the column of that name in docs/concepts/guarantees.md."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from ndb_models import DuplicateError, NdbClient, NewerVersionError, Repository, SessionGoneError, WrongSchemaError
from ndb_models.server import NdbServer
from tests.lookup.models import Login
from tests.repository.models import Otp, User
from tests.repository.versioned import UserV1, UserV3

VERBS: dict[str, Callable[[Repository[User], User], Awaitable[object]]] = {
    "save": lambda users, user: users.save(user),
    "update": lambda users, user: users.update(user.tkn, visits=9),
    "edit": lambda users, user: users.edit(user.tkn).__aenter__(),
    "touch": lambda users, user: users.touch(user.tkn),
    "rotate": lambda users, user: users.rotate(user),
    "refresh": lambda users, user: users.refresh(user),
}


@pytest.fixture
def users(nemesisdb_client: NdbClient) -> Repository[User]:
    return Repository(nemesisdb_client, User)


@pytest.fixture
async def other_users(nemesisdb: NdbServer) -> AsyncIterator[Repository[User]]:
    """The same sessions, over a connection of its own."""
    async with NdbClient.connect(nemesisdb.uri, max_payload=8192) as client:
        yield Repository(client, User)


async def test_changes_of_different_fields_both_survive(users: Repository[User], other_users: Repository[User]) -> None:
    tkn = (await users.save(User(username="billy"))).tkn
    async with users.edit(tkn) as one, other_users.edit(tkn) as other:
        one.roles.append("admin")
        other.address.street = "Elm Street"
    stored = await users.get(tkn)
    assert (stored.roles, stored.address.street) == (["admin"], "Elm Street")


@pytest.mark.parametrize("verb", VERBS)
async def test_an_ended_session_stays_ended(
    nemesisdb_client: NdbClient, users: Repository[User], other_users: Repository[User], verb: str
) -> None:
    user = await users.save(User(username="billy"))
    await other_users.delete(user.tkn)
    user.visits = 1
    with pytest.raises(SessionGoneError):
        await VERBS[verb](users, user)
    assert await nemesisdb_client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}


async def test_a_token_of_another_class_or_namespace_is_refused(
    nemesisdb_client: NdbClient, users: Repository[User]
) -> None:
    tkn = (await users.save(User(username="billy"))).tkn
    for stranger in (Repository(nemesisdb_client, Otp), Repository(nemesisdb_client, User, namespace="other")):
        with pytest.raises(WrongSchemaError):
            await stranger.get(tkn)
        with pytest.raises(WrongSchemaError):
            await stranger.delete(tkn)
    assert await users.exists(tkn)


async def test_of_many_who_want_a_unique_value_one_has_it(nemesisdb_client: NdbClient) -> None:
    logins = Repository(nemesisdb_client, Login)
    wishes = [logins.save(Login(user_id=number, email="billy@example.com")) for number in range(10)]
    results = await asyncio.gather(*wishes, return_exceptions=True)
    assert all(isinstance(result, Login | DuplicateError) for result in results)
    saved = [result for result in results if isinstance(result, Login)]
    assert saved == [await logins.find_one(email="billy@example.com")]


async def test_of_many_who_rotate_a_session_one_has_it(
    nemesisdb_client: NdbClient, users: Repository[User], other_users: Repository[User]
) -> None:
    tkn = (await users.save(User(username="billy"))).tkn
    copies = [await repo.get(tkn) for repo in (users, other_users) * 5]

    async def rotate(number: int) -> None:
        with contextlib.suppress(SessionGoneError):
            await (users, other_users)[number % 2].rotate(copies[number])

    await asyncio.gather(*(rotate(number) for number in range(len(copies))))
    assert (await nemesisdb_client.sh_info_all())["totalSessions"] == 1
    assert not await users.exists(tkn)


async def test_a_cancelled_call_does_not_shift_later_answers(nemesisdb_client: NdbClient) -> None:
    await nemesisdb_client.kv_set({str(number): number for number in range(64)})
    calls = [asyncio.create_task(nemesisdb_client.kv_get((str(number),))) for number in range(64)]
    await asyncio.sleep(0)
    for call in calls[::3]:
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for number, answer in enumerate(answers):
        assert answer == {str(number): number} or isinstance(answer, asyncio.CancelledError)
    assert await nemesisdb_client.kv_get(("7",)) == {"7": 7}


async def test_an_older_session_is_upgraded_and_a_newer_one_is_refused_and_left(nemesisdb_client: NdbClient) -> None:
    old, new = Repository(nemesisdb_client, UserV1), Repository(nemesisdb_client, UserV3)
    tkn = (await old.save(UserV1(name="billy", role="admin"))).tkn
    async with new.edit(tkn) as user:
        user.role.append("OWNER")
    for verb in (old.get, old.update):
        with pytest.raises(NewerVersionError):
            await verb(tkn)
    assert await new.get(tkn) == UserV3(username="billy", role=["ADMIN", "OWNER"])
