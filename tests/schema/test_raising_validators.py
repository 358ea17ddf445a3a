"""Validators that raise errors of their own while a model is saved: refused by the field's name, without a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, PlainValidator, ValidationInfo, field_validator, model_validator

from ndb_models import ConfigRepository, NdbClient, Repository, SessionModel, UnstorableError


def checked_even(number: int) -> int:
    if number % 2:
        raise RuntimeError(f"{number} is odd")
    return number


class Numbers(SessionModel, schema="rare-numbers"):
    """Validators that raise errors which Pydantic passes on."""

    first: str = ""
    whole: Annotated[int, PlainValidator(int)] = 0
    even: Annotated[int, AfterValidator(checked_even)] = 0
    named: str = ""
    twice: int = 0

    @field_validator("named")
    @classmethod
    def _named(cls, name: str) -> str:
        return {"": "", "billy": "billy"}[name]

    @field_validator("twice")
    @classmethod
    def _twice(cls, twice: int, info: ValidationInfo) -> int:
        if twice and twice != 2 * info.data["even"]:
            raise LookupError(f"{twice} is not twice {info.data['even']}")
        return twice


class Whole(SessionModel, schema="rare-whole"):
    one: int = 0

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, keys: dict[str, Any]) -> dict[str, Any]:
        if keys.get("one") == 4711:
            raise RuntimeError("4711")
        return keys


SPOILT = [("whole", [4711]), ("even", 4711), ("named", "4711"), ("twice", 4711), ("named", "4711\ud800")]


def creation(client: NdbClient, model: SessionModel) -> Any:
    return Repository(client, type(model)).create(model)


def configuration(client: NdbClient, model: SessionModel) -> Any:
    return ConfigRepository(client, type(model), namespace="numbers").save(model)


@pytest.mark.parametrize("save", [creation, configuration])
@pytest.mark.parametrize(("field", "value"), SPOILT)
async def test_a_field_whose_validator_raises_any_error_is_named_and_nothing_is_stored(
    client: NdbClient, field: str, value: Any, save: Callable[[NdbClient, SessionModel], Any]
) -> None:
    with pytest.raises(UnstorableError, match=f"Numbers cannot be stored: {field}: ") as caught:
        await save(client, Numbers().model_copy(update={field: value}))
    assert [name for name, _ in caught.value.problems] == [field]
    assert "4711" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert (await client.sh_info_all())["totalSessions"] == await client.kv_count() == 0


@pytest.mark.parametrize(("field", "value"), SPOILT)
async def test_a_change_that_makes_a_validator_raise_leaves_the_session_as_it_was(
    client: NdbClient, field: str, value: Any
) -> None:
    repo = Repository(client, Numbers)
    saved = await repo.save(Numbers(first="f"))
    with pytest.raises(UnstorableError, match=field) as caught:
        async with repo.edit(saved.tkn) as session:
            vars(session)[field] = value
    assert "4711" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert await repo.get(saved.tkn) == Numbers(first="f")


async def test_a_validator_of_the_whole_that_raises_any_error_is_said_of_the_model(client: NdbClient) -> None:
    with pytest.raises(UnstorableError, match=r"\(model\)") as caught:
        await Repository(client, Whole).save(Whole.model_construct(one=4711))
    assert "4711" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


async def test_an_update_hands_on_what_a_validator_raises_of_its_argument(client: NdbClient) -> None:
    """The argument is the caller's own, and is validated as in the constructor."""
    repo = Repository(client, Numbers)
    saved = await repo.save(Numbers())
    with pytest.raises(RuntimeError, match="4711 is odd"):
        await repo.update(saved.tkn, even=4711)
    assert await repo.get(saved.tkn) == Numbers()


STRICT = [False]


def tolerated(number: int) -> int:
    if STRICT[0] and number == 4711:
        raise RuntimeError(f"{number} is not wanted any more")
    return number


class Tolerant(SessionModel, schema="rare-tolerant"):
    number: Annotated[int, AfterValidator(tolerated)] = 0


async def test_a_stored_value_that_makes_a_validator_raise_now_can_be_replaced(client: NdbClient) -> None:
    repo = Repository(client, Tolerant)
    saved = await repo.save(Tolerant(number=4711))
    STRICT[0] = True
    try:
        saved.number = 1
        await repo.save(saved)
        assert await repo.get(saved.tkn) == Tolerant(number=1)
    finally:
        STRICT[0] = False
