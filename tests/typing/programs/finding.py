"""`find`, `find_one` and `end_all_for`: the names and values of fields that are looked up."""

from __future__ import annotations

from ndb_models import Repository
from tests.typing.programs.models import AdminLogin, Login, Marked, Open, Unmarked


async def right(repo: Repository[Login], login: Login) -> None:
    await repo.find(user_id=7, extend=False, limit=5, order="newest")
    await repo.find(user_id=7, email="a")
    await repo.find_one(email="a", extend=False)
    await repo.find_one(email="a", user_id=7)
    await repo.end_all_for(user_id=7, but=login)


async def no_such_field(repo: Repository[Login]) -> None:
    await repo.find(nam=7)  # E: "Login" has no field "nam"; it has "user_id" and "email"  [ndb-field]
    await repo.find_one(emial="a")  # E: "Login" has no field "emial"; did you mean "email"?  [ndb-field]
    await repo.end_all_for(usr_id=7)  # E: "Login" has no field "usr_id"; did you mean "user_id"?  [ndb-field]
    await repo.find(
        user_id=7,
        uzer_id=8,  # E: did you mean "user_id"?  [ndb-field]
    )


async def not_looked_up(repo: Repository[Login], unmarked: Repository[Unmarked], open_: Repository[Open]) -> None:
    await repo.find(age=7)  # E: "age" of "Login" is not looked up; find() takes "user_id" or "email"  [ndb-field]
    await repo.find(visits=7)  # E: Field "visits" of "Login" is not looked up  [ndb-field]
    await repo.end_all_for(age=7)  # E: is not looked up; end_all_for() takes "user_id" or "email"  [ndb-field]
    await unmarked.find(username="b")  # E: "Unmarked" is not looked up; mark it with Lookup()  [ndb-field]
    await open_.find(anything=1)  # E: "Open" has no field "anything"  [ndb-field]


async def no_such_value(repo: Repository[Login], maybe: str | None) -> None:
    await repo.find(user_id="7")  # E: Field "user_id" of "Login" is looked up by "int", not "str"  [ndb-value]
    await repo.find_one(email=None)  # E: Field "email" of "Login" is looked up by "str", not "None"  [ndb-value]
    await repo.find_one(email=maybe)  # E: is looked up by "str", not "str | None"  [ndb-value]
    await repo.end_all_for(user_id=7.5)  # E: is looked up by "int", not "float"  [ndb-value]


async def nothing_to_look_for(repo: Repository[Login], unmarked: Repository[Unmarked]) -> None:
    await repo.find()  # E: find() needs a field to look for: "user_id" or "email"  [ndb-field]
    await repo.end_all_for(but=5)  # E: end_all_for() needs a field to look for  [ndb-field]
    await unmarked.find(limit=5)  # E: needs a field to look for; mark one with Lookup()  [ndb-field]
    await repo.find_one(user_id=7)  # E: find_one() needs a field with Lookup(unique=True)  [ndb-field]
    await repo.find(7)  # E: incompatible type "int"; expected "Never"  [arg-type]  # P: ArgumentType


async def an_inherited_field_is_looked_up_as_it_is_declared_last(repo: Repository[AdminLogin]) -> None:
    await repo.find(username="b", email="a")
    await repo.find(user_id=7)  # E: "user_id" of "AdminLogin" is not looked up  [ndb-field]
    await repo.find(level=7)  # E: "level" of "AdminLogin" is not looked up  [ndb-field]


async def marks_are_found_wherever_they_stand(repo: Repository[Marked]) -> None:
    await repo.find(by_alias=1, quoted=1, nested=1, of_generic=1)
    await repo.find(dotted=1, final=1, described=1, conditional=1, tried=1)
    await repo.find(by_number=1, by_function=1, computed="a")
    await repo.find(strict=1)  # E: Field "strict" of "Marked" is not looked up  [ndb-field]
    await repo.find(dotted="1", final="1")  # E: "dotted" of "Marked" [ndb-value] // "final" of "Marked" [ndb-value]
    await repo.find_one(conditional=1)  # E: needs a field with Lookup(unique=True)  [ndb-field]
    await repo.find(by_alias="1")  # E: Field "by_alias" of "Marked" is looked up by "int", not "str"  [ndb-value]
    await repo.find_one(by_name="b")
    await repo.find_one(by_alias=1)  # E: find_one() needs a field with Lookup(unique=True)  [ndb-field]
    await repo.find(plain="b")  # E: Field "plain" of "Marked" is not looked up  [ndb-field]


async def what_cannot_be_told_is_left_alone(repo: Repository[Marked]) -> None:
    await repo.find(perhaps=1)
    await repo.find_one(perhaps=1)
    await repo.find_one(computed="b")
