"""The mark of the fields that say who the user is."""

from typing import Annotated

import pytest

from ndb_models import Lookup, SchemaError, SessionModel
from ndb_models.web import Principal, WebSessions
from ndb_models.web.principal import principals_of, user_field


class Marked(SessionModel, schema="web.marked"):
    role: Annotated[str, Principal()] = ""
    note: str = ""
    user: Annotated[int | None, Lookup(), Principal()] = None


def test_marked_fields_are_known_in_their_order_and_inherited() -> None:
    class Below(Marked, schema="web.marked-below"):
        tenant: Annotated[int, Principal()] = 0

    assert principals_of(Marked) == ("role", "user")
    assert principals_of(Below) == ("role", "user", "tenant")


def test_the_user_is_named_by_the_field_that_is_looked_up_too() -> None:
    assert user_field(Marked) == "user"


class Nameless(SessionModel, schema="web.nameless"):
    user: Annotated[int, Principal()] = 0
    other: Annotated[int, Lookup()] = 0


def test_a_class_without_such_a_field_is_told_how_to_declare_one() -> None:
    with pytest.raises(SchemaError, match=r"Annotated\[int, Principal\(\), Lookup\(\)\]"):
        user_field(Nameless)


class WithoutParentheses(SessionModel, schema="web.wrong-1"):
    user: Annotated[int, Principal] = 0


class Inside(SessionModel, schema="web.wrong-3"):
    users: list[Annotated[int, Principal()]] = []


class OfAPart(SessionModel, schema="web.wrong-4"):
    user: Annotated[int, Principal()] | None = None


@pytest.mark.parametrize("model", [WithoutParentheses, Inside, OfAPart])
def test_a_mark_in_the_wrong_place_is_refused_when_the_application_is_made(model: type[SessionModel]) -> None:
    with pytest.raises(SchemaError, match=r"Principal\(\)"):
        WebSessions("memory://", model)
