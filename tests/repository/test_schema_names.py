"""A token opens the sessions of one class: which names of schemas may be used twice in a process, and how generics are
named."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Annotated, Any, Dict, ForwardRef, Generic, List, Literal, NewType, Optional, TypeVar, Union  # noqa: UP035

import pytest
from pydantic import AfterValidator, BaseModel, Field

from ndb_models import JsonValue, NdbClient, OlderVersionError, Repository, SchemaError, SessionModel, WrongSchemaError
from tests.reloading import in_place_of

T = TypeVar("T")
U = TypeVar("U")


def declare(name: str, /, module: str = "app", qualname: str | None = None, **keywords: Any) -> Any:
    """Return a class that holds a number, as the module of this name has it."""
    metaclass: Any = type(SessionModel)
    body = {"__module__": module, "__qualname__": qualname or name, "__annotations__": {"number": int}, "number": 0}
    return metaclass(name, (SessionModel,), body, **keywords)


def test_two_classes_of_one_name_are_not_both_stored(client: NdbClient) -> None:
    login, reset = declare("Twice", "app.login"), declare("Twice", "app.reset")
    Repository(client, login)
    with pytest.raises(
        SchemaError, match=r"app\.login\.Twice has the schema 'Twice'.*app\.reset\.Twice.*schema="
    ) as no:
        Repository(client, reset)
    assert no.value.model == "Twice"
    Repository(client, login)


async def test_neither_are_they_over_two_clients(client: NdbClient) -> None:
    login, reset = declare("Apart", "app.login"), declare("Apart", "app.reset")
    Repository(client, login)
    async with NdbClient.connect("memory://") as other:
        with pytest.raises(SchemaError, match="has the schema"):
            Repository(other, reset)


@pytest.mark.parametrize("names", [("Login", "Reset"), ("Login", "Login")])
def test_nor_are_classes_that_say_the_same_schema(client: NdbClient, names: tuple[str, str]) -> None:
    login, reset = (declare(name, f"app.{n}", schema="said-twice") for n, name in enumerate(names))
    Repository(client, login)
    with pytest.raises(SchemaError, match="'said-twice'"):
        Repository(client, reset)


def test_nor_is_a_class_that_says_the_name_of_another(client: NdbClient) -> None:
    login, reset = declare("Quiet", "app.login"), declare("Reset", "app.reset", schema="Quiet", version=2, oldest=2)
    Repository(client, login)
    with pytest.raises(SchemaError, match="'Quiet'"):
        Repository(client, reset)


def test_a_class_that_was_reloaded_takes_its_name_again(client: NdbClient) -> None:
    for _ in range(3):
        Repository(client, declare("Reloaded", "app.login"))


def test_so_does_a_generic_whose_argument_has_a_validator(client: NdbClient) -> None:
    def made(check: Any) -> tuple[Any, Any]:
        class Box(SessionModel, Generic[T], schema="reloaded-box"):
            held: T

        return Box[Annotated[int, AfterValidator(check)]], Box

    def checks() -> tuple[Any, Any]:
        return lambda value: value + 0, lambda value: value - 0

    kept = []
    for _ in range(2):
        kept.append(made(checks()[0]))
        Repository(client, kept[-1][0])
    kept.append(made(checks()[1]))
    with pytest.raises(SchemaError, match="reloaded-box"):
        Repository(client, kept[-1][0])


def test_a_function_may_make_its_class_each_time_it_runs(client: NdbClient) -> None:
    def made() -> type[SessionModel]:
        class Local(SessionModel):
            number: int = 0

        return Local

    kept = [made(), made()]
    for each in kept:
        Repository(client, each)


def test_a_class_that_is_gone_leaves_its_name(client: NdbClient) -> None:
    Repository(client, declare("Gone", "app.login"))
    gc.collect()
    gc.disable()
    try:
        Repository(client, declare("Gone", "app.other"))  # the former one is still there, and nothing refers to it
        Repository(client, declare("Gone", "app.reset"))
    finally:
        gc.enable()


async def test_two_versions_of_a_schema_stand_side_by_side(client: NdbClient) -> None:
    one, two = declare("One", schema="side"), declare("Two", schema="side", version=2, oldest=2)
    saved = await Repository(client, one).save(one())
    with pytest.raises(OlderVersionError):
        await Repository(client, two).get(saved.tkn)


def test_of_threads_that_claim_one_name_one_class_has_it(client: NdbClient) -> None:
    classes = [declare("Raced", f"app.m{number}") for number in range(8)]

    def claim(model: type[SessionModel]) -> bool:
        try:
            Repository(client, model)
        except SchemaError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, classes)) == 1


def test_a_subclass_is_another_schema(client: NdbClient) -> None:
    class Base(SessionModel, schema="sub-base"):
        number: int = 0

    class Below(Base):
        pass

    Repository(client, Base)
    Repository(client, Below)


def test_another_form_of_a_class_stands_in_its_place_where_it_is_made_to(client: NdbClient) -> None:
    old = declare("Form", "app.login")
    Repository(client, old)
    Repository(client, in_place_of(old)(declare("Other", "app.reset", schema="Form")))


class Colour(Enum):
    RED = "red"


class Token(BaseModel):
    number: int = 0


def elsewhere() -> type[BaseModel]:
    metaclass: Any = type(BaseModel)
    made: type[BaseModel] = metaclass("Token", (BaseModel,), {"__module__": "app.reset", "__qualname__": "Token"})
    return made


class Item(BaseModel, Generic[T]):
    value: T


class Box(SessionModel, Generic[T], schema="login.box"):
    item: T


class Pair(SessionModel, Generic[T, U]):
    one: T
    two: U


UserId = NewType("UserId", int)
HERE = __name__
SPELLINGS: list[tuple[str, list[Any]]] = [
    ("login.box[int]", [int, Annotated[int, "a note"]]),
    ("login.box[list[int]]", [List[int], list[int]]),  # noqa: UP006
    ("login.box[dict[str, list[int | None]]]", [Dict[str, List[Optional[int]]], dict[str, list[None | int]]]),  # noqa: UP006, UP045
    ("login.box[int | None]", [Optional[int], int | None, None | int, Union[int, None]]),  # noqa: UP007, UP045
    ("login.box[int | str]", [int | str, str | int, Union[str, int]]),  # noqa: UP007
    ("login.box[list]", [list, List]),  # noqa: UP006
    ("login.box[tuple[int, ...]]", [tuple[int, ...]]),
    ("login.box[Literal['a', 'b']]", [Literal["a", "b"], Literal["b", "a"]]),
    (f"login.box[Literal[{HERE}.Colour.RED]]", [Literal[Colour.RED]]),
    (f"login.box[{HERE}.Token]", [Token]),
    ("login.box[app.reset.Token]", [elsewhere()]),
    (f"login.box[{HERE}.Item[int]]", [Item[int]]),
    (f"login.box[{HERE}.Item[list[{HERE}.Token]]]", [Item[List[Token]], Item[list[Token]]]),  # noqa: UP006
    (f"login.box[{HERE}.UserId]", [UserId]),
    ("login.box[JsonValue]", [JsonValue]),
    ("login.box[Any]", [Any]),
    ("login.box[None]", [None, type(None)]),
]


@pytest.mark.parametrize(("schema", "arguments"), SPELLINGS, ids=[schema for schema, _ in SPELLINGS])
def test_a_generic_schema_has_one_spelling(client: NdbClient, schema: str, arguments: list[Any]) -> None:
    for argument in arguments:
        box: Any = Box
        model: type[SessionModel] = box[argument]
        assert model.session_options.schema == schema
        if argument is not arguments[0] and "note" in str(argument):
            continue
        Repository(client, model)


LaterNumber = int


@pytest.mark.parametrize(
    ("quoted", "plain"),
    [
        ("LaterNumber", LaterNumber),
        ("List[int]", list[int]),
        ("None | int", int | None),
        ("dict[str, LaterNumber]", dict[str, int]),
        (list["LaterNumber"], list[int]),
    ],
)
def test_an_argument_in_quotes_is_spelled_as_the_type_that_it_names(quoted: Any, plain: Any) -> None:
    box: Any = Box
    assert box[quoted].session_options.schema == box[plain].session_options.schema


@pytest.mark.parametrize(
    "argument",
    ["Later", ForwardRef("Later"), list["Later"], "list[Later]", dict[str, "Later"], "app.Later"],  # type: ignore[name-defined]  # noqa: F821 - there is none
)
def test_an_argument_that_is_not_defined_yet_is_refused(argument: Any) -> None:
    box: Any = Box
    with pytest.raises(SchemaError, match=r"Later\S* is not defined in .*; define the type first"):
        box[argument]


def test_a_generic_class_that_says_no_schema_goes_by_its_name() -> None:
    assert Pair[int, list[str]].session_options.schema == "Pair[int, list[str]]"
    assert Pair[int, U][str].session_options.schema == "Pair[int, str]"  # type: ignore[valid-type]  # a partial one


def test_a_class_below_a_generic_one_is_a_schema_of_its_own() -> None:
    class Numbers(Box[int]):
        pass

    class Named(Box[int], schema="numbers"):
        pass

    assert Numbers.session_options.schema == "Numbers"
    assert Named.session_options.schema == "numbers"


async def test_one_spelling_reads_what_another_wrote(client: NdbClient) -> None:
    written = Repository(client, Box[List[int]])  # noqa: UP006
    saved = await written.save(Box[List[int]](item=[1]))  # noqa: UP006
    assert (await Repository(client, Box[list[int]]).get(saved.tkn)).item == [1]


async def test_two_generic_classes_of_one_argument_keep_their_tokens_apart(client: NdbClient) -> None:
    def made(schema: str) -> Any:
        class Crate(SessionModel, Generic[T], schema=schema):
            item: T

        return Crate[int]

    login, reset = made("login.crate"), made("reset.crate")
    saved = await Repository(client, login).save(login(item=1))
    with pytest.raises(WrongSchemaError):
        await Repository(client, reset).get(saved.tkn)


def test_arguments_that_differ_in_metadata_alone_do_not_share_sessions(client: NdbClient) -> None:
    class Bin(SessionModel, Generic[T]):
        item: T

    plain = Bin[int]
    Repository(client, plain)
    with pytest.raises(SchemaError, match="metadata alone; declare a subclass"):
        Repository(client, Bin[Annotated[int, Field(ge=0)]])
