"""No error of a definition holds a value of the model: a default, an example, what an upgrade or a validator says."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, PlainSerializer, PrivateAttr, RootModel, SecretStr

from ndb_models import ConfigRepository, Lookup, NdbClient, NdbError, Repository, SessionModel
from tests.leaks import CANARY, leaks_of

Define = Callable[[NdbClient], object]


class Unlike:
    """Is nothing that can be stored, and shows what it holds."""

    def __init__(self, text: str = CANARY) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class TelltaleError(Exception):
    """What a user's function raises."""


def raising(_value: object = None) -> Any:
    raise TelltaleError(CANARY)


def default_that_is_nothing(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-1"):
        data: Any = Unlike()

    return Model


def default_in_a_container(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-2"):
        data: dict[str, Any] = {CANARY: [CANARY, Unlike()]}

    return Model


def default_that_is_no_number(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-3"):
        number: float = Field(default=10**400)
        text: str = CANARY

    return Model


def default_with_a_lone_surrogate(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-4"):
        text: str = CANARY + "\ud800"

    return Model


def default_that_a_serializer_refuses(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-5"):
        text: Annotated[str, PlainSerializer(raising)] = CANARY

    return Model


def default_that_is_secret(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-6"):
        text: SecretStr = SecretStr(CANARY)
        tkn: str = CANARY  # type: ignore[assignment]  # another type than the model's own

    return Model


def required_and_excluded(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-7"):
        text: str = Field(exclude=True, examples=[CANARY], description=CANARY)

    return Model


def lookup_of_anything(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-8"):
        data: Annotated[Any, Lookup()] = CANARY

    return Model


def lookup_without_parentheses(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-9"):
        text: Annotated[str, Lookup] = CANARY

    return Model


class Kind(Enum):
    FIRST = CANARY


def types_that_are_not_defined(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-10"):
        kind: Literal[Kind.FIRST] = Kind.FIRST
        other: Missing = CANARY  # type: ignore[name-defined]  # noqa: F821 - that it is not defined is the point

    return Repository(_, Model)


def extra_keyword(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-11", nothing=CANARY):  # type: ignore[ndb-keyword]  # the mistake
        pass

    return Model


def keywords_of_a_wrong_type(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-12", expiry=CANARY):  # type: ignore[ndb-keyword]  # the mistake
        pass

    return Model


def version_of_a_wrong_type(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-13", version=CANARY):  # type: ignore[ndb-keyword]  # the mistake
        pass

    return Model


def private_of_a_wrong_type(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-14", private=CANARY):  # type: ignore[ndb-keyword]  # the mistake
        _memo: Any = PrivateAttr(default=CANARY)

    return Model


def upgrades_of_a_wrong_type(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-15", version=2):
        text: str = CANARY

    return Model.upgrade(1)(CANARY)  # type: ignore[type-var]  # no function


def upgrade_from_a_wrong_type(_: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-16", version=2):
        text: str = CANARY

    return Model.upgrade(CANARY)  # type: ignore[arg-type]  # no number


def upgrade_that_is_missing(client: NdbClient) -> object:
    class Model(SessionModel, schema="schema-leaks-17", version=2):
        text: str = CANARY

    return Repository(client, Model)


def configuration_of_one_value(client: NdbClient) -> object:
    class Model(RootModel[str]):
        root: str = CANARY

    return ConfigRepository(client, Model)


def configuration_of_every_key(client: NdbClient) -> object:
    class Model(BaseModel, extra="allow"):
        text: str = CANARY

    return ConfigRepository(client, Model)


def configuration_with_a_default_that_is_nothing(client: NdbClient) -> object:
    class Model(BaseModel):
        data: Any = Unlike()
        when: datetime = Field(default=CANARY)  # type: ignore[assignment]  # Pydantic does not look at it

    return ConfigRepository(client, Model).save(Model())


DEFINITIONS: list[Define] = [
    *(default_that_is_nothing, default_in_a_container, default_that_is_no_number, default_with_a_lone_surrogate),
    *(default_that_a_serializer_refuses, default_that_is_secret, required_and_excluded),
    *(lookup_of_anything, lookup_without_parentheses, types_that_are_not_defined),
    *(extra_keyword, keywords_of_a_wrong_type, version_of_a_wrong_type, private_of_a_wrong_type),
    *(upgrades_of_a_wrong_type, upgrade_from_a_wrong_type, upgrade_that_is_missing),
    *(configuration_of_one_value, configuration_of_every_key, configuration_with_a_default_that_is_nothing),
]


@pytest.fixture
async def client() -> AsyncIterator[NdbClient]:
    async with NdbClient.connect("memory://") as client:
        yield client


async def used(client: NdbClient, define: Define) -> None:
    made: Any = define(client)
    await (made if inspect.isawaitable(made) else Repository(client, made).save(made()))


@pytest.mark.parametrize("define", DEFINITIONS, ids=lambda each: each.__name__)
async def test_no_error_of_a_definition_or_of_its_first_use_holds_a_value(client: NdbClient, define: Define) -> None:
    with pytest.raises(NdbError) as refused:
        await used(client, define)
    assert leaks_of(refused.value) == []
