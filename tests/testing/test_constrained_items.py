"""Generated instances keep the constraints of inner types, and open types hold any JSON."""

from __future__ import annotations

import asyncio
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, Field, field_validator

from ndb_models import Repository, SessionModel
from ndb_models.server import NdbServer
from ndb_models.testing import assert_round_trips
from ndb_models.testing.client import open_client

T = TypeVar("T")


def test_items_of_a_list_are_within_their_bounds() -> None:
    seen: set[int] = set()

    class Numbers(BaseModel):
        items: list[Annotated[int, Field(gt=3, lt=6)]]

        @field_validator("items", mode="before")
        @classmethod
        def _note(cls, items: list[int]) -> list[int]:
            seen.update(items)
            return items

    assert_round_trips(Numbers)
    assert seen == {4, 5}


def test_a_class_that_is_generic_in_a_field_is_tried_with_many_kinds_of_values() -> None:
    seen: set[type] = set()

    class Box(BaseModel, Generic[T]):
        content: T

        @field_validator("content", mode="before")
        @classmethod
        def _note(cls, content: object) -> object:
            seen.add(type(content))
            return content

    assert_round_trips(Box)
    assert {str, list, dict} <= seen


async def test_a_client_of_every_loop_creates_sessions_where_the_server_chooses_their_tokens(
    nemesisdb: NdbServer,
) -> None:
    class Guest(SessionModel, schema="testing.guest"):
        name: str

    opening = open_client(nemesisdb.uri)
    client = await asyncio.to_thread(opening.__enter__)  # the server runs in this loop
    try:
        guests = Repository(client, Guest)
        saved = await guests.save(Guest(name="billy"))
        assert await guests.get(saved.tkn) == Guest(name="billy")
    finally:
        await asyncio.to_thread(opening.__exit__, None, None, None)
