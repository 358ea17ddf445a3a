"""What others do to the index: it says nothing that is false, and goes on."""

from __future__ import annotations

from ndb_models import NdbClient, Repository
from tests.lookup.models import Login
from tests.lookup.truth import Scene


async def test_after_all_sessions_were_ended_there_are_new_ones(logins: Repository[Login], client: NdbClient) -> None:
    for round_ in range(3):
        session = await logins.save(Login(user_id=7, email="a"))
        assert [found.tkn for found in await logins.find(user_id=7)] == [session.tkn]
        names = await client.kv_keys()
        assert len(names) == 2 * (round_ + 1)
        await client.sh_end_all()
        assert await logins.find(user_id=7) == []
        assert await logins.find_one(email="a") is None
        assert await logins.end_all_for(user_id=7) == 0
    await logins.reindex(exclusive=True)
    assert await client.kv_keys() == []


async def test_what_somebody_wrote_over_a_name_is_passed_over(logins: Repository[Login], client: NdbClient) -> None:
    session = await logins.save(Login(user_id=7))
    for spoilt in ("text", None, [1], -1, 2**63):
        for name in await client.kv_keys():
            await client.kv_set({name: spoilt})
        assert await logins.find(user_id=7) == []
        await logins.reindex([session.tkn])
        assert [found.tkn for found in await logins.find(user_id=7)] == [session.tkn]
        await client.kv_clear()


async def test_after_the_shared_keys_were_cleared_tokens_bring_sessions_back(
    logins: Repository[Login], client: NdbClient
) -> None:
    session = await logins.save(Login(user_id=7, email="a"))
    await client.kv_clear()
    assert await logins.find(user_id=7) == []
    await logins.reindex([session.tkn])
    assert [found.tkn for found in await logins.find(user_id=7)] == [session.tkn]
    assert await logins.find_one(email="a") == session


async def test_data_sets_restore_sessions_with_their_index(client: NdbClient) -> None:
    logins = Repository(client, Login)
    session = await logins.save(Login(user_id=7, email="a"))
    await client.sh_save("sessions")
    await client.kv_save("keys")
    await client.sh_end_all()
    await client.kv_clear()
    await client.kv_load("keys")
    await client.sh_load("sessions")
    assert [found.tkn for found in await logins.find(user_id=7)] == [session.tkn]
    assert await logins.find_one(email="a") == session


async def test_a_save_that_ends_amid_a_wipe_is_listed_where_it_is(scene: Scene) -> None:
    await scene.logins.save(Login(user_id=7, email="a"))
    await scene.client.sh_end_all()
    session = await scene.logins.save(Login(user_id=7, email="a"))
    await scene.logins.update(session.tkn, user_id=8)
    await scene.logins.update(session.tkn, user_id=7)
    await scene.check()


async def test_what_the_raw_client_changed_is_found_once_the_session_is_known(
    logins: Repository[Login], client: NdbClient
) -> None:
    session = await logins.save(Login(user_id=7, email="a"))
    await client.sh_set({"user_id": 8, "email": "b"}, session.tkn)
    assert await logins.find(user_id=7) == []
    assert await logins.find(user_id=8) == []
    assert (await logins.reindex([session.tkn])).added == 2
    assert await logins.find(user_id=8) == [Login(user_id=8, email="b")]
    assert await logins.find_one(email="b") == Login(user_id=8, email="b")
