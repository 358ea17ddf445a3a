"""Repositories of models that mypy knows in part, or in several forms; and values after `**`."""

from __future__ import annotations

from typing import Any, Generic, Self, TypedDict, TypeVar

from ndb_models import NdbClient, Repository, SessionModel
from tests.typing.programs.models import Login, Open, Unmarked

M = TypeVar("M", bound=SessionModel)
L = TypeVar("L", bound=Login)
C = TypeVar("C", Login, Unmarked)


async def of_any_model(repo: Repository[M], everything: Repository[SessionModel], unknown: Repository[Any]) -> None:
    await repo.update(5, whatever=1)
    await repo.find(whatever=1)
    await everything.update(5, whatever=1)
    await everything.find_one(whatever=1)
    await unknown.update(5, whatever=1)
    await unknown.find()


async def of_any_login_known_names_are_checked(repo: Repository[L]) -> None:
    await repo.update(5, further=1, username="b")
    await repo.update(5, age="x")  # E: Field "age" of "Login" is "int", not "str"  [ndb-value]
    await repo.find(further=1, age=1)
    await repo.find_one(user_id="7")  # E: Field "user_id" of "Login" is looked up by "int", not "str"  [ndb-value]


async def of_one_of_two_models(repo: Repository[C]) -> None:
    await repo.update(5, username="b")
    await repo.update(5, age=5)  # E: "Unmarked" has no field "age"; it has "username"  [ndb-field]


async def of_this_or_that(repo: Repository[Login] | Repository[Open], both: Repository[Login | Unmarked]) -> None:
    await repo.update(5, age=5)
    await repo.update(5, age="x")  # E: Field "age" of "Login" is "int", not "str"  [ndb-value]
    await repo.update(5, anything=5)  # E: "Login" has no field "anything"  [ndb-field]
    await both.update(5, age=5)
    await both.update(5, agee=5)  # E: "Login" has no field "agee"; did you mean "age"?  [ndb-field]


async def chosen_at_run_time(
    client: NdbClient, model: type[Login], is_open: bool, maybe: Repository[Login] | None
) -> None:
    await Repository(client, model).update(5, usernme="b")  # E: did you mean "username"?  [ndb-field]
    if maybe is not None:
        await maybe.update(5, usernme="b")  # E: did you mean "username"?  [ndb-field]


class Logins(Repository[Login]):
    async def rename(self, tkn: int) -> None:
        await self.update(tkn, usernme="b")  # E: did you mean "username"?  [ndb-field]


class Loose(Repository[Login]):
    async def update(self, tkn: int, /, **changes: Any) -> Login:
        return await super().update(tkn, **changes)


class Store(Generic[L]):
    def __init__(self, client: NdbClient, model: type[L]) -> None:
        self.repo: Repository[L] = Repository(client, model)

    async def rename(self, tkn: int) -> None:
        await self.repo.update(tkn, username=5)  # E: "username" of "Login" is "str", not "int"  [ndb-value]


async def subclasses(logins: Logins, loose: Loose, store: Store[Login]) -> None:
    await logins.update(5, usernme="b")  # E: did you mean "username"?  [ndb-field]
    await logins.find(nam=5)  # E: "Login" has no field "nam"  [ndb-field]
    await loose.update(5, usernme="b")
    await loose.find(nam=5)  # E: "Login" has no field "nam"  [ndb-field]
    await store.repo.update(5, usernme="b")  # E: did you mean "username"?  [ndb-field]


class Changes(TypedDict, total=False):
    age: int
    username: str


class Misspelt(TypedDict):
    usernme: str
    age: str


class Wanted(TypedDict):
    user_id: int
    extend: bool


async def unpacked(
    repo: Repository[Login], changes: Changes, misspelt: Misspelt, wanted: Wanted, untyped: dict[str, Any]
) -> None:
    await repo.update(5, **changes)
    await repo.update(5, **changes, weight="x")  # E: Field "weight" of "Login" is "float", not "str"  [ndb-value]
    await repo.update(5, **misspelt)  # E: no field "usernme"; did [ndb-field] // "age" of "Login" is "int" [ndb-value]
    await repo.update(5, **untyped)
    await repo.update(5, **{"age": 5, "whatever": 6})  # noqa: PIE804 - what is tested
    await repo.find(**wanted)
    await repo.find(**untyped)
    await repo.find_one(**untyped)


async def in_a_function(client: NdbClient) -> None:
    class Local(SessionModel):
        name: str = ""
        own: Self | None = None

    await Repository(client, Local).update(5, name="b", own=None)
    await Repository(client, Local).update(5, nam="b")  # E: "Local" has no field "nam"  [ndb-field]


def of_an_unknown_base(base: Any) -> None:
    class Unknown(base, SessionModel):  # type: ignore[misc]
        name: str = ""

    async def change(repo: Repository[Unknown]) -> None:
        await repo.update(5, whatever=1)
        await repo.find(whatever=1)
