"""What validators, defaults and deprecations of the user's do to saving: nothing but what they say."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import AnyUrl, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from ndb_models import NdbClient, Repository, SessionModel, UnstorableError


class Size(NamedTuple):
    width: int
    height: int


class Guarded(SessionModel):
    """A secret beside a default that is no plain tuple."""

    password: SecretStr = SecretStr("")
    size: Size = Size(1, 2)


class Bidding(SessionModel):
    """What is a valid bid today may be too low tomorrow."""

    bid: int
    note: str = ""

    @field_validator("bid")
    @classmethod
    def _high_enough(cls, bid: int) -> int:
        if bid < LOWEST[0]:
            raise ValueError("too low")
        return bid


LOWEST = [1]


class Ageing(SessionModel):
    old: str = Field(default="", deprecated=True)
    kept: int = Field(default=0, exclude=True)


async def test_a_named_tuple_may_be_a_default_beside_a_secret(client: NdbClient) -> None:
    repo = Repository(client, Guarded)
    saved = await repo.save(Guarded(password=SecretStr("canary"), size=Size(3, 4)))
    assert await repo.get(saved.tkn) == Guarded(password=SecretStr("canary"), size=Size(3, 4))


async def test_what_was_valid_when_it_was_read_can_be_replaced_by_what_is_valid_now(client: NdbClient) -> None:
    repo = Repository(client, Bidding)
    saved = await repo.save(Bidding(bid=5))
    LOWEST[0] = 10
    try:
        saved.bid = 11
        await repo.save(saved)
        assert await repo.get(saved.tkn) == Bidding(bid=11)
    finally:
        LOWEST[0] = 1


async def test_refusing_another_field_does_not_count_as_using_a_deprecated_one(client: NdbClient) -> None:
    """Warnings are errors here."""
    with pytest.raises(UnstorableError, match="kept"):
        await Repository(client, Ageing).save(Ageing(kept=1))


class Picky(SessionModel):
    number: int = 0
    code: str = ""
    uuid: UUID = UUID(int=0)
    url: AnyUrl = AnyUrl("http://a/")

    @field_validator("number")
    @classmethod
    def _refused(cls, number: int) -> int:
        raise ValueError(f"not {number}")

    @field_validator("code")
    @classmethod
    def _refused_with_a_code(cls, code: str) -> str:
        raise PydanticCustomError("bad_code", "not {code}", {"code": code})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"number": 4711}, "number: a validator of the class refused it; what that says is not shown"),
        ({"code": "4711"}, r"code: a validator of the class refused it.* \(bad_code\)"),
        ({"uuid": "4711"}, "uuid: Input should be a valid UUID"),
        ({"url": "4711"}, "url: Input should be a valid URL"),
    ],
)
async def test_a_message_that_may_hold_the_value_is_said_without_it(
    client: NdbClient, change: dict[str, Any], reason: str
) -> None:
    repo = Repository(client, Picky, foreign=True)
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"other": 1}, tkn)
    with pytest.raises(UnstorableError, match=reason) as caught:
        await repo.update(tkn, **change)
    assert "4711" not in f"{caught.value} {caught.value.__cause__}"
