"""What saving a read model writes: the fields that changed, and no others; and never to a dead session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from pydantic import Field

from ndb_models import NdbClient, Repository, ResponseError, SessionGoneError, SessionModel, UnstorableError
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.types import JsonInput
from tests.reloading import in_place_of
from tests.repository.models import Address, User
from tests.schema.unstorable import OneWay
from tests.stores.watched_store import WatchedStore


def rename(user: User) -> None:
    user.username = "changed"


def promote(user: User) -> None:
    user.roles.append("admin")


def move(user: User) -> None:
    user.address.lines.append("second floor")


def visit(user: User) -> None:
    user.visits += 1


CHANGES: list[Callable[[User], None]] = [rename, promote, move, visit]


@pytest.mark.parametrize("first", CHANGES)
@pytest.mark.parametrize("second", CHANGES)
async def test_overlapping_changes_of_different_fields_both_survive(
    users: Repository[User], first: Callable[[User], None], second: Callable[[User], None]
) -> None:
    expected = User(username="b", roles=["r"], address=Address(lines=["ground floor"]))
    tkn = (await users.save(expected.model_copy(deep=True))).tkn
    one, other = await users.get(tkn), await users.get(tkn)
    first(one)
    second(other)
    await asyncio.gather(users.save(one), users.save(other))
    first(expected)
    if second is not first or first is not visit:  # of a number the later write wins, and both wrote the same
        second(expected)
    assert await users.get(tkn) == expected


@pytest.mark.parametrize("change", CHANGES)
async def test_only_the_changed_field_is_written(
    users: Repository[User], client: NdbClient, change: Callable[[User], None]
) -> None:
    user = await users.save(User(username="b"))
    read = await users.get(user.tkn)
    change(read)
    (changed,) = [name for name in User.model_fields if getattr(read, name) != getattr(user, name)]
    theirs: dict[str, JsonInput] = {
        "username": "theirs",
        "roles": ["theirs"],
        "address": {"street": "theirs"},
        "visits": 9,
    }
    del theirs[changed]
    await client.sh_set(theirs, user.tkn)
    await users.save(read)
    stored = await client.sh_get(list(User.model_fields), user.tkn)
    assert {name: stored[name] for name in theirs} == theirs
    assert stored[changed] == read.model_dump(mode="json")[changed]


async def test_what_was_saved_counts_as_read(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))
    rename(user)
    await users.save(user)
    await client.sh_set({"username": "theirs"}, user.tkn)
    visit(user)
    await users.save(user)
    assert (await client.sh_get(["username", "visits"], user.tkn)) == {"username": "theirs", "visits": 1}


async def test_a_change_that_was_taken_back_is_none(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b", roles=["r"]))
    promote(user)
    user.roles.pop()
    await client.sh_set({"roles": ["theirs"]}, user.tkn)
    await users.save(user)
    assert (await users.get(user.tkn)).roles == ["theirs"]


async def test_how_the_stored_json_is_written_makes_no_change(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b", address=Address(street="S", lines=["1"])))
    await client.sh_set({"address": {"lines": ["1"], "street": "S", "beyond the model": 1}}, user.tkn)
    read = await users.get(user.tkn)
    visit(read)
    await users.save(read)
    (address,) = (await client.sh_get(["address"], user.tkn)).values()
    assert address == {"lines": ["1"], "street": "S", "beyond the model": 1}


async def test_keys_of_other_clients_in_the_session_are_left_alone(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))
    await client.sh_set({"theirs": [1]}, user.tkn)
    rename(user)
    await users.save(user)
    assert await client.sh_get(["theirs"], user.tkn) == {"theirs": [1]}
    assert await users.get(user.tkn) == user


async def test_a_refused_save_changes_nothing_and_can_be_repeated(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    rename(user)
    user.visits = -1
    with pytest.raises(UnstorableError, match="visits"):
        await users.save(user)
    assert (await users.get(user.tkn)).username == "b"
    user.visits = 1
    await users.save(user)
    assert await users.get(user.tkn) == user


async def test_a_value_that_would_be_left_out_is_not_lost_silently(client: NdbClient) -> None:
    repo = Repository(client, OneWay)
    model = await repo.save(OneWay(quiet=7))
    model.quiet = None
    with pytest.raises(UnstorableError, match="quiet: it has no value, or is left out"):
        await repo.save(model)
    assert (await repo.get(model.tkn)).quiet == 7


class Ticket(SessionModel):
    number: int
    stamps: list[int] = Field(default_factory=list)


@in_place_of(Ticket)
class Stamped(Ticket, schema="Ticket"):
    """The same schema, declared by a program that knows one field more."""

    seen: bool = False


async def test_a_field_that_is_new_in_the_class_is_written_once_it_changes(client: NdbClient) -> None:
    tkn = (await Repository(client, Ticket).save(Ticket(number=1))).tkn
    repo = Repository(client, Stamped)
    ticket = await repo.get(tkn)
    assert ticket == Stamped(number=1)
    ticket.seen = True
    await repo.save(ticket)
    assert (await repo.get(tkn)).seen
    assert (await Repository(client, Ticket).get(tkn)).number == 1


@pytest.mark.parametrize("change", [*CHANGES, lambda user: None], ids=["rename", "promote", "move", "visit", "nothing"])
async def test_saving_never_brings_an_ended_session_back(
    users: Repository[User], client: NdbClient, change: Callable[[User], None]
) -> None:
    user = await users.save(User(username="b"))
    await users.delete(user.tkn)
    change(user)
    for _ in range(2):
        with pytest.raises(SessionGoneError, match="save a new model"):
            await users.save(user)
    assert await client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}
    assert user.is_saved


async def test_of_many_savers_and_one_deleter_nothing_is_left(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))
    models = [user.model_copy(update={"visits": number}, deep=True) for number in range(1, 20)]
    calls: list[asyncio.Future[object]] = [asyncio.ensure_future(users.save(model)) for model in models]
    calls.insert(9, asyncio.ensure_future(users.delete(user.tkn)))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} <= {User, bool, SessionGoneError}
    assert (await client.sh_info_all())["totalSessions"] == 0


class Unsure(WatchedStore):
    """Carries a write out, and says that it failed."""

    fails = False

    async def after(self, verb: str) -> None:
        if self.fails and verb == "set":
            raise OSError("the answer is lost")


async def test_a_change_that_was_perhaps_written_is_undone_by_the_next_save() -> None:
    store = Unsure()
    async with NdbServer(Engine(store), ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
        repo = Repository(client, User)
        user = await repo.save(User(username="b", visits=1))
        user.visits = 2
        store.fails = True
        with pytest.raises(ResponseError):
            await repo.save(user)
        store.fails = False
        user.visits = 1
        await repo.save(user)
        assert (await repo.get(user.tkn)).visits == 1
