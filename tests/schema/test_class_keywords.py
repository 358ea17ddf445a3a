"""Class keywords of mixins and hooks beside those of a session model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from ndb_models import Expiry, Merge, SchemaError, SessionModel


class Tabled(SessionModel):
    table: ClassVar[str | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, table: str | None = None, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.table = table


class Roled:
    role: ClassVar[str | None] = None

    def __init_subclass__(cls, role: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.role = role


class Labelled(BaseModel):
    label: ClassVar[str | None] = None

    def __init_subclass__(cls, label: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.label = label


class Marked(BaseModel):
    mark: ClassVar[str | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, mark: str | None = None) -> None:  # type: ignore[override]  # takes no others
        super().__pydantic_init_subclass__()
        cls.mark = mark


def test_a_hook_of_pydantics_takes_a_keyword_beside_ours() -> None:
    class User(Tabled, table="users", schema="user", expiry=Expiry(idle=60), extra="forbid"):
        name: str = ""

    assert (User.table, User.session_options.schema) == ("users", "user")
    assert User.session_options.expiry == Expiry(idle=60)


def test_a_hook_after_a_session_model_takes_only_what_is_not_ours() -> None:
    metaclass: Any = type(SessionModel)
    User = metaclass(  # noqa: N806 - a class
        "User", (SessionModel, Marked), {"__annotations__": {}}, mark="m", schema="marked", version=2
    )
    assert (User.mark, User.session_options.version) == ("m", 2)


@pytest.mark.parametrize(
    "bases", [(SessionModel, Roled, Labelled), (Labelled, SessionModel, Roled), (Roled, Labelled, SessionModel)]
)
def test_mixins_take_their_keywords_before_and_after_a_session_model(bases: tuple[type, ...]) -> None:
    metaclass: Any = type(SessionModel)
    made = metaclass("User", bases, {"__annotations__": {}}, role="admin", label="l", schema="mixed")
    assert (made.role, made.label, made.session_options.schema) == ("admin", "l", "mixed")


def test_a_keyword_is_inherited_by_leaving_it_out_and_not_by_a_word() -> None:
    class Short(SessionModel, schema="short", expiry=Expiry(idle=60), track=60, private="drop", merge=Merge.later):
        name: str = ""

    class Shorter(Short, schema="shorter"):
        pass

    assert replace(Shorter.session_options, schema="short") == Short.session_options
    metaclass: Any = type(SessionModel)
    for keyword in ("expiry", "track", "private", "merge"):
        with pytest.raises(SchemaError, match=f"{keyword}="):
            metaclass("Word", (Short,), {}, **{keyword: "inherited"})


@pytest.mark.parametrize("keyword", ["rol", "expires", "tables"])
@pytest.mark.parametrize("bases", [(SessionModel,), (Tabled,), (SessionModel, Roled), (Roled, SessionModel)])
def test_a_keyword_that_no_base_takes_is_refused(bases: tuple[type, ...], keyword: str) -> None:
    metaclass: Any = type(SessionModel)
    with pytest.raises(SchemaError, match=f"unknown class keyword '{keyword}'"):
        metaclass("User", bases, {"__annotations__": {}}, **{keyword: 1})
