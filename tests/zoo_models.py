"""Example models of how models are built: unions, generics, recursion, aliases, configuration, validators, defaults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from itertools import count
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    PrivateAttr,
    RootModel,
    Tag,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel, to_pascal

from ndb_models import Expiry, SessionModel
from tests.zoo_strict import Entry, with_strict

K = TypeVar("K")
V = TypeVar("V")


class Card(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    pay_by: Literal["card"] = "card"
    number: str


class Cash(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    pay_by: Literal["cash", "coins"] = "cash"
    given: Decimal


class Circle(BaseModel):
    radius: float


class Square(BaseModel):
    side: float


def _shape(value: Any) -> str:
    has_radius = "radius" in value if isinstance(value, dict) else hasattr(value, "radius")
    return "circle" if has_radius else "square"


class Unions(SessionModel):
    text_or_number: int | str
    many: list[int | float | bool | str | None] = []
    decimal_or_float: Decimal | float = 0.0
    uuid_or_int: UUID | int = 0
    number_or_list: int | list[int] | dict[str, int] = 0
    left_to_right: Annotated[int | str, Field(union_mode="left_to_right")] = 0
    payment: Card | Cash | None = None


class Discriminated(SessionModel):
    """The discriminator has an alias, which is not used in the store."""

    payment: Card | Cash = Field(discriminator="pay_by")
    shapes: list[Annotated[Annotated[Circle, Tag("circle")] | Annotated[Square, Tag("square")], Discriminator(_shape)]]


class Pair(BaseModel, Generic[K, V]):
    key: K
    value: V


class Cache(SessionModel, Generic[K, V]):
    pairs: list[Pair[K, V]]
    table: dict[str, Pair[V, K]] = {}


class Roles(RootModel[set[str]]):
    pass


class Matrix(RootModel[list[list[int]]]):
    root: list[list[int]] = []


class Rooted(SessionModel):
    roles: Roles
    matrix: Matrix = Matrix()
    by_name: RootModel[dict[str, Roles]] = RootModel[dict[str, Roles]]({})


class Comment(BaseModel):
    text: str
    replies: list[Comment] = []
    answers: Comment | None = None


class Thread(SessionModel):
    first: Comment
    data: JsonValue = None


class Line(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    street_name: str
    flat_number: int | None = None


class Renaming(SessionModel):
    """Aliases of every kind."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel, serialization_alias=to_pascal), populate_by_name=True
    )

    first_name: str
    home: Line = Line(street_name="")
    chosen: int = Field(default=0, validation_alias=AliasChoices("one", AliasPath("deep", 0)))
    deep: str = Field(default="", validation_alias=AliasPath("a", "b"), serialization_alias="c")
    # Each has the other's name for an alias.
    left: int = Field(default=1, alias="right")
    right: int = Field(default=2, alias="left")


class Basket(SessionModel):
    prices: list[int]

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorator on a property
    @property
    def total(self) -> int:
        return sum(self.prices)

    @computed_field(alias="theMean")  # type: ignore[prop-decorator]
    @cached_property
    def mean(self) -> float:
        return self.total / len(self.prices) if self.prices else 0.0


class Ordered(BaseModel):
    basket_size: int = Field(default=0, exclude=True)
    items: list[str] = []


class Hidden(SessionModel):
    """What is not stored is at its default; what is left out at one value comes back as that."""

    kept: str
    passing: int = Field(default=0, exclude=True)
    made: list[int] = Field(default_factory=list, exclude=True)
    ordered: Ordered = Ordered()
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)
    _kind: str = "private"


class Derived(SessionModel):
    """A private attribute that follows from the fields."""

    name: str
    _words: list[str] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any, /) -> None:
        self._words = self.name.split()


class OpenEnded(SessionModel):
    """Takes keys that are no fields."""

    model_config = ConfigDict(extra="allow")

    name: str


class TypedOpen(SessionModel):
    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, date]

    name: str = ""


class Closed(SessionModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True, validate_default=True)

    name: str = Field(min_length=1)
    level: int = Field(default=1, ge=1)


class Ignoring(SessionModel):
    model_config = ConfigDict(extra="ignore", revalidate_instances="always")

    comment: Comment


class Checked(SessionModel, expiry=Expiry(idle=60)):
    """Validators and serializers as methods, which undo each other."""

    low: int
    high: int
    tags: list[str] = []
    at: datetime = datetime(2024, 1, 1)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return {**data, "tags": data["tags"].split(",")} if isinstance(data.get("tags"), str) else data

    @model_validator(mode="wrap")
    @classmethod
    def _around(cls, data: Any, handler: Callable[[Any], Self]) -> Self:
        return handler(data)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is not above high")
        return self

    @field_validator("at", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return datetime(*value) if isinstance(value, list) else value

    @field_serializer("at")
    def _written(self, value: datetime) -> list[int]:
        return [*value.timetuple()[:6], value.microsecond]


class Wrapped(SessionModel):
    """A serializer of the whole, which its validator undoes."""

    name: str
    size: int = 0

    @model_serializer(mode="wrap")
    def _written(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {name: [value] for name, value in handler(self).items()}

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        return {name: value[0] if isinstance(value, list) else value for name, value in data.items()}


_numbers = count()


class Defaults(SessionModel):
    """Every instance's default is another."""

    name: str = "x"
    number: int = Field(default_factory=lambda: next(_numbers))
    upper: str = Field(default_factory=lambda data: data["name"].upper())
    shared: list[int] = []


class Fixed(SessionModel, schema="zoo-fixed"):
    limit: ClassVar[int] = 5

    chosen: Final[int]
    kind: Literal["fixed"] = "fixed"
    old: str = Field(default="", deprecated=True)


class Fruit(BaseModel):
    weight: float


class Apple(Fruit):
    colour: str = "red"


class Extended(Closed, schema="closed-v2"):
    """Inherits fields, configuration and validators."""

    fruit: Fruit | Apple = Apple(weight=1.5)
    level: int = Field(default=2, ge=2)


_comment = Comment(text="a", replies=[Comment(text="b", replies=[Comment(text="c")])], answers=Comment(text=""))

MODELS: list[Entry] = with_strict(
    [
        (
            Unions,
            [
                Unions(text_or_number="1"),
                Unions(
                    text_or_number=1,
                    many=[1, 1.0, True, "1", None],
                    decimal_or_float=Decimal("1.10"),
                    uuid_or_int=UUID(int=1),
                    number_or_list=[1],
                    payment=Cash.model_validate({"given": Decimal("2.50")}, by_name=True),
                ),
            ],
        ),
        (
            Discriminated,
            [
                Discriminated(payment=Card(number="4"), shapes=[]),
                Discriminated(
                    payment=Cash.model_validate({"pay_by": "coins", "given": Decimal(5)}, by_name=True),
                    shapes=[Circle(radius=1.5), Square(side=2)],
                ),
            ],
        ),
        (Cache[int, str], [Cache[int, str](pairs=[]), Cache[int, str](pairs=[Pair[int, str](key=1, value="a")])]),
        (
            Cache[UUID, Comment],
            [Cache[UUID, Comment](pairs=[], table={"a": Pair[Comment, UUID](key=_comment, value=UUID(int=1))})],
        ),
        (Rooted, [Rooted(roles=Roles({"a", "b"})), Rooted(roles=Roles(set()), matrix=Matrix([[1], []]))]),
        (Thread, [Thread(first=_comment), Thread(first=Comment(text=""), data={"a": [1, 2.5, None, {"b": "c"}]})]),
        (
            Renaming,
            [
                Renaming(first_name="a"),
                Renaming(first_name="a", home=Line(street_name="b", flat_number=1), left=3, right=4),
            ],
        ),
        (Basket, [Basket(prices=[]), Basket(prices=[1, 2])]),
        (Hidden, [Hidden(kept="a", ordered=Ordered(items=["b"]))]),
        (Derived, [Derived(name=""), Derived(name="b c")]),
        (
            OpenEnded,
            [OpenEnded(name="a"), OpenEnded.model_validate({"name": "a", "more": [1, {"b": None}], "é": "c", "": 1.5})],
        ),
        (TypedOpen, [TypedOpen.model_validate({}), TypedOpen.model_validate({"name": "a", "day": date(2024, 2, 29)})]),
        (Closed, [Closed(name="a"), Closed(name="b", level=2)]),
        (Ignoring, [Ignoring(comment=_comment)]),
        (Checked, [Checked(low=1, high=2, tags=["a", "b"]), Checked(low=0, high=0, at=datetime.max)]),
        (Wrapped, [Wrapped(name="a"), Wrapped(name="", size=2)]),
        (Defaults, [Defaults(), Defaults(name="b", number=5, upper="C", shared=[1])]),
        (Fixed, [Fixed(chosen=1)]),
        (Extended, [Extended(name="a"), Extended(name="b", fruit=Fruit(weight=1))]),
    ]
)
"""Each model, and its strict twin, with instances that come back equal."""
