"""Uses of a repository that are rare, and mistakes that few make."""

from __future__ import annotations

import pytest

from ndb_models import Expiry, NdbClient, Repository, SessionModel
from ndb_models.errors import InvalidArgumentError
from tests.conftest import VirtualClock
from tests.repository.expiring import declared
from tests.repository.models import User


async def test_an_edit_that_is_entered_again_is_refused(users: Repository[User]) -> None:
    saved = await users.save(User(username="b"))
    editing = users.edit(saved.tkn)
    async with editing:
        pass
    with pytest.raises(InvalidArgumentError, match="entered once"):
        await editing.__aenter__()


async def test_the_base_class_is_no_class_of_sessions(client: NdbClient) -> None:
    with pytest.raises(InvalidArgumentError, match="declare a subclass"):
        Repository(client, SessionModel)


async def test_a_repository_of_the_users_own_is_made_with_its_own_arguments(client: NdbClient) -> None:
    class Users(Repository[User]):
        def __init__(self, connected: NdbClient) -> None:
            super().__init__(connected, User)

    users = Users(client)
    saved = await users.save(User(username="b"))
    assert await users.get(saved.tkn) == saved


async def test_a_rotation_gives_a_session_the_absolute_end_that_its_class_has_since(
    client: NdbClient, clock: VirtualClock
) -> None:
    model = declared(Expiry(idle=3600))
    saved = await Repository(client, model, clock=clock).save(model())
    strict = declared(Expiry(idle=3600, absolute=600))
    read = await Repository(client, strict, clock=clock).attach(strict(), saved.tkn)
    rotated = await Repository(client, strict, clock=clock).rotate(read)
    left = await Repository(client, strict, clock=clock).ttl(rotated)
    assert left is not None
    assert left <= 600
