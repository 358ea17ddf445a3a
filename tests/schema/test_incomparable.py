"""Values that cannot be compared with what is read: refused by name, or not looked at where nothing needs them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, RootModel

from ndb_models import NdbClient, Repository, SessionModel, UnstorableError


class Inner(BaseModel):
    number: int = 1


class OfAnything(SessionModel):
    user: str = "billy"
    part: BaseModel | None = None
    parts: list[BaseModel] = []


class Touchy(RootModel[int]):
    """Cannot be compared, as arrays of numbers cannot."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("secret value")

    __hash__ = None  # type: ignore[assignment]  # as of any class that has its own comparison


class OfTouchy(SessionModel):
    touchy: Touchy


class OfData(SessionModel):
    """Its defaults look like what Pydantic describes classes with."""

    widget: dict[str, Any] = {"type": "model", "cls": "BaseModel"}
    kind: str = Field(default="model-fields", json_schema_extra={"type": "model"})
    hidden: BaseModel | None = Field(default=None, exclude=True)


@pytest.mark.parametrize(
    ("session", "field"),
    [
        (OfAnything(part=Inner()), "part"),
        (OfAnything(parts=[Inner()]), "parts"),
    ],
)
async def test_a_value_that_cannot_be_compared_is_refused_by_its_field(session: SessionModel, field: str) -> None:
    async with NdbClient.connect("memory://") as client:
        with pytest.raises(UnstorableError) as caught:
            await Repository(client, type(session)).save(session)
        assert [name for name, _ in caught.value.problems] == [field]
        assert "secret" not in str(caught.value)
        assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_model_is_compared_by_its_fields_whatever_its_own_comparison_does() -> None:
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, OfTouchy)
        saved = await repo.save(OfTouchy(touchy=Touchy(1)))
        assert (await repo.get(saved.tkn)).touchy.root == 1


@pytest.mark.parametrize("session", [OfAnything(), OfData(), OfData(widget={"type": "model-fields"})])
async def test_a_field_of_such_a_type_does_no_harm_while_it_holds_none(session: SessionModel) -> None:
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, type(session))
        saved = await repo.save(session)
        assert await repo.get(saved.tkn) == session
