"""What validators, defaults and deprecations of the user's do to saving: nothing but what they say."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from pydantic import Field, SecretStr, field_validator

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
