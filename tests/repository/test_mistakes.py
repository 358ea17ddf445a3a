"""Mistakes that are easily made: what comes back says what to do, and shows no value."""

from __future__ import annotations

import math
import traceback
from typing import Any

import pytest
from pydantic import field_serializer

from ndb_models import InvalidArgumentError, NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.client.uri import WebSocketUri, parse_uri
from tests.repository.models import Otp, User

SECRET = "hunter2"


class Measurement(SessionModel):
    value: float
    values: list[float] = []


class Revealing(SessionModel):
    """Its serializer says too much."""

    password: str

    @field_serializer("password")
    def write(self, value: str) -> str:
        raise ValueError(f"bad {value}")


class Unknown:
    """Nothing that JSON knows."""


class Loose(SessionModel):
    stuff: Any = None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (7, "not a token; get(tkn) reads its session"),
        (User, "not the class User; make an instance of it"),
        (Otp(code=1), "not Otp"),
        ({"username": "billy"}, "not dict"),
    ],
)
async def test_what_is_given_for_a_model_is_named(users: Repository[User], given: Any, says: str) -> None:
    for verb in (users.save, users.create, users.refresh, users.rotate):
        with pytest.raises(InvalidArgumentError) as caught:
            await verb(given)
        assert str(caught.value) == f"this repository stores User, {says}"


@pytest.mark.parametrize("given", ["1234", b"1234", 1234, User(username="billy")])
async def test_one_is_not_taken_for_many(users: Repository[User], given: Any) -> None:
    for verb in (users.get_many, users.save_many, users.delete_many):
        with pytest.raises(InvalidArgumentError, match=f"a list .*, not as one value of type {type(given).__name__}"):
            await verb(given)


def test_a_repository_of_a_client_that_was_not_awaited_says_how_to_open_one() -> None:
    connecting: Any = NdbClient.connect("memory://")
    with pytest.raises(InvalidArgumentError, match=r"async with NdbClient\.connect\(uri\) as client"):
        Repository(connecting, User)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_a_number_that_json_does_not_have_is_called_that(client: NdbClient, value: float) -> None:
    with pytest.raises(UnstorableError) as caught:
        await Repository(client, Measurement).save(Measurement(value=value))
    assert caught.value.problems == (("value", "JSON has no NaN and no infinity"),)


async def test_what_a_serializer_raises_is_not_shown(client: NdbClient) -> None:
    with pytest.raises(UnstorableError) as caught:
        await Repository(client, Revealing).save(Revealing(password=SECRET))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_type_that_cannot_be_written_is_named_by_the_cause(client: NdbClient) -> None:
    with pytest.raises(UnstorableError) as caught:
        await Repository(client, Loose).save(Loose(stuff=Unknown()))
    assert "Unknown" in str(caught.value.__cause__)


def test_where_tls_is_asked_for_the_hint_names_it() -> None:
    uris = [parse_uri(f"{scheme}://127.0.0.1:1987/") for scheme in ("ws", "wss")]
    assert ["TLS" in uri.hint for uri in uris if isinstance(uri, WebSocketUri)] == [False, True]
