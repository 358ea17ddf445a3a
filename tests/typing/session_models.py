"""What a checker knows of a model's declaration and of making one."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from ndb_models import Expiry, JsonInput, JsonValue, SessionModel, SessionToken
from tests.typing.models import UserSession


class Declared(SessionModel, expiry=None, schema="declared", frozen=True):
    name: str


class Derived(Declared, frozen=True):
    number: int = 0


class Misspelt(SessionModel, expirey=None):  # type: ignore[ndb-keyword]  # pyright: ignore[reportArgumentType]
    name: str


class WrongVersion(SessionModel, version="2"):  # type: ignore[ndb-keyword]  # pyright: ignore[reportArgumentType]
    name: str


def making_a_model_is_checked() -> None:
    UserSession(username="b", roles=["r"])
    UserSession(username=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    UserSession()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    UserSession(username="b", rolls=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_frozen_model_is_not_assigned_to() -> None:
    declared = Derived(name="b")
    declared.number = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def a_token_is_given_not_made() -> None:
    user = UserSession(username="b")
    user.tkn = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    UserSession(username="b", tkn=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def an_expiry_is_checked() -> None:
    Expiry(idle=60)
    Expiry(idle=timedelta(minutes=1), on="read")
    Expiry(idle="60")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Expiry(idle=60, on="reads")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Expiry(60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class Versioned(SessionModel, version=3, oldest=1):
    username: str


@Versioned.upgrade(1)
def renamed(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"username": keys["name"]}


@Versioned.upgrade(2)
def narrower(keys: dict[str, JsonValue]) -> dict[str, str]:
    return {"username": str(keys["username"])}


def a_step_stays_the_function_that_it_was() -> None:
    assert_type(renamed({}), dict[str, JsonValue])
    assert_type(narrower({}), dict[str, str])


@Versioned.upgrade(1)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
def without_a_result(keys: dict[str, JsonValue]) -> None:
    pass


@Versioned.upgrade(1)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
async def awaited(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return keys


@Versioned.upgrade(1)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
def without_keys() -> dict[str, JsonValue]:
    return {}


@Versioned.upgrade("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def from_no_version(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return keys


def a_value_in_a_step_is_not_used_before_its_type_is_known(keys: dict[str, JsonValue]) -> None:
    _ = keys["visits"] + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]


class Documented(SessionModel, schema="documented"):
    value: JsonValue
    items: list[JsonValue] = []
    optional: JsonValue | None = None
    written: JsonInput = None
    owner: SessionToken = 0


def a_json_value_is_narrowed_like_any_union() -> None:
    document = Documented(value={"a": [1, None]}, items=["b", 2.5], written=[("c", {"d": 1})])
    if isinstance(document.value, dict):
        members: dict[str, JsonValue] = document.value
        document.items.append(members)
    Documented(value=object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
