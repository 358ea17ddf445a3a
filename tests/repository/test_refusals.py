"""Reading what is not this model's session: it is refused by an error that says what it is, and left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AfterValidator, EmailStr, HttpUrl, ValidationError, model_validator

from ndb_models import (
    ForeignSessionError,
    IncompleteSessionError,
    JsonInput,
    NdbClient,
    Repository,
    SessionError,
    SessionModel,
    StoredDataError,
    UnstorableError,
    WrongSchemaError,
)
from ndb_models.schema.envelope import RESERVED_KEY
from tests.repository.models import Otp, User
from tests.zoo import Nothing, Owner


async def everything(client: NdbClient, tkn: int) -> Mapping[str, JsonInput]:
    return await client.sh_get(await client.sh_keys(tkn), tkn)


async def refusal(repo: Repository[Any], tkn: int) -> SessionError:
    """Return the error that reading gives, in each of the ways to read; `exists` just says no."""
    with pytest.raises(SessionError) as by_get:
        await repo.get(tkn)
    with pytest.raises(type(by_get.value)):
        await repo.get_or_none(tkn)
    assert await repo.exists(tkn) is False
    assert by_get.value.tkn == tkn
    assert str(tkn) not in str(by_get.value)
    return by_get.value


async def test_the_token_of_another_model_is_refused_with_its_name(users: Repository[User], client: NdbClient) -> None:
    otp = await Repository(client, Otp).save(Otp(code=402913))
    error = await refusal(users, otp.tkn)
    assert isinstance(error, WrongSchemaError)
    assert (error.model, error.stored) == ("User", "Otp")
    with pytest.raises(WrongSchemaError):
        await users.delete(otp.tkn)
    assert await Repository(client, Otp).get(otp.tkn) == otp


async def test_a_derived_model_is_another_model(client: NdbClient) -> None:
    class Admin(User):
        pass

    user = await Repository(client, User).save(User(username="b"))
    assert isinstance(await refusal(Repository(client, Admin), user.tkn), WrongSchemaError)


@pytest.mark.parametrize("keys", [{"username": "b"}, {"fname": "b"}, {"username": "b", RESERVED_KEY: 5}])
async def test_a_session_of_another_client_is_refused_and_left_alone(
    users: Repository[User], client: NdbClient, keys: dict[str, JsonInput]
) -> None:
    foreign = await client.sh_create_session()
    await client.sh_set(keys, foreign.tkn)
    assert isinstance(await refusal(users, foreign.tkn), ForeignSessionError)
    with pytest.raises(ForeignSessionError):
        await users.delete(foreign.tkn)
    assert await everything(client, foreign.tkn) == keys


async def test_a_foreign_session_is_refused_by_a_model_without_fields_too(client: NdbClient) -> None:
    foreign = await client.sh_create_session()
    await client.sh_set({"fname": "b"}, foreign.tkn)
    assert isinstance(await refusal(Repository(client, Nothing), foreign.tkn), ForeignSessionError)


@pytest.mark.parametrize("envelope", [None, [], "User", {}, {"schema": "User"}, {"schema": 1, "version": 1, "tkn": 1}])
async def test_a_reserved_key_that_is_not_ours_makes_a_session_foreign(
    users: Repository[User], client: NdbClient, envelope: JsonInput
) -> None:
    user = await users.save(User(username="b"))
    await client.sh_set({RESERVED_KEY: envelope}, user.tkn)
    assert isinstance(await refusal(users, user.tkn), ForeignSessionError)


async def test_an_empty_session_is_incomplete_and_can_be_deleted(users: Repository[User], client: NdbClient) -> None:
    empty = await client.sh_create_session()
    assert isinstance(await refusal(users, empty.tkn), IncompleteSessionError)
    assert await users.delete(empty.tkn) is True
    assert await client.sh_session_exists([empty.tkn]) == []


async def test_an_emptied_session_is_incomplete(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))
    await client.sh_clear(user.tkn)
    assert isinstance(await refusal(users, user.tkn), IncompleteSessionError)


async def test_the_keys_of_one_session_copied_into_another_are_not_read(
    users: Repository[User], client: NdbClient
) -> None:
    user, other = await users.save(User(username="canary")), await client.sh_create_session()
    await client.sh_set(await everything(client, user.tkn), other.tkn)
    error = await refusal(users, other.tkn)
    assert isinstance(error, ForeignSessionError)
    assert "canary" not in str(error)
    with pytest.raises(ForeignSessionError):
        await users.delete(other.tkn)
    assert await client.sh_session_exists([other.tkn]) == [other.tkn]


def no_one_s(value: str) -> str:
    if value:
        raise ValueError(f"I do not like {value}")
    return value


class Exacting(SessionModel):
    number: int = 0
    word: Literal["a", "b"] = "a"
    uuid: UUID = UUID(int=0)
    url: HttpUrl = HttpUrl("https://example.org")
    email: EmailStr = "b@example.org"
    table: dict[str, int] = {}
    mine: Annotated[str, AfterValidator(no_one_s)] = ""
    owner: Owner = Owner()


CANARIES: list[tuple[str, JsonInput]] = [
    ("number", "canary"),
    ("number", {"canary": 1}),
    ("number", 1.5),
    ("word", "canary"),
    ("uuid", "canary"),
    ("uuid", "00000000-0000-0000-0000-00000canary0"),
    ("url", "canary://[canary"),
    ("email", "canary"),
    ("email", "canary@canary@canary"),
    ("table", {"canary": "canary"}),
    ("mine", "canary"),
    ("owner", {"pet": {"kind": "canary"}}),
    ("owner", {"plain": "canary", "pets": {"canary": {"kind": "canary"}}}),
]


@pytest.mark.parametrize(("field", "value"), CANARIES, ids=repr)
async def test_stored_data_that_does_not_fit_is_named_and_not_shown(
    client: NdbClient, field: str, value: JsonInput
) -> None:
    repo = Repository(client, Exacting)
    tkn = (await repo.save(Exacting())).tkn
    await client.sh_set({field: value}, tkn)
    for read in (repo.get, repo.get_or_none):
        with pytest.raises(StoredDataError) as caught:
            await read(tkn)
        assert {name for name, _ in caught.value.problems} == {field}
        assert (caught.value.model, caught.value.tkn) == ("Exacting", tkn)
        assert "canary" not in str(caught.value)
        assert str(tkn) not in str(caught.value)
        assert isinstance(caught.value.__cause__, ValidationError)


async def test_the_cause_keeps_the_kind_of_each_problem_and_no_value(client: NdbClient) -> None:
    repo = Repository(client, Exacting)
    session = await repo.save(Exacting())
    await client.sh_set({"number": "canary"}, session.tkn)
    with pytest.raises(StoredDataError) as read:
        await repo.get(session.tkn)
    object.__setattr__(session, "number", "canary")
    with pytest.raises(UnstorableError) as saved:
        await repo.save(session)
    for caught in (read.value, saved.value):
        assert isinstance(caught.__cause__, ValidationError)
        (problem,) = caught.__cause__.errors()
        assert problem["type"] == "int_parsing"
        assert "canary" not in repr(problem)


async def test_every_field_that_does_not_fit_is_named(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))
    await client.sh_rmv(["username"], user.tkn)
    await client.sh_set({"visits": -1, "roles": [1, 2]}, user.tkn)
    with pytest.raises(StoredDataError) as caught:
        await users.get(user.tkn)
    assert {name for name, _ in caught.value.problems} == {"username", "visits", "roles"}


async def test_what_does_not_fit_as_a_whole_names_no_field(client: NdbClient) -> None:
    class Range(SessionModel):
        low: int = 0
        high: int = 9

        @model_validator(mode="after")
        def _in_order(self) -> Range:
            if self.low > self.high:
                raise ValueError(f"canary {self.low}")
            return self

    repo = Repository(client, Range)
    tkn = (await repo.save(Range())).tkn
    await client.sh_set({"low": 10}, tkn)
    with pytest.raises(StoredDataError, match=r"\(model\)") as caught:
        await repo.get(tkn)
    assert "canary" not in str(caught.value)


async def test_a_session_that_does_not_fit_can_still_be_deleted(users: Repository[User], client: NdbClient) -> None:
    user = await users.save(User(username="b"))
    await client.sh_set({"visits": "canary"}, user.tkn)
    assert await users.exists(user.tkn) is True
    assert await users.delete(user.tkn) is True
