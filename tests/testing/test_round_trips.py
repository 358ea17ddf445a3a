"""`assert_round_trips` names the field of a model that a store would refuse or change, and passes all others."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired
from uuid import UUID

import pytest
from hypothesis import strategies as st
from pydantic import (
    UUID4,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    JsonValue,
    PlainSerializer,
    PositiveInt,
    PrivateAttr,
    RootModel,
    SecretBytes,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from typing_extensions import TypeAliasType, TypedDict

from ndb_models import InvalidArgumentError, Lookup, SchemaError, SessionModel, ZonedDatetime
from ndb_models.testing import assert_round_trips
from tests.leaks import CANARY, leaks_of
from tests.schema.unstorable import UNSTORABLE
from tests.zoo import ZOO


class Colour(Enum):
    RED = "red"
    ONE = 1


class Part(BaseModel):
    name: Annotated[str, StringConstraints(pattern="^[a-z]{1,5}$")]
    parts: list[Part] = []


@dataclass
class Point:
    x: float
    y: int = 0


@dataclass
class Node:
    value: float
    next: Node | None = None


Tree = TypeAliasType("Tree", "dict[str, Tree] | int")
Named = TypeAliasType("Named", dict[str, float])


class Pair(NamedTuple):
    left: int
    right: float


class Address(TypedDict):
    street: str
    number: NotRequired[int]


class Text(SessionModel, schema="trips-text"):
    """Fields of text, each with a constraint or a format."""

    required: str
    short: Annotated[str, Field(min_length=2, max_length=4)] = "ab"
    pattern: Annotated[str, Field(pattern="^[A-F0-9]{2}$")] = "AA"
    email: Annotated[EmailStr, Lookup(unique=True)]
    url: HttpUrl
    secret: SecretStr
    address: IPv4Address = IPv4Address("127.0.0.1")
    identifier: UUID
    random: UUID4
    kind: Literal["a", "b"] = "a"
    colour: Colour = Colour.RED
    aliased: str = Field(default="", alias="other-name")


class Numbers(SessionModel, schema="trips-numbers"):
    """Numbers and times, each within its bounds."""

    count: PositiveInt
    ratio: float
    part: Annotated[float, Field(gt=0, lt=1)] = 0.5
    even: Annotated[int, Field(multiple_of=2)] = 0
    price: Annotated[Decimal, Field(ge=0, le=1000, decimal_places=2)] = Decimal(0)
    exact: Decimal
    day: date = date(2000, 1, 1)
    clock: time = time()
    lasts: timedelta = timedelta()
    local: datetime = datetime(2024, 1, 1)
    at: AwareDatetime = datetime(2024, 1, 1, tzinfo=UTC)
    zoned: ZonedDatetime | None = None
    on: bool | None = None


class Holders(SessionModel, schema="trips-holders"):
    """What holds other values."""

    by_name: dict[str, int] = {}
    by_number: Mapping[int, list[bool]] = {}
    names: set[str] = set()
    tags: frozenset[Literal["x", "y"]] = frozenset()
    pair: tuple[int, str] = (0, "")
    many: tuple[float, ...] = ()
    queue: deque[int] = deque()
    ordered: OrderedDict[str, int] = OrderedDict()
    some: Annotated[Sequence[int], Field(min_length=1, max_length=2)] = [0]
    part: Part | None = None
    parts: dict[str, Part] = {}
    point: Point = Point(0.0)
    node: Node | None = None
    tree: Tree = 0
    by_alias: Named = {}
    named: Pair = Pair(0, 0.0)
    address: Address = {"street": ""}
    anything: Any = None
    json_value: JsonValue = None


@pytest.mark.parametrize("model", [Text, Numbers, Holders, Part])
def test_models_of_usual_types_pass_with_instances_made_of_their_types(model: type[BaseModel]) -> None:
    assert_round_trips(model)


@pytest.mark.parametrize("models", [models for _, models in ZOO], ids=[kind.__name__ for kind, _ in ZOO])
def test_instances_that_come_back_pass_and_are_not_changed(models: list[SessionModel]) -> None:
    before = repr(models)
    assert_round_trips(*models)
    assert repr(models) == before
    assert not any(model.is_saved for model in models)


@pytest.mark.parametrize(("model", "fields"), UNSTORABLE, ids=lambda case: type(case).__name__)
def test_an_instance_that_a_store_would_refuse_fails_by_its_fields_and_shows_no_value(
    model: SessionModel, fields: Sequence[str]
) -> None:
    with pytest.raises(AssertionError, match="would not come back") as failure:
        assert_round_trips(model)
    lines = str(failure.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == [*fields]
    assert "canary" not in str(failure.value)


class Loses(SessionModel, schema="trips-loses"):
    """Each of its fields but the first loses something in its own way."""

    fine: int = 0
    shout: Annotated[str, PlainSerializer(str.upper)] = ""
    avatar: bytes = b""
    rounded: float = 0.0
    key: SecretBytes = SecretBytes(b"")
    trimmed: str = ""
    often: dict[str, bytes] = {}

    @field_serializer("rounded")
    def _written(self, value: float) -> float:
        return round(value, 1)

    @field_validator("trimmed")
    @classmethod
    def _read(cls, value: str, info: ValidationInfo) -> str:
        return value[:1] if info.mode == "json" else value


@pytest.mark.parametrize("name", [name for name in Loses.model_fields if name != "fine"])
def test_a_class_that_would_lose_a_value_fails_by_the_field_and_shows_a_simple_value(name: str) -> None:
    class One(Loses, schema=f"trips-loses-{name}"):
        pass

    for other in Loses.model_fields.keys() - {name}:
        One.model_fields[other].exclude = True
    One.model_rebuild(force=True)
    with pytest.raises(AssertionError, match=rf"One would not come back .*\n  {name}: .*; such as ") as failure:
        assert_round_trips(One)
    assert len(str(failure.value).splitlines()) == 2


class Cached(SessionModel, schema="trips-cached"):
    user: str = ""
    hidden: int = Field(default=0, exclude=True)
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)


def test_what_is_not_stored_may_not_differ_from_its_default() -> None:
    assert_round_trips(Cached, Cached(user="billy"))
    with pytest.raises(AssertionError, match=r"Cached, argument 2 .*\n  hidden: it is excluded"):
        assert_round_trips(Cached(), Cached(hidden=1))
    touched = Cached()
    touched._cache["a"] = 1  # noqa: SLF001 - what the class does within it
    with pytest.raises(AssertionError, match=r"\n  _cache: the private attribute '_cache'"):
        assert_round_trips(touched)


class Unmakeable:
    def __init__(self, given: Any) -> None:
        self.given = given

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unmakeable) and self.given == other.given

    __hash__ = None  # type: ignore[assignment]  # as Python has it for a class with an __eq__


Stored = Annotated[Unmakeable, PlainSerializer(lambda value: value.given)]


class Arbitrary(SessionModel, schema="trips-arbitrary"):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    thing: Stored


@dataclass
class Holder:
    thing: Unmakeable


class Nested(SessionModel, schema="trips-nested"):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    blob: bytes
    holder: Holder | None = None


def lossy_inside(kind: Any) -> type[BaseModel]:
    """Return a model with a field that loses something at some depth."""
    return type("Deep", (BaseModel,), {"__annotations__": {"deep": kind}, "deep": None})


class LossyNode(BaseModel):
    blob: bytes = b""
    next: LossyNode | None = None


@dataclass
class LossyPoint:
    blob: bytes
    next: LossyPoint | None = None


class LossyDict(TypedDict):
    blob: NotRequired[bytes]


@pytest.mark.parametrize(
    "kind",
    [
        LossyNode,
        LossyPoint,
        LossyDict,
        list[LossyNode],
        dict[str, LossyPoint],
        tuple[int, LossyNode],
        tuple[LossyDict, ...],
        LossyNode | int,
        TypeAliasType("Deep", list[LossyPoint]),
        Annotated[list[bytes], Field(max_length=2)],
        Sequence[Mapping[str, LossyNode]],
        RootModel[list[bytes]],
    ],
    ids=str,
)
def test_a_loss_is_found_at_every_depth(kind: Any) -> None:
    with pytest.raises(AssertionError, match=r"Deep would not come back .*\n  deep: .*; such as "):
        assert_round_trips(lossy_inside(kind))


def test_a_default_with_an_unknown_type_inside_does_not_hide_the_other_fields() -> None:
    with pytest.raises(AssertionError, match=r"\n  blob: "):
        assert_round_trips(Nested)


def test_a_type_that_nothing_is_known_of_needs_instances_or_a_strategy() -> None:
    with pytest.raises(InvalidArgumentError, match=r"Arbitrary\.thing: .* give instances, or register a strategy"):
        assert_round_trips(Arbitrary)
    with pytest.raises(AssertionError, match=r"\n  thing: "):
        assert_round_trips(Arbitrary(thing=Unmakeable(1)))
    st.register_type_strategy(Unmakeable, st.integers().map(Unmakeable))
    with pytest.raises(AssertionError, match=r"\n  thing: .*; such as <.*Unmakeable"):
        assert_round_trips(Arbitrary)


class Fussy(SessionModel, schema="trips-fussy"):
    low: int
    high: int

    @model_validator(mode="after")
    def _in_order(self) -> Fussy:
        if self.low > self.high:
            raise ValueError("low > high")
        return self


class Impossible(Fussy, schema="trips-impossible"):
    @field_validator("low")
    @classmethod
    def _never(cls, _value: int) -> int:
        raise ValueError("a canary")


def test_instances_that_validators_refuse_are_left_out_and_some_must_be_left() -> None:
    assert_round_trips(Fussy)
    with pytest.raises(InvalidArgumentError, match=r"no instance of Impossible .*: give instances"):
        assert_round_trips(Impossible)


class Outdated(SessionModel, schema="trips-outdated", version=2):
    pass


def test_a_class_that_cannot_be_stored_as_it_is_declared_is_refused_as_by_a_repository() -> None:
    with pytest.raises(SchemaError, match="version"):
        assert_round_trips(Outdated)


@pytest.mark.parametrize("given", [(), (1,), (int,), ("UserSession",), ([Cached()],), (Cached(), None)])
def test_what_is_no_model_is_refused(given: Sequence[Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="takes classes of models, and instances of them"):
        assert_round_trips(*given)


def test_a_failure_holds_no_value_of_an_instance_that_was_given() -> None:
    with pytest.raises(AssertionError) as failure:
        assert_round_trips(Loses(shout=CANARY.title(), avatar=CANARY.encode() + b"\xff"))
    assert [leak for leak in leaks_of(failure.value) if "traceback" not in leak] == []


def test_without_hypothesis_the_instance_with_all_defaults_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "hypothesis"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not (Path(path) / "hypothesis").exists()])
    assert_round_trips(Holders)
    with pytest.raises(InvalidArgumentError, match=r"Text .* install Hypothesis.*ndb_models\[testing\]"):
        assert_round_trips(Text)
