"""Values that do not fit their model any more: refused by the field's name before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from ndb_models import NdbClient, NdbError, Repository, UnstorableError
from tests.repository.models import Address, User
from tests.zoo import Collections, Scalars

Spoil = tuple[str, Any]


def unchecked(model: type[BaseModel], **values: Any) -> Any:
    return model.model_construct(**values)


SPOILT: list[Spoil] = [
    ("username", 5),
    ("username", None),
    ("username", "canary\ud800"),
    ("username", b"canary\xff"),
    ("roles", "canary"),
    ("roles", ["a", 5]),
    ("roles", ("canary",)),
    ("roles", ["canary\udc00"]),
    ("address", None),
    ("address", {"street": "canary"}),
    ("address", unchecked(Address, street=5)),
    ("visits", -1),
    ("visits", "5"),
    ("visits", 1.5),
    ("visits", float("nan")),
    ("visits", object()),
    ("visits", Scalars()),
]


@pytest.mark.parametrize(("field", "value"), SPOILT, ids=lambda value: type(value).__name__)
async def test_what_was_assigned_and_does_not_fit_creates_nothing(client: NdbClient, field: str, value: Any) -> None:
    user = User(username="b")
    setattr(user, field, value)
    with pytest.raises(UnstorableError, match=f"User cannot be stored: {field}: ") as caught:
        await Repository(client, User).save(user)
    assert {name for name, _ in caught.value.problems} == {field}
    assert "canary" not in str(caught.value)
    assert not user.is_saved
    assert await client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}


@pytest.mark.parametrize(("field", "value"), SPOILT, ids=lambda value: type(value).__name__)
async def test_what_was_assigned_and_does_not_fit_changes_nothing(client: NdbClient, field: str, value: Any) -> None:
    repo = Repository(client, User)
    user = await repo.save(User(username="b"))
    setattr(user, field, value)
    with pytest.raises(UnstorableError, match=field):
        await repo.save(user)
    assert await repo.get(user.tkn) == User(username="b")


async def test_every_value_that_does_not_fit_is_named(client: NdbClient) -> None:
    user = unchecked(User, username=5, roles="canary", visits=-1)
    with pytest.raises(UnstorableError) as caught:
        await Repository(client, User).save(user)
    assert {name for name, _ in caught.value.problems} == {"username", "roles", "visits"}


def without_username(user: User) -> None:
    del user.username


def without_roles(user: User) -> None:
    del user.roles


@pytest.mark.parametrize(("remove", "field"), [(without_username, "username"), (without_roles, "roles")])
async def test_a_field_that_was_deleted_is_named(client: NdbClient, remove: Callable[[User], None], field: str) -> None:
    user = User(username="b", roles=["r"])
    remove(user)
    with pytest.raises(UnstorableError, match=field):
        await Repository(client, User).save(user)


@pytest.mark.parametrize(
    ("field", "value"), [("names", {"a"}), ("unique", [1]), ("pair", [0, ""]), ("row", []), ("frozen", {1})], ids=repr
)
async def test_a_collection_of_another_kind_is_not_converted_silently(
    client: NdbClient, field: str, value: Any
) -> None:
    model = Collections()
    setattr(model, field, value)
    with pytest.raises(UnstorableError, match=field):
        await Repository(client, Collections).save(model)


async def test_the_refusal_can_be_caught_as_ours_and_as_a_value_error(client: NdbClient) -> None:
    user = unchecked(User, username=5)
    for kind in (NdbError, ValueError):
        with pytest.raises(kind):
            await Repository(client, User).save(user)
