"""The token of a saved model: it follows the model, and is never shown."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from ndb_models import NdbClient, Repository, SessionGoneError
from tests.repository.models import Frozen, User

COPIES: dict[str, Callable[[User], User]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": User.model_copy,
    "model_copy, deep": lambda user: user.model_copy(deep=True),
    "pickle": lambda user: pickle.loads(pickle.dumps(user)),
}


@pytest.mark.parametrize("way", COPIES)
async def test_a_copy_is_of_the_same_session(client: NdbClient, way: str) -> None:
    repo = Repository(client, User)
    user = await repo.save(User(username="b", roles=["r"]))
    copied = COPIES[way](user)
    assert copied is not user
    assert copied == user
    assert copied.tkn == user.tkn
    copied.username = "c"
    await repo.save(copied)
    assert (await repo.get(user.tkn)).username == "c"


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_what_was_never_saved_has_no_token(way: str) -> None:
    copied = COPIES[way](User(username="b"))
    assert not copied.is_saved


async def test_a_copy_with_updates_saves_the_updates_only(client: NdbClient) -> None:
    repo = Repository(client, Frozen)
    first = await repo.save(Frozen(username="b"))
    await repo.save(first.model_copy(update={"username": "c"}))
    assert (await repo.get(first.tkn)).username == "c"
    assert first.username == "b"


async def test_deep_copies_do_not_share_what_changes(client: NdbClient) -> None:
    repo = Repository(client, User)
    user = await repo.save(User(username="b", roles=["r"]))
    copied = copy.deepcopy(user)
    copied.roles.append("s")
    assert user.roles == ["r"]
    await repo.save(copied)
    assert (await repo.get(user.tkn)).roles == ["r", "s"]


async def test_models_that_never_were_saved_come_from_the_same_content(client: NdbClient) -> None:
    user = await Repository(client, User).save(User(username="b"))
    again = User.model_validate(user.model_dump())
    assert again == user
    assert not again.is_saved


async def test_no_token_is_shown(client: NdbClient) -> None:
    repo = Repository(client, User)
    user = await repo.get((await repo.save(User(username="b"))).tkn)
    tkn = str(user.tkn)
    await repo.delete(user.tkn)
    with pytest.raises(SessionGoneError) as caught:
        await repo.save(user)
    shown = [repr(user), str(user), user.model_dump_json(), str(user.model_dump()), str(caught.value), repr(repo)]
    shown += [repr(caught.value), str(list(user)), repr(user.__reduce_ex__(2))]
    assert not [text for text in shown if tkn in text]


async def test_equality_does_not_ask_for_the_token(client: NdbClient) -> None:
    user = await Repository(client, User).save(User(username="b"))
    assert user == User(username="b")
    assert user != User(username="c")
