"""A process that dies between any two commands of a verb leaves an index that says the truth."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from ndb_models import ConnectionLostError, DuplicateError, Repository
from ndb_models.index.entries import PENDING_SECONDS
from tests.lookup.models import Login
from tests.lookup.truth import Scene
from tests.lookup.turns import MortalTransport, TransportClient

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

Doing: TypeAlias = Callable[[Repository[Login], int], Awaitable[object]]


async def change_and_back(repo: Repository[Login], tkn: int) -> None:
    await repo.update(tkn, email="b", user_id=8)
    await repo.update(tkn, email="a", user_id=7)


async def edit(repo: Repository[Login], tkn: int) -> None:
    async with repo.edit(tkn) as session:
        session.email = None
        session.user_id = 8


async def rotate(repo: Repository[Login], tkn: int) -> None:
    await repo.rotate(await repo.get(tkn))


DOING: dict[str, Doing] = {
    "create": lambda repo, _: repo.create(Login(user_id=8, email="b")),
    "create another of a user": lambda repo, _: repo.create(Login(user_id=7, email="b")),
    "create what is large": lambda repo, _: repo.create(Login(user_id=7, email="b", note="n" * 900)),
    "create what is taken": lambda repo, _: repo.create(Login(user_id=7, email="a")),
    "save many": lambda repo, _: repo.save_many([Login(user_id=7, email="b"), Login(user_id=8, email="c")]),
    "change": lambda repo, tkn: repo.update(tkn, email="b", user_id=8),
    "change and back": change_and_back,
    "change to None": edit,
    "delete": lambda repo, tkn: repo.delete(tkn),
    "rotate": rotate,
    "end all": lambda repo, _: repo.end_all_for(user_id=7),
    "find": lambda repo, _: repo.find(user_id=7),
    "find one": lambda repo, _: repo.find_one(email="b"),
    "reindex": lambda repo, _: repo.reindex(),
    "reindex alone": lambda repo, _: repo.reindex(exclusive=True),
}

# After these two sessions may have a value: the one that was rotated, and the new one.
TWINS = {"rotate"}
# In these a session that lives is on its way from one value to another.
CHANGES = {"change", "change and back", "change to None"}


async def until_it_dies(doing: Doing, lifetime: int, *, stale: bool) -> tuple[Scene, bool]:
    """Do something until the process dies after so many commands; return whether it did."""
    scene = Scene()
    session = await scene.logins.save(Login(user_id=7, email="a"))
    if stale:  # what others left behind, long ago
        gone = await scene.logins.save(Login(user_id=7, email="b"))
        await scene.client.sh_end(gone.tkn)
        scene.clock.move(PENDING_SECONDS)
    transport = MortalTransport(scene.engine, lifetime)
    repo = scene.repository(TransportClient(transport, max_payload=1024))
    with contextlib.suppress(ConnectionLostError, DuplicateError):
        await doing(repo, session.tkn)
    return scene, transport.dead


@pytest.mark.parametrize("after", ["read", "reindex", "reindex alone"])
@pytest.mark.parametrize("stale", [False, True], ids=["clean", "stale"])
@pytest.mark.parametrize("verb", DOING)
async def test_dying_between_any_two_commands_loses_nothing_and_takes_nothing(
    verb: str, stale: bool, after: str
) -> None:
    lifetime = 0
    died = True
    while died:
        scene, died = await until_it_dies(DOING[verb], lifetime, stale=stale)
        if after != "read":
            await scene.logins.reindex(exclusive=after == "reindex alone")
        await scene.check(twins=verb in TWINS)
        if verb in CHANGES:
            scene.clock.move(PENDING_SECONDS)
        await scene.check_free()
        lifetime += 1
    assert lifetime > 1


@pytest.mark.parametrize("verb", DOING)
async def test_what_a_crash_left_behind_is_removed_by_reindexing(verb: str) -> None:
    lifetime, died = 0, True
    while died:
        scene, died = await until_it_dies(DOING[verb], lifetime, stale=True)
        await scene.logins.reindex(exclusive=True)
        living = await scene.living()
        members = [member for members in (await scene.listed()).values() for member in members.values()]
        assert len(members) == sum(
            keys[field] is not None for keys in living.values() for field in ("user_id", "email")
        )
        assert {tkn for tkn, _ in members} <= living.keys()
        lifetime += 1
