"""What two do at once to one session: a deletion always wins."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from ndb_models import NdbClient, Repository, SessionGoneError
from tests.repository.models import User
from tests.repository.recording import RecordingEngine
from tests.repository.verbs import LIVING, SAVING

ROUNDS = 1000

WRITING = {**SAVING, **{name: LIVING[name] for name in ("update", "edit", "rotate", "touch")}}


@pytest.mark.slow
@pytest.mark.parametrize("verb", WRITING)
async def test_a_change_that_races_a_deletion_never_leaves_a_session_behind(
    users: Repository[User], client: NdbClient, verb: str
) -> None:
    rounds = ROUNDS if verb == "save changed" else ROUNDS // 10
    chance = random.Random(verb)
    for _ in range(rounds):
        user = await users.save(User(username="b"))
        tkn = user.tkn

        async def delete(tkn: int = tkn, head_start: int = chance.randrange(4)) -> bool:
            for _ in range(head_start):
                await asyncio.sleep(0)
            return await users.delete(tkn)

        changed, deleted = await asyncio.gather(WRITING[verb](users, user), delete(), return_exceptions=True)
        assert isinstance(changed, (User, SessionGoneError, type(None)))
        # The one that deletes may find that the session was given another token just before.
        if verb == "rotate" and deleted is False:
            assert await users.delete(user.tkn) is True
    assert await client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}


@pytest.mark.parametrize("verb", SAVING)
async def test_a_save_that_a_deletion_on_another_connection_overtakes_is_refused(
    watched: Repository[User], timed: NdbClient, engine: RecordingEngine, verb: str
) -> None:
    user = await watched.save(User(username="b"))
    engine.hold("SH_SET", "SH_ADD")
    saving = asyncio.ensure_future(SAVING[verb](watched, user))
    await engine.waiting.wait()
    await engine.handle(b'{"SH_END":{"tkn":%d}}' % user.tkn)
    engine.release()
    with pytest.raises(SessionGoneError):
        await saving
    assert (await timed.sh_info_all())["totalSessions"] == 0


async def test_of_many_deletions_one_says_that_there_was_a_session(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    assert sorted(await asyncio.gather(*(users.delete(user.tkn) for _ in range(20)))).count(True) == 1


async def test_many_tasks_that_change_fields_of_their_own_lose_nothing(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    changes: list[Callable[[int], Awaitable[User]]] = [
        lambda number: users.update(user.tkn, visits=number),
        lambda number: users.update(user.tkn, roles=[str(number)]),
        lambda number: users.update(user.tkn, username=str(number)),
    ]

    async def repeatedly(change: Callable[[int], Awaitable[User]]) -> None:
        for number in range(50):
            await change(number)

    await asyncio.gather(*(repeatedly(change) for change in changes))
    assert await users.get(user.tkn) == User(username="49", roles=["49"], visits=49)
