"""Hooks: what each verb tells, once and after it is acknowledged; what hooks may do, and what they cannot."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import pytest

from ndb_models import (
    Expiry,
    InvalidArgumentError,
    Lookup,
    NdbClient,
    Repository,
    SessionEnd,
    SessionGoneError,
    SessionModel,
    StoredDataError,
)
from ndb_models.server import NdbServer
from tests.conftest import VirtualClock
from tests.leaks import CANARY
from tests.repository.listening import Listener
from tests.repository.models import User
from tests.repository.session_world import EngineClient
from tests.repository.verbs import NameView, edit
from tests.repository.versioned import UserV1, UserV2


class Login(SessionModel, schema="hooks-login"):
    user: Annotated[str, Lookup(limit=2)] = "billy"
    note: str = ""


class Shop(SessionModel, schema="hooks-shop"):
    cart: dict[str, int] = {}
    page: str = ""


@pytest.fixture(params=["memory", "sqlite", "server", "nemesisdb"])
def any_uri(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """Each way to reach an empty engine, and a stock NemesisDB."""
    if request.param == "memory":
        return "memory://"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}"
    server: NdbServer = request.getfixturevalue(request.param)
    return server.uri


@pytest.fixture
async def everywhere(any_uri: str) -> AsyncIterator[NdbClient]:
    async with NdbClient.connect(any_uri, max_payload=8192) as client:
        yield client


async def edit_in_vain(repo: Repository[User], user: User) -> None:
    with pytest.raises(ZeroDivisionError):
        async with repo.edit(user.tkn) as edited:
            edited.visits = 1 // 0


async def promote(repo: Repository[User], user: User) -> User:
    async with repo.edit(user.tkn) as edited:
        edited.roles.append("admin")
        edited.address.street = "Elm"
    return edited


async def refused(repo: Repository[User], user: User) -> None:
    with pytest.raises(ValueError, match="visits"):
        await repo.update(user.tkn, visits=-1)


def visit(user: User) -> None:
    user.visits += 1


async def visit_later(user: User) -> None:
    await asyncio.sleep(0)
    user.visits += 1


async def save_changed(repo: Repository[User], user: User) -> User:
    user.visits += 1
    user.username = "jane"
    return await repo.save(user)


async def delete_twice(repo: Repository[User], user: User) -> None:
    assert await repo.delete(user.tkn)
    assert not await repo.delete(user.tkn)


CHANGING: dict[str, tuple[Callable[[Repository[User], User], Awaitable[object]], set[str]]] = {
    "save": (save_changed, {"visits", "username"}),
    "save of no change": (lambda repo, user: repo.save(user), set()),
    "update": (lambda repo, user: repo.update(user.tkn, visits=5, roles=[]), {"visits"}),
    "update to what is stored": (lambda repo, user: repo.update(user.tkn, username="billy"), set()),
    "edit": (edit, {"visits"}),
    "edit of nested values": (promote, {"roles", "address"}),
    "edit that raises": (edit_in_vain, set()),
    "an update that is refused": (refused, set()),
    "save_many": (lambda repo, user: repo.save_many([user, user]), set()),
    "touch": (lambda repo, user: repo.touch(user.tkn), set()),
    "ttl": (lambda repo, user: repo.ttl(user.tkn), set()),
    "get": (lambda repo, user: repo.get(user.tkn), set()),
    "get_many": (lambda repo, user: repo.get_many([user.tkn]), set()),
    "exists": (lambda repo, user: repo.exists(user.tkn), set()),
    "refresh": (lambda repo, user: repo.refresh(user), set()),
    "project": (lambda repo, user: repo.project(user.tkn, NameView), set()),
    "raw": (lambda repo, user: repo.raw(user.tkn), set()),
    "issue": (lambda repo, user: repo.issue(user), set()),
    "renew": (lambda repo, user: repo.renew(user), set()),
    "authenticate": (lambda repo, _: repo.authenticate("nonsense"), set()),
}


@pytest.mark.parametrize("name", CHANGING)
async def test_a_verb_tells_the_fields_that_it_has_changed_and_nothing_else(everywhere: NdbClient, name: str) -> None:
    repo = Repository(everywhere, User)
    user = await repo.save(User(username="billy"))
    listener = Listener(repo)
    verb, fields = CHANGING[name]
    await verb(repo, user)
    assert listener.told() == ([("changed", user.tkn, fields)] if fields else [])


@pytest.mark.parametrize("function", [visit, visit_later])
async def test_mutate_tells_what_its_function_changed(
    users: Repository[User], function: Callable[[User], Awaitable[None] | None]
) -> None:
    user = await users.save(User(username="billy"))
    listener = Listener(users)
    await users.mutate(user.tkn, function)
    await users.mutate(user.tkn, lambda _: None)
    assert listener.told() == [("changed", user.tkn, {"visits"})]


async def test_a_new_session_is_told_as_the_model_that_is_returned(everywhere: NdbClient) -> None:
    repo, models = Repository(everywhere, User), list[User]()
    repo.on_created(models.append)
    saved = await repo.save(User(username="billy"))
    created = await repo.create(saved)
    many = await repo.save_many([User(username="a"), User(username="b")])
    assert [*map(id, models)] == [*map(id, (saved, created, *many))]


async def test_ending_a_session_is_told_once(everywhere: NdbClient) -> None:
    repo = Repository(everywhere, User)
    users = [await repo.save(User(username="billy")) for _ in range(3)]
    listener = Listener(repo)
    await delete_twice(repo, users[0])
    await repo.delete_many([user.tkn for user in users])
    assert listener.told() == [("ended", user.tkn, "deleted") for user in users]


async def test_a_rotation_is_told_as_the_end_of_the_old_token_with_the_new_one(everywhere: NdbClient) -> None:
    repo = Repository(everywhere, User)
    user = await repo.save(User(username="billy"))
    old, listener = user.tkn, Listener(repo)
    seen: list[int] = []
    repo.on_ended(lambda _: seen.append(user.tkn))
    await repo.rotate(user)
    assert listener.told() == [("ended", old, "replaced")]
    assert listener.ends[0].successor == user.tkn
    assert "tkn" not in repr(listener.ends[0])
    assert str(old) not in repr(listener.ends[0])
    assert len(seen) == 1


async def test_another_expiry_is_told_only_where_it_takes_another_token(
    client: NdbClient, nemesisdb_client: NdbClient
) -> None:
    for each, expected in ((client, []), (nemesisdb_client, ["replaced"])):
        repo = Repository(each, User)
        user = await repo.save(User(username="billy"))
        listener = Listener(repo)
        await repo.expire(user, Expiry(idle=5))
        assert [end.reason for end in listener.ends] == expected
        assert len(listener.told()) == len(expected)


async def test_sessions_ended_by_a_value_and_by_a_limit_are_told(everywhere: NdbClient) -> None:
    repo = Repository(everywhere, Login)
    listener = Listener(repo)
    logins = list[Login]()
    for number in range(3):
        logins.append(await repo.save(Login(note=str(number))))
        await asyncio.sleep(0.002)
    first, second, third = logins
    assert listener.told() == [
        ("created", first.tkn),
        ("created", second.tkn),
        ("created", third.tkn),
        ("ended", first.tkn, "deleted"),
    ]
    assert await repo.end_all_for(user="billy", but=third) == 1
    assert await repo.end_all_for(user="billy") == 1
    assert listener.told() == [("ended", second.tkn, "deleted"), ("ended", third.tkn, "deleted")]


async def test_a_session_that_is_ended_because_its_data_does_not_fit_is_told(client: NdbClient) -> None:
    user = await Repository(client, User).save(User(username="billy"))
    await client.sh_set({"visits": "many"}, user.tkn)
    leaving, ending = Repository(client, User), Repository(client, User, on_invalid="end")
    listeners = Listener(leaving), Listener(ending)
    with pytest.raises(StoredDataError):
        await leaving.get(user.tkn)
    with pytest.raises(SessionGoneError):
        await ending.get(user.tkn)
    assert [listener.told() for listener in listeners] == [[], [("ended", user.tkn, "deleted")]]


async def test_an_upgrade_is_no_change_and_a_change_of_an_upgraded_session_is(everywhere: NdbClient) -> None:
    old = await Repository(everywhere, UserV1).save(UserV1(name="billy"))
    repo = Repository(everywhere, UserV2, rewrite=True)
    listener = Listener(repo)
    user = await repo.get(old.tkn)
    assert listener.told() == []
    old = await Repository(everywhere, UserV1).save(UserV1(name="jane"))
    repo = Repository(everywhere, UserV2)
    listener = Listener(repo)
    user = await repo.get(old.tkn)
    user.visits = 3
    await repo.save(user)
    assert listener.told() == [("changed", old.tkn, {"visits"})]


async def test_changes_that_are_merged_tell_each_its_own_fields_once(client: NdbClient) -> None:
    repo = Repository(client, Shop)
    shop = await repo.save(Shop())
    listener = Listener(repo)

    async def buy(number: int) -> None:
        async with repo.edit(shop.tkn) as edited:
            await asyncio.sleep(0)
            edited.cart[str(number)] = 1
            if number == 3:
                edited.page = "checkout"

    await asyncio.gather(*map(buy, range(20)))
    told = listener.told()
    assert told.count(("changed", shop.tkn, {"cart"})) == 19
    assert told.count(("changed", shop.tkn, {"cart", "page"})) == 1
    assert len(told) == 20
    assert len((await repo.get(shop.tkn)).cart) == 20


async def test_a_change_that_others_had_made_already_is_not_told(client: NdbClient) -> None:
    repo, elsewhere = Repository(client, Shop), Repository(client, Shop)
    shop = await repo.save(Shop())
    listener = Listener(repo)
    async with repo.edit(shop.tkn) as edited:
        edited.cart["apple"] = 1
        await elsewhere.update(shop.tkn, cart={"apple": 1})
    assert listener.told() == []


async def test_only_this_repositorys_own_acts_are_told(client: NdbClient) -> None:
    repo, elsewhere = Repository(client, User), Repository(client, User)
    listener = Listener(repo)
    user = await elsewhere.save(User(username="billy"))
    await elsewhere.update(user.tkn, visits=1)
    await elsewhere.delete(user.tkn)
    with pytest.raises(SessionGoneError):
        await repo.get(user.tkn)
    assert listener.told() == []


async def test_a_session_found_past_its_deadline_is_told_once_by_whoever_finds_it(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    class Short(SessionModel, schema="hooks-short", expiry=Expiry(idle=60, absolute=100)):
        name: str

    repo = Repository(on_store, Short, clock=clock)
    session = await repo.save(Short(name="billy"))
    listener = Listener(repo)
    for _ in range(2):
        clock.move(50)
        await on_store.sh_set({}, session.tkn)
    verbs = (
        repo.get(session.tkn),
        repo.exists(session.tkn),
        repo.update(session.tkn, name="b"),
        repo.delete(session.tkn),
    )
    results = await asyncio.gather(*verbs, return_exceptions=True)
    assert [isinstance(result, SessionGoneError) or result is False for result in results] == [True] * 4
    assert listener.told() == [("ended", session.tkn, "absolute")]


async def test_an_end_by_the_idle_time_is_not_known_to_a_verb(on_store: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(on_store, User, clock=clock)
    user = await repo.save(User(username="billy"))
    listener = Listener(repo)
    clock.move(61)
    with pytest.raises(SessionGoneError):
        await repo.save(user)
    assert listener.told() == []


async def test_hooks_run_in_the_order_of_their_registration_synchronous_or_not(users: Repository[User]) -> None:
    calls: list[str] = []

    @users.on_created
    def first(_: User) -> None:
        calls.append("first")

    @users.on_created
    async def second(_: User) -> None:
        await asyncio.sleep(0)
        calls.append("second")

    class Third:
        async def __call__(self, user: User) -> None:
            calls.append("third")

    users.on_created(functools.partial(lambda word, _: calls.append(word), "fourth"))
    users.on_created(Third())
    users.on_created(first)  # it is registered already
    await users.save(User(username="billy"))
    assert calls == ["first", "second", "fourth", "third"]


async def test_a_hook_is_called_after_the_act_and_its_model_can_be_used_on(everywhere: NdbClient) -> None:
    repo = Repository(everywhere, User)
    stored: list[int] = []

    @repo.on_changed
    async def look(session: User, fields: frozenset[str]) -> None:
        stored.append((await repo.get(session.tkn)).visits)
        assert fields == {"visits"}
        await repo.save(session)  # nothing has changed since

    user = await repo.save(User(username="billy"))
    await repo.update(user.tkn, visits=1)
    await edit(repo, user)
    assert stored == [1, 2]


async def test_a_removed_hook_is_not_called(users: Repository[User]) -> None:
    listener = Listener(users)
    for hook in listener.hooks:
        assert users.remove_hook(hook)
        assert not users.remove_hook(hook)
    user = await users.save(User(username="billy"))
    await users.update(user.tkn, visits=1)
    await users.delete(user.tkn)
    assert listener.told() == []


async def test_an_exception_in_a_hook_is_logged_without_values_and_changes_nothing(
    users: Repository[User], caplog: pytest.LogCaptureFixture
) -> None:
    @users.on_changed
    def fails(session: User, _: frozenset[str]) -> None:
        raise ValueError(f"{session.username} {session.tkn}")

    @users.on_changed
    async def fails_later(session: User, _: frozenset[str]) -> None:
        await asyncio.sleep(0)
        raise SessionGoneError(session.username, session.tkn)

    listener = Listener(users)
    user = await users.save(User(username=CANARY))
    assert (await users.update(user.tkn, visits=1)).visits == 1
    assert (await users.get(user.tkn)).visits == 1
    assert listener.told() == [("created", user.tkn), ("changed", user.tkn, {"visits"})]
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.name for record in records] == ["ndb_models.repository.hooks"] * 2
    assert ["fails raised ValueError" in records[0].message, "SessionGoneError" in records[1].message] == [True, True]
    assert CANARY not in caplog.text
    assert str(user.tkn) not in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
async def test_what_is_no_exception_passes_and_the_act_is_done(
    users: Repository[User], error: type[BaseException]
) -> None:
    user = await users.save(User(username="billy"))

    @users.on_changed
    def stop(_: User, __: frozenset[str]) -> None:
        raise error

    with pytest.raises(error):
        await users.update(user.tkn, visits=1)
    users.remove_hook(stop)
    listener = Listener(users)
    assert (await users.update(user.tkn, username="jane")).visits == 1
    assert listener.told() == [("changed", user.tkn, {"username"})]


async def test_a_hook_that_is_cancelled_passes_that_on(users: Repository[User]) -> None:
    @users.on_created
    async def stop(_: User) -> None:
        raise asyncio.CancelledError

    user = User(username="billy")
    with pytest.raises(asyncio.CancelledError):
        await users.save(user)
    assert (await users.get(user.tkn)).username == "billy"


MISTAKES: list[tuple[str, object, str]] = [
    ("on_created", None, "takes a function"),
    ("on_changed", "audit", "takes a function"),
    ("on_changed", lambda session: None, r"takes \(session, fields\)"),
    ("on_ended", lambda: None, r"takes \(end\)"),
    ("on_created", lambda session: (yield session), "yield"),
]


@pytest.mark.parametrize(("kind", "hook", "message"), MISTAKES)
async def test_what_cannot_be_a_hook_is_refused(users: Repository[User], kind: str, hook: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        getattr(users, kind)(hook)
    await users.save(User(username="billy"))


async def test_hooks_of_one_repository_are_not_those_of_another(client: NdbClient) -> None:
    first, second = Repository(client, User), Repository(client, User)
    listener = Listener(first)
    await second.save(User(username="billy"))
    assert listener.told() == []


async def test_a_failed_creation_tells_nothing(on_store: EngineClient) -> None:
    class Unique(SessionModel, schema="hooks-unique"):
        email: Annotated[str, Lookup(unique=True)]

    repo = Repository(on_store, Unique)
    await repo.save(Unique(email="a"))
    listener = Listener(repo)
    second = await repo.save(Unique(email="b"))
    for refuse in (repo.save(Unique(email="a")), repo.update(second.tkn, email="a")):
        with pytest.raises(ValueError, match="email"):
            await refuse
    assert listener.told() == [("created", second.tkn)]


async def test_an_end_is_told_with_its_token_and_reason(users: Repository[User]) -> None:
    user = await users.save(User(username="billy"))
    listener = Listener(users)
    await users.delete(user.tkn)
    assert listener.ends == [SessionEnd(user.tkn, "deleted")]
