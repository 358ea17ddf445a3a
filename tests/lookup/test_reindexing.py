"""Going through the index: freeing what nobody looks for any more, and learning what it does not know."""

from __future__ import annotations

import pytest

from ndb_models import DuplicateError, NdbClient, Repository, SessionModel, WrongSchemaError
from ndb_models.index.entries import PENDING_SECONDS
from tests.lookup.models import Login, Plain, Visit
from tests.lookup.truth import Scene
from tests.reloading import in_place_of


async def test_what_expired_is_removed_from_under_every_value(scene: Scene) -> None:
    for user_id in range(20):
        await scene.logins.save(Login(user_id=user_id % 5, email=f"{user_id}"))
    scene.clock.move(3600)
    done = await scene.logins.reindex()
    assert (done.sessions, done.added, done.removed, done.problems) == (0, 0, 40, [])
    members = [member for entries in (await scene.listed()).values() for member in entries.values()]
    assert {tkn for tkn, _ in members} == {0}
    assert (await scene.logins.reindex()).removed == 0


async def test_alone_it_removes_what_is_empty(scene: Scene) -> None:
    await scene.client.kv_set({"mine": 1, "__ndb__:Login:email:mine": 2, "__ndb__:Other:email:" + "0" * 40: 3})
    kept = await scene.logins.save(Login(user_id=1, email="kept"))
    for number in range(5):
        await scene.logins.delete((await scene.logins.save(Login(user_id=7, email=f"{number}"))).tkn)
    assert len(await scene.client.kv_keys()) == 3 + 2 + 1 + 5
    await scene.logins.reindex(exclusive=True)
    assert len(await scene.client.kv_keys()) == 3 + 2
    assert len(await scene.store.export()) == 3
    assert [session.tkn for session in await scene.logins.find(user_id=1)] == [kept.tkn]
    await scene.logins.save(Login(user_id=7, email="1"))
    assert len(await scene.logins.find(user_id=7)) == 1


async def test_sessions_from_before_there_was_a_lookup_are_taken_up_by_their_tokens(client: NdbClient) -> None:
    @in_place_of(Visit)
    class Before(SessionModel, schema="lookup-visit"):
        user_id: int
        device: str = "phone"
        note: str = ""

    old = [await Repository(client, Before).save(Before(user_id=7)) for _ in range(3)]
    plain = await Repository(client, Plain).save(Plain(user_id=7))
    visits = Repository(client, Visit)
    assert await visits.find(user_id=7) == []
    done = await visits.reindex([*(session.tkn for session in old), plain.tkn, 12345])
    assert (done.sessions, done.added, done.removed) == (3, 6, 0)
    assert [type(problem) for problem in done.problems] == [WrongSchemaError]
    assert {session.tkn for session in await visits.find(user_id=7)} == {session.tkn for session in old}


async def test_of_sessions_that_have_one_unique_value_the_first_has_it(client: NdbClient) -> None:
    @in_place_of(Login)
    class Before(SessionModel, schema="Login"):
        user_id: int | None = None
        email: str | None = None
        note: str = ""

    old = [await Repository(client, Before).save(Before(user_id=7, email="a")) for _ in range(2)]
    logins = Repository(client, Login)
    done = await logins.reindex(session.tkn for session in old)
    assert [type(problem) for problem in done.problems] == [DuplicateError]
    one = await logins.find_one(email="a")
    assert one is not None
    assert one.tkn in {session.tkn for session in old}
    assert len(await logins.find(user_id=7)) == 2


async def test_a_session_that_one_field_leads_to_is_listed_under_the_others_again(scene: Scene) -> None:
    session = await scene.logins.save(Login(user_id=7, email="a"))
    (name,) = [name for name in await scene.client.kv_keys() if ":user_id:" in name]
    await scene.client.kv_rmv([name])
    assert await scene.logins.find(user_id=7) == []
    assert (await scene.logins.reindex()).added == 1
    assert [found.tkn for found in await scene.logins.find(user_id=7)] == [session.tkn]


async def test_creations_that_were_cut_short_end_when_they_cannot_go_on(scene: Scene) -> None:
    kept = await scene.visits.save(Visit(user_id=7))
    session = await scene.visits.save(Visit(user_id=7))
    await scene.client.sh_clear(session.tkn)
    assert (await scene.visits.reindex()).removed == 0
    scene.clock.move(PENDING_SECONDS)
    assert (await scene.visits.reindex()).removed == 2
    assert await scene.client.sh_session_exists([session.tkn, kept.tkn]) == [kept.tkn]


async def test_progress_is_told_of_values_and_of_tokens(scene: Scene) -> None:
    for number in range(3):
        await scene.logins.save(Login(user_id=number))
    told: list[int] = []
    await scene.logins.reindex([1, 2], progress=told.append)
    assert told == [3, 2]


@pytest.mark.parametrize("exclusive", [False, True])
async def test_an_empty_index_is_none(scene: Scene, exclusive: bool) -> None:
    done = await scene.logins.reindex(exclusive=exclusive)
    assert (done.sessions, done.added, done.removed) == (0, 0, 0)
