"""Sessions are listed, found and ended by what their class makes of them: staged, upgraded, with its defaults."""

from __future__ import annotations

import contextlib
from typing import Annotated, NamedTuple
from uuid import uuid4

import pytest
from pydantic import Field

from ndb_models import (
    ConnectionLostError,
    DuplicateError,
    JsonValue,
    Lookup,
    NdbClient,
    NewerVersionError,
    Repository,
    SessionModel,
)
from ndb_models.index.entries import PENDING_SECONDS
from tests.lookup.truth import Scene
from tests.lookup.turns import MortalTransport, TransportClient
from tests.reloading import in_place_of

LIMIT = 1024


class Post1(SessionModel, schema="Post"):
    em: Annotated[str, Lookup(unique=True)]
    note: str


class Post2(SessionModel, schema="Post", version=2):
    em: Annotated[str, Lookup(unique=True)]
    note: str
    more: str = ""


@Post2.upgrade(1)
def _with_more(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {**keys, "more": "m" * 450, "note": f"{keys['note']}!"}


class Cut(NamedTuple):
    scene: Scene
    tkn: int
    died: bool

    def posts(self) -> Repository[Post2]:
        return Repository(
            TransportClient(MortalTransport(self.scene.engine, 10**6), LIMIT), Post2, clock=self.scene.clock
        )


async def cut_after(lifetime: int) -> Cut:
    """Let the writer of a staged upgrade, which changes a unique value too, die after so many commands."""
    scene = Scene()
    tkn = (await Repository(scene.client, Post1, clock=scene.clock).save(Post1(em="old", note="n" * 450))).tkn
    transport = MortalTransport(scene.engine, lifetime)
    with contextlib.suppress(ConnectionLostError):
        await Repository(TransportClient(transport, LIMIT), Post2, clock=scene.clock).update(tkn, em="new")
    return Cut(scene, tkn, transport.dead)


async def test_an_upgrade_that_is_cut_anywhere_is_found_by_what_it_reads_as() -> None:
    lifetime, died = 0, True
    while died:
        cut = await cut_after(lifetime)
        posts = cut.posts()
        em = (await posts.get(cut.tkn)).em
        found = {name: await posts.find_one(em=name) for name in ("old", "new")}
        assert {name for name, session in found.items() if session is not None} == {em}
        cut.scene.clock.move(PENDING_SECONDS)
        with pytest.raises(DuplicateError):
            await posts.create(Post2(em=em, note=""))
        free = await posts.create(Post2(em="old" if em == "new" else "new", note=""))
        assert (await posts.find_one(em=free.em)) == free
        lifetime, died = lifetime + 1, cut.died
    assert lifetime > 16


async def test_an_upgrade_that_is_cut_anywhere_is_listed_again_and_ended_by_what_it_reads_as() -> None:
    lifetime, died = 0, True
    while died:
        cut = await cut_after(lifetime)
        posts = cut.posts()
        await cut.scene.client.kv_clear()
        await posts.reindex([cut.tkn])
        em = (await posts.get(cut.tkn)).em
        assert await posts.end_all_for(em="old" if em == "new" else "new") == 0
        assert await posts.end_all_for(em=em) == 1
        lifetime, died = lifetime + 1, cut.died


class Tenant1(SessionModel, schema="Tenant"):
    a: int


@in_place_of(Tenant1)
class Tenant2(SessionModel, schema="Tenant"):
    a: int
    tenant: Annotated[str, Lookup()] = "main"
    number: Annotated[str, Lookup(unique=True)] = Field(default_factory=lambda: str(uuid4()))


@pytest.fixture
def tenants(client: NdbClient) -> Repository[Tenant2]:
    return Repository(client, Tenant2)


@pytest.fixture
async def stored_before(client: NdbClient) -> int:
    return (await Repository(client, Tenant1).save(Tenant1(a=1))).tkn


async def test_a_default_that_is_not_stored_is_found_once_the_session_is_known(
    tenants: Repository[Tenant2], stored_before: int, client: NdbClient
) -> None:
    assert (await tenants.reindex([stored_before])).added == 1
    assert [found.tkn for found in await tenants.find(tenant="main")] == [stored_before]
    assert (await tenants.reindex()).removed == 0
    assert len(await client.kv_keys()) == 1
    assert await tenants.end_all_for(tenant="main") == 1


async def test_a_default_that_is_not_stored_is_stored_and_found_once_the_session_is_saved(
    tenants: Repository[Tenant2], stored_before: int
) -> None:
    session = await tenants.update(stored_before, tenant="main")
    assert await tenants.find(tenant="main") == [session]
    assert await tenants.find_one(number=session.number) == session


async def test_a_default_that_is_left_is_not_listed_any_longer(
    tenants: Repository[Tenant2], stored_before: int
) -> None:
    await tenants.reindex([stored_before])
    await tenants.update(stored_before, tenant="other")
    assert await tenants.find(tenant="main") == []
    assert [found.tkn for found in await tenants.find(tenant="other")] == [stored_before]
    assert (await tenants.reindex()).removed == 0


class User1(SessionModel, schema="lookup-user"):
    uid: Annotated[int, Lookup()]
    mail: Annotated[str, Lookup(unique=True)]


class User2(SessionModel, schema="lookup-user", version=2):
    user_id: Annotated[int, Lookup()]
    email: Annotated[str, Lookup(unique=True)]


@User2.upgrade(1)
def _renamed(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"user_id": keys["uid"], "email": keys["mail"]}


@pytest.fixture
async def renamed(client: NdbClient) -> int:
    return (await Repository(client, User1).save(User1(uid=7, mail="a"))).tkn


@pytest.fixture
def users(client: NdbClient) -> Repository[User2]:
    return Repository(client, User2)


async def test_a_renamed_field_is_found_once_the_session_is_known(
    users: Repository[User2], renamed: int, client: NdbClient
) -> None:
    assert await users.find(user_id=7) == []
    assert (await users.reindex([renamed])).added == 2
    assert [found.tkn for found in await users.find(user_id=7)] == [renamed]
    assert await users.find_one(email="a") == User2(user_id=7, email="a")
    with pytest.raises(DuplicateError):
        await users.create(User2(user_id=8, email="a"))
    assert [found.tkn for found in await Repository(client, User1).find(uid=7)] == [renamed]
    assert (await users.reindex()).removed == 0
    assert await users.end_all_for(user_id=7) == 1


async def test_what_a_rotated_session_becomes_leads_to_the_new_one(users: Repository[User2], renamed: int) -> None:
    await users.reindex([renamed])
    session = await users.rotate(await users.get(renamed))
    assert session.tkn != renamed
    assert await users.find(user_id=7) == [session]
    assert await users.find_one(email="a") == session


async def test_what_an_upgraded_session_leaves_is_free_at_once(users: Repository[User2], renamed: int) -> None:
    await users.reindex([renamed])
    await users.update(renamed, email="b")
    other = await users.create(User2(user_id=8, email="a"))
    assert await users.find_one(email="a") == other


async def test_of_sessions_that_become_one_value_the_first_that_is_known_has_it(client: NdbClient) -> None:
    old, new = Repository(client, User1), Repository(client, User2)
    other = await new.save(User2(user_id=8, email="a"))
    done = await new.reindex([(await old.save(User1(uid=7, mail="a"))).tkn])
    assert [type(problem) for problem in done.problems] == [DuplicateError]
    assert await new.find_one(email="a") == other


async def test_newer_sessions_stop_a_search_by_older_code_which_ends_them_all_the_same(client: NdbClient) -> None:
    @in_place_of(User1)
    class User3(SessionModel, schema="lookup-user"):
        user_id: Annotated[int, Lookup()]

    old, new = Repository(client, User3), Repository(client, User2)
    await old.save(User3(user_id=7))
    await new.save(User2(user_id=7, email="a"))
    with pytest.raises(NewerVersionError):
        await old.find(user_id=7)
    assert await old.end_all_for(user_id=7) == 2


async def test_what_a_validator_makes_of_a_value_is_what_finds_it(client: NdbClient) -> None:
    class Raw(SessionModel, schema="Case"):
        code: str

    @in_place_of(Raw)
    class Number(SessionModel, schema="Case"):
        code: Annotated[int, Lookup()]

    tkn = (await Repository(client, Raw).save(Raw(code="7"))).tkn
    repo = Repository(client, Number)
    await repo.reindex([tkn])
    assert await repo.find(code=7) == [Number(code=7)]
