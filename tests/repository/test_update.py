"""Changing fields by name: validated as in the constructor, written in one request, only where something changed."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Self

import pytest
from pydantic import Field, Json, SecretStr, ValidationError, field_validator, model_validator

from ndb_models import InvalidArgumentError, NdbClient, Repository, SessionGoneError, SessionModel, UnstorableError
from tests.repository.models import Address, Frozen, User
from tests.repository.recording import RecordingEngine
from tests.zoo import Open


class Booking(SessionModel):
    """Validators of every kind; `nights` is what lies between the days."""

    arrival: date = date(2024, 1, 1)
    departure: date = date(2024, 1, 3)
    name: str = Field(default="", max_length=10)
    price: Decimal = Decimal(0)
    notes: Json[list[int]] = []
    pin: SecretStr = SecretStr("")
    tags: set[str] = set()
    address: Address = Address()
    other_name: str = Field(default="", alias="otherName")

    @field_validator("name")
    @classmethod
    def _tidied(cls, name: str) -> str:
        if "canary" in name:
            raise ValueError(f"I do not like {name}")
        return name.strip()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.arrival > self.departure:
            raise ValueError("departure is before arrival")
        return self


@pytest.fixture
def bookings(client: NdbClient) -> Repository[Booking]:
    return Repository(client, Booking)


async def test_an_update_returns_the_session_as_it_is_then(bookings: Repository[Booking]) -> None:
    booking = await bookings.save(Booking(name="b"))
    changed = await bookings.update(booking.tkn, price=Decimal("1.50"), tags={"x"})
    assert changed == Booking(name="b", price=Decimal("1.50"), tags={"x"})
    assert changed.tkn == booking.tkn
    assert await bookings.get(booking.tkn) == changed
    changed.name = "c"
    await bookings.save(changed)
    assert (await bookings.get(booking.tkn)).name == "c"


COERCED: list[tuple[str, Any, Any]] = [
    ("arrival", "2023-12-31", date(2023, 12, 31)),
    ("arrival", datetime(2023, 12, 31, tzinfo=UTC), date(2023, 12, 31)),
    ("price", "2.50", Decimal("2.50")),
    ("name", "  b ", "b"),
    ("notes", "[1, 2]", [1, 2]),
    ("pin", "1234", SecretStr("1234")),
    ("tags", ["a", "a", "b"], {"a", "b"}),
    ("address", {"street": "S"}, Address(street="S")),
    ("address", Address(lines=["1"]), Address(lines=["1"])),
]


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    COERCED,
    ids=lambda value: str(value) if isinstance(value, str) else type(value).__name__,
)
async def test_a_change_is_coerced_as_in_the_constructor(
    bookings: Repository[Booking], field: str, given: Any, kept: Any
) -> None:
    booking = await bookings.save(Booking(price=Decimal(7)))
    changed = await bookings.update(booking.tkn, **{field: given})
    assert getattr(changed, field) == kept
    assert changed == Booking.model_validate({"price": 7, field: given})
    assert await bookings.get(booking.tkn) == changed


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"price": "canary"}, "price"),
    ({"name": "canary"}, "name"),
    ({"name": "x" * 11}, "name"),
    ({"name": None}, "name"),
    ({"tags": "canary"}, "tags"),
    ({"departure": date(2023, 1, 1)}, "(model)"),
    ({"address": {"street": 5}}, "address"),
    ({"price": Decimal("NaN")}, "price"),
]


@pytest.mark.parametrize(("changes", "field"), REFUSED, ids=repr)
async def test_a_change_that_does_not_fit_is_refused_by_name_and_nothing_is_written(
    timed: NdbClient, engine: RecordingEngine, changes: dict[str, Any], field: str
) -> None:
    bookings = Repository(timed, Booking)
    booking = await bookings.save(Booking(name="b"))
    engine.commands()
    with pytest.raises(UnstorableError) as caught:
        await bookings.update(booking.tkn, **{"pin": "1234", **changes})
    assert [name for name, _ in caught.value.problems] == [field]
    assert "canary" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValidationError)
    assert engine.commands() == ["SH_GET"]
    assert await bookings.get(booking.tkn) == booking


async def test_changes_that_fit_only_together_are_made_together(bookings: Repository[Booking]) -> None:
    booking = await bookings.save(Booking())
    changed = await bookings.update(booking.tkn, departure=date(2025, 1, 2), arrival=date(2025, 1, 1))
    assert (changed.arrival, changed.departure) == (date(2025, 1, 1), date(2025, 1, 2))
    changed = await bookings.update(booking.tkn, arrival=date(2020, 1, 1), departure=date(2020, 1, 2))
    assert await bookings.get(booking.tkn) == changed


@pytest.mark.parametrize("name", ["nmae", "otherName", "is_saved", "__ndb__", "model_config", ""])
async def test_a_name_that_is_no_field_is_refused_with_those_that_are(bookings: Repository[Booking], name: str) -> None:
    booking = await bookings.save(Booking())
    with pytest.raises(InvalidArgumentError, match=f"Booking has no field '{name}'; it has arrival, departure, name"):
        await bookings.update(booking.tkn, **{"name": "c", name: 1})
    assert await bookings.get(booking.tkn) == Booking()


async def test_an_update_is_one_write_of_what_changed(watched: Repository[User], engine: RecordingEngine) -> None:
    user = await watched.save(User(username="b", roles=["r"]))
    engine.commands()
    await watched.update(user.tkn, username="c", roles=["r"], visits=3)
    asked = engine.requests()
    assert [name for name, _ in asked] == ["SH_GET", "SH_SET"]
    assert asked[1][1] == {"tkn": user.tkn, "keys": {"username": "c", "visits": 3}}


@pytest.mark.parametrize("changes", [{}, {"username": "b"}])
async def test_an_update_that_changes_nothing_writes_nothing_and_counts_as_use(
    watched: Repository[User], engine: RecordingEngine, changes: dict[str, Any]
) -> None:
    user = await watched.save(User(username="b"))
    engine.commands()
    assert await watched.update(user.tkn, **changes) == user
    assert engine.requests()[1:] == [("SH_ADD", {"tkn": user.tkn, "keys": {}})]


async def test_updates_of_different_fields_that_overlap_all_survive(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    await asyncio.gather(
        users.update(user.tkn, username="c"), users.update(user.tkn, roles=["r"]), users.update(user.tkn, visits=2)
    )
    assert await users.get(user.tkn) == User(username="c", roles=["r"], visits=2)


async def test_an_update_that_a_deletion_overtakes_brings_nothing_back(
    watched: Repository[User], timed: NdbClient, engine: RecordingEngine
) -> None:
    user = await watched.save(User(username="b"))
    engine.hold("SH_SET")
    updating = asyncio.ensure_future(watched.update(user.tkn, visits=1))
    await engine.waiting.wait()
    # By another connection: on its own the held request would have to be answered first.
    await engine.handle(b'{"SH_END":{"tkn":%d}}' % user.tkn)
    engine.release()
    with pytest.raises(SessionGoneError):
        await updating
    assert (await timed.sh_info_all())["totalSessions"] == 0


async def test_a_frozen_model_is_updated_as_a_new_one(client: NdbClient) -> None:
    repo = Repository(client, Frozen)
    first = await repo.save(Frozen(username="b"))
    assert await repo.update(first.tkn, username="c") == Frozen(username="c")
    assert first.username == "b"


async def test_a_model_that_takes_any_field_takes_any_name(client: NdbClient) -> None:
    repo = Repository(client, Open)
    saved = await repo.save(Open.model_validate({"theme": "dark"}))
    changed = await repo.update(saved.tkn, theme="light", tabs=[1])
    assert changed == Open.model_validate({"theme": "light", "tabs": [1]})
    assert await repo.get(saved.tkn) == changed


async def test_the_first_extra_field_of_a_session_may_come_with_an_update(client: NdbClient) -> None:
    repo = Repository(client, PlainOpen)
    tkn = (await repo.save(PlainOpen())).tkn
    changed = await repo.update(tkn, theme="light")
    assert changed.model_extra == {"theme": "light"}
    assert (await repo.get(tkn)).model_extra == {"theme": "light"}


class Counted(SessionModel):
    """Counts how often it is validated as a whole."""

    address: Address = Address()
    visits: int = 0

    @model_validator(mode="after")
    def _count(self) -> Self:
        _validations.append(self.visits)
        return self


_validations: list[int] = []


async def test_an_update_validates_its_result_once(client: NdbClient) -> None:
    repo = Repository(client, Counted)
    tkn = (await repo.save(Counted())).tkn
    _validations.clear()
    await repo.update(tkn, visits=1)
    assert _validations == [0, 1, 0]  # the last time to compare the other fields with the stored ones


class Plain(SessionModel):
    address: Address = Address()
    visits: int = 0


class PlainOpen(Plain, extra="allow"):
    pass


@pytest.mark.parametrize("model", [Plain, PlainOpen, Counted])
async def test_what_an_update_returns_shares_no_value_with_its_argument(
    client: NdbClient, model: type[SessionModel]
) -> None:
    repo: Any = Repository(client, model)
    tkn = (await repo.save(model())).tkn
    given = Address(street="S", lines=["1"])
    extra = {"extra": ["1"]} if model is PlainOpen else {}
    changed = await repo.update(tkn, address=given, **extra)
    given.lines.append("2")
    for texts in extra.values():
        texts.append("2")
    assert changed.address.lines == ["1"]
    assert changed == await repo.get(tkn)
