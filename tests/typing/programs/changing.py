"""`update`: the names and values of fields."""

from __future__ import annotations

from ndb_models import ConfigRepository, NdbClient, Repository
from tests.typing.programs.models import (
    Address,
    AdminLogin,
    ClosedAgain,
    Config,
    Frozen,
    Login,
    Open,
    OpenByBase,
    OpenByConfig,
    OpenByDict,
    OpenByInnerClass,
    Page,
    PerhapsOpen,
    Secretive,
)


async def right(repo: Repository[Login], login: Login, maybe: str | None) -> None:
    await repo.update(5)
    await repo.update(5, user_id=7, email=maybe, roles=[], address=Address(), theme="dark", visits=1, weight=1)
    await repo.update(5, before=login, nickname="b", email=None, roles=[role.upper() for role in ("a", "b")])


async def no_such_field(repo: Repository[Login], client: NdbClient) -> None:
    await repo.update(5, usernme="b")  # E: "Login" has no field "usernme"; did you mean "username"?  [ndb-field]
    await repo.update(5, nickName="b")  # E: has no field "nickName"; did you mean "nickname"?  [ndb-field]
    await repo.update(5, _cached=1)  # E: no field "_cached"; it has "user_id", "email", "username" [ndb-field]
    await repo.update(5, count=1)  # E: "Login" has no field "count"  [ndb-field]
    await repo.update(5, greeting="hi")  # E: "Login" has no field "greeting"  [ndb-field]
    await repo.update(5, tkn=6)  # E: "Login" has no field "tkn"  [ndb-field]
    await Repository(client, Login).update(5, rolls=[])  # E: did you mean "roles"?  [ndb-field]
    await repo.update(
        5,
        username="b",
        agee=1,  # E: did you mean "age"?  [ndb-field]
        age="1",  # E: Field "age" of "Login" is "int", not "str"  [ndb-value]
    )


async def no_such_value(repo: Repository[Login], maybe: int | None) -> None:
    await repo.update(5, age="x")  # E: Field "age" of "Login" is "int", not "str"  [ndb-value]
    await repo.update(5, age=maybe)  # E: Field "age" of "Login" is "int", not "int | None"  [ndb-value]
    await repo.update(5, age=1.5)  # E: Field "age" of "Login" is "int", not "float"  [ndb-value]
    await repo.update(5, roles=[1])  # E: Field "roles" of "Login" is "list[str]", not "list[int]"  [ndb-value]
    await repo.update(5, theme="drak")  # E: is "Literal['light', 'dark']", not "Literal['drak']"  [ndb-value]
    await repo.update(5, address={"city": "b"})  # E: is "Address", not "dict[str, str]"  [ndb-value]
    await repo.update(5, before=5)  # E: Field "before" of "Login" is "Login | None", not "int"  [ndb-value]
    await repo.update(5, nickname=5)  # E: Field "nickname" of "Login" is "str", not "int"  [ndb-value]
    await repo.update(5, age=None, username=None)  # E: not "None"  [ndb-value] // not "None"  [ndb-value]
    await repo.update(5, age=5 + None)  # E: Unsupported operand types  [operator]  # P: OperatorIssue


async def inherited_fields(repo: Repository[AdminLogin]) -> None:
    await repo.update(5, level=1, username="b", age=5)
    await repo.update(5, levle=1, age="x")  # E: did you mean "level"?  [ndb-field] // is "int"  [ndb-value]


async def open_models_take_any_name(
    allowed: Repository[Open],
    configured: Repository[OpenByConfig],
    by_dict: Repository[OpenByDict],
    by_inner_class: Repository[OpenByInnerClass],
    inherited: Repository[OpenByBase],
    closed: Repository[ClosedAgain],
    perhaps: Repository[PerhapsOpen],
) -> None:
    await allowed.update(5, anything=1, name=1)  # E: Field "name" of "Open" is "str", not "int"  [ndb-value]
    await configured.update(5, anything=1, name=1)  # E: is "str", not "int"  [ndb-value]
    await by_dict.update(5, anything=1, name=1)  # E: is "str", not "int"  [ndb-value]
    await by_inner_class.update(5, anything=1, name=1)  # E: is "str", not "int"  [ndb-value]
    await inherited.update(5, anything=1, number="1")  # E: is "int", not "str"  [ndb-value]
    await closed.update(5, anything=1)  # E: no field "anything"; it has "name" and "number"  [ndb-field]
    await perhaps.update(5, anything=1, name=1)  # E: is "str", not "int"  [ndb-value]


async def further_models(
    frozen: Repository[Frozen], pages: Repository[Page[int]], secret: Repository[Secretive]
) -> None:
    await frozen.update(5, name="b")
    await frozen.update(5, nam="b")  # E: did you mean "name"?  [ndb-field]
    await pages.update(5, items=[], first=1)
    await pages.update(5, items=["b"], first=1)  # E: Field "items" of "Page" is "list[int]"  [ndb-value]
    await pages.update(5, first="b")  # E: Field "first" of "Page" is "int", not "str"  [ndb-value]
    await secret.update(5, password="b")  # E: Field "password" of "Secretive" is "SecretStr", not "str"  [ndb-value]


async def a_configuration(config: ConfigRepository[Config]) -> None:
    await config.update(title="t", debug=True)
    await config.update(titel="t")  # E: "Config" has no field "titel"; did you mean "title"?  [ndb-field]
    await config.update(debug="yes")  # E: Field "debug" of "Config" is "bool", not "str"  [ndb-value]


async def the_checked_way_in_every_checker(repo: Repository[Login], config: ConfigRepository[Config]) -> None:
    async with repo.edit(5) as login:
        login.usernme = "b"  # E: has no attribute "usernme"  [attr-defined]  # P: AttributeAccessIssue
        login.age = "x"  # E: Incompatible types in assignment  [assignment]  # P: AttributeAccessIssue
    async with config.edit() as edited:
        edited.titel = "t"  # E: has no attribute "titel"; maybe "title"?  [attr-defined]  # P: AttributeAccessIssue

    def rename(login: Login) -> None:
        login.username = 5  # E: Incompatible types in assignment  [assignment]  # P: AttributeAccessIssue

    await repo.mutate(5, rename)


async def an_error_can_be_ignored(repo: Repository[Login]) -> None:
    await repo.update(5, usernme="b")  # type: ignore[ndb-field]
    await repo.update(5, age="x")  # type: ignore[ndb-value]
