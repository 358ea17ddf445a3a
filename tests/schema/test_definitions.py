"""Declaring session models: what a class may be, and what is refused where it is written."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from ndb_models import Expiry, NdbClient, NotSavedError, Repository, SchemaError, SessionModel
from ndb_models.schema.model import SessionOptions

T = TypeVar("T")

HALF_HOUR = Expiry(idle=1800)


class Base(SessionModel, expiry=HALF_HOUR):
    user: str = ""


def declare(name: str = "Declared", /, *bases: type, annotations: dict[str, Any], **keywords: Any) -> Any:
    metaclass: Any = type(SessionModel)
    return metaclass(name, bases or (SessionModel,), {"__annotations__": annotations}, **keywords)


@pytest.mark.parametrize("name", ["tkn", "is_saved", "session_options", "upgrade"])
def test_a_field_may_not_take_a_name_of_session_model(name: str) -> None:
    with pytest.raises(SchemaError, match=rf"Declared\.{name}") as caught:
        declare(annotations={name: int})
    assert (caught.value.model, caught.value.field) == ("Declared", name)


def test_a_mixin_may_not_bring_a_reserved_name_in() -> None:
    class Mixin(BaseModel):
        tkn: int = 0

    with pytest.raises(SchemaError, match=r"Declared\.tkn"):
        declare("Declared", SessionModel, Mixin, annotations={})


@pytest.mark.parametrize("name", ["tkn", "is_saved", "session_options", "upgrade"])
def test_a_model_that_takes_any_field_may_not_declare_a_reserved_name_either(name: str) -> None:
    with pytest.raises(SchemaError, match=rf"Declared\.{name}"):
        declare(annotations={name: int}, extra="allow")


@pytest.mark.parametrize("name", ["tkn", "is_saved", "session_options", "upgrade"])
@pytest.mark.parametrize("what", [lambda self: None, property(lambda self: None), 5])
def test_a_method_may_not_take_a_name_of_session_model(name: str, what: Any) -> None:
    metaclass: Any = type(SessionModel)
    with pytest.raises(SchemaError, match=rf"Declared\.{name}: this name is taken by SessionModel") as caught:
        metaclass("Declared", (SessionModel,), {"__annotations__": {}, name: what})
    assert caught.value.field == name


def test_a_subclass_of_a_subclass_may_be_declared() -> None:
    assert declare("Below", declare(annotations={}, version=2), annotations={}).session_options.version == 1


async def test_fields_that_are_not_declared_are_stored_where_the_class_allows_them(client: NdbClient) -> None:
    model = declare(annotations={"user": str}, extra="allow")
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model(user="b", theme="dark", tabs=[1, {"a": None}]))
    read = await repo.get(saved.tkn)
    assert read == saved
    assert read.model_extra == {"theme": "dark", "tabs": [1, {"a": None}]}


async def test_fields_that_are_not_declared_are_stored_where_a_base_allows_them(client: NdbClient) -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

    model = declare("Declared", SessionModel, Open, annotations={})
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model(theme="dark"))
    assert (await repo.get(saved.tkn)).model_extra == {"theme": "dark"}
    assert await repo.get(saved.tkn) == saved


@pytest.mark.parametrize("extra", ["ignore", "forbid"])
async def test_keys_that_are_no_fields_are_not_read_where_the_class_does_not_allow_them(
    client: NdbClient, extra: str
) -> None:
    model = declare(annotations={"user": str}, extra=extra)
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model(user="b"))
    await client.sh_set({"theirs": 1}, saved.tkn)
    assert await repo.get(saved.tkn) == saved


@pytest.mark.parametrize("schema", ["", "a\nb", "a\0", "\ud800", 5, b"user", ["user"]])
def test_the_name_of_a_schema_is_a_printable_string(schema: Any) -> None:
    with pytest.raises(SchemaError, match="printable"):
        declare(annotations={}, schema=schema)


@pytest.mark.parametrize("expiry", [60, 60.0, "60", "never", True, {"idle": 60}])
def test_expiry_that_is_no_expiry_is_refused_at_definition(expiry: Any) -> None:
    with pytest.raises(SchemaError, match=r"expiry= is an Expiry or None, not a"):
        declare(annotations={}, expiry=expiry)


def test_a_misspelt_class_keyword_is_refused() -> None:
    with pytest.raises(TypeError):
        declare(annotations={}, expires=HALF_HOUR)


def test_a_schema_is_named_by_its_class_unless_it_says_otherwise() -> None:
    class User(SessionModel):
        pass

    class Renamed(SessionModel, schema="user-v2"):
        pass

    assert User.session_options == SessionOptions("User", None)
    assert Renamed.session_options == SessionOptions("user-v2", None)


def test_the_name_of_a_schema_is_not_inherited() -> None:
    class User(SessionModel, schema="user"):
        pass

    class Admin(User):
        pass

    assert Admin.session_options.schema == "Admin"


def test_expiry_is_inherited() -> None:
    class Derived(Base):
        pass

    class Further(Derived, schema="f"):
        pass

    assert Derived.session_options.expiry == HALF_HOUR
    assert Further.session_options.expiry == HALF_HOUR


def test_inherited_expiry_can_be_replaced_or_switched_off() -> None:
    class Shorter(Base, expiry=Expiry(idle=60)):
        pass

    class Forever(Base, expiry=None):
        pass

    assert Shorter.session_options.expiry == Expiry(idle=60)
    assert Forever.session_options.expiry is None
    assert Base.session_options.expiry == HALF_HOUR


def test_each_form_of_a_generic_model_is_a_schema_of_its_own() -> None:
    class Box(SessionModel, Generic[T], expiry=HALF_HOUR, schema="box"):
        item: T

    names = {Box[int].session_options.schema, Box[str].session_options.schema, Box.session_options.schema}
    assert names == {"box[int]", "box[str]", "box"}
    assert Box[int].session_options.expiry == HALF_HOUR


async def test_a_type_that_is_not_defined_is_named(client: NdbClient) -> None:
    unfinished = declare(annotations={"user": "Undefined"})
    with pytest.raises(SchemaError, match="'Undefined'"):
        Repository(client, unfinished)


def test_class_variables_and_methods_are_as_in_any_model() -> None:
    class Counted(SessionModel):
        limit: ClassVar[int] = 3
        count: int = 0

        def full(self) -> bool:
            return self.count >= self.limit

    assert Counted(count=3).full()


def test_a_new_model_has_no_token_and_says_so() -> None:
    user = Base(user="b")
    assert not user.is_saved
    with pytest.raises(NotSavedError, match="Base: it has no token yet") as caught:
        _ = user.tkn
    assert caught.value.tkn is None


def test_a_token_is_not_assigned() -> None:
    with pytest.raises(AttributeError):
        Base().tkn = 5  # type: ignore[misc]  # that it cannot be assigned is the point


def test_a_refused_value_is_not_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        Base.model_validate({"user": ["canary"]})
    assert "canary" not in str(caught.value)
