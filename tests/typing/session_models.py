"""What a checker knows of a model's declaration and of making one."""

from __future__ import annotations

from datetime import timedelta

from ndb_models import Expiry, SessionModel
from tests.typing.models import UserSession


class Declared(SessionModel, expiry=None, schema="declared", frozen=True):
    name: str


class Derived(Declared, frozen=True):
    number: int = 0


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
