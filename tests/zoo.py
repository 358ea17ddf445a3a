"""Example models of every kind that a session may be, with instances: saved, each comes back equal.

To add one: declare it, and list it in `ZOO` with instances that try its edges. Those that are to be refused are in
`tests.schema.unstorable`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Network
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    Json,
    PlainSerializer,
    PrivateAttr,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
)
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from ndb_models import Expiry, SessionModel
from tests.zoo_containers import CONTAINERS
from tests.zoo_models import MODELS
from tests.zoo_pydantic import PYDANTIC
from tests.zoo_standard import STANDARD

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    GREEN = 2


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Mood(StrEnum):
    GLAD = "glad"


class Nothing(SessionModel):
    """No fields at all."""


class Scalars(SessionModel):
    text: str = ""
    number: int = 0
    ratio: float = 0.0
    flag: bool = False
    nothing: None = None
    perhaps: str | None = None
    blob: bytes = b""
    literal: Literal["a", 1, True] = "a"


class StrictScalars(Scalars, expiry=Expiry(idle=60)):
    model_config = ConfigDict(strict=True)


class Times(SessionModel):
    at: datetime = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
    local: datetime = datetime(1, 1, 1)
    day: date = date(9999, 12, 31)
    hour: time = time(23, 59, 59, 999999)
    span: timedelta = timedelta(0)


class StrictTimes(Times):
    model_config = ConfigDict(strict=True)


class Kinds(SessionModel):
    """What JSON has no type for."""

    uuid: UUID = UUID(int=0)
    amount: Decimal = Decimal(0)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    mood: Mood = Mood.GLAD
    address: IPv4Address = IPv4Address("127.0.0.1")
    network: IPv6Network = IPv6Network("fe80::/10")
    path: PurePosixPath = PurePosixPath("/")
    url: HttpUrl = HttpUrl("https://example.org/")
    email: EmailStr = "b@example.org"
    parsed: Json[list[int]] = []


class StrictKinds(SessionModel):
    model_config = ConfigDict(strict=True)

    uuid: UUID = UUID(int=0)
    amount: Decimal = Decimal(0)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    mood: Mood = Mood.GLAD


class Collections(SessionModel):
    names: list[str] = []
    unique: set[int] = set()
    frozen: frozenset[UUID] = frozenset()
    pair: tuple[int, str] = (0, "")
    row: tuple[Decimal, ...] = ()
    table: dict[str, list[dict[str, int]]] = {}
    by_number: dict[int, str] = {}
    by_day: dict[date, timedelta] = {}
    by_id: dict[UUID, tuple[int, ...]] = {}
    anything: Any = None


class StrictCollections(SessionModel):
    model_config = ConfigDict(strict=True)

    names: list[str] = []
    unique: set[int] = set()
    frozen: frozenset[UUID] = frozenset()
    pair: tuple[int, str] = (0, "")
    row: tuple[datetime, ...] = ()
    table: dict[str, list[dict[str, int]]] = {}


class Base64(SessionModel):
    """Bytes that are not text, the way Pydantic has for them."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    blob: bytes = b""
    blobs: list[bytes] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str] = []


Pet: TypeAlias = Annotated[Cat | Dog, Field(discriminator="kind")]


class Owner(SessionModel):
    pet: Pet = Cat()
    pets: dict[str, Pet] = {}
    either: int | str = 0
    several: list[int | float | str | bool | None] = []
    plain: Cat | Dog | None = None


class Address(BaseModel):
    street_name: str = Field(default="", alias="streetName")
    flat_number: int | None = Field(default=None, alias="flatNumber")


class Aliased(SessionModel):
    """Aliases are for other uses: keys are named by the fields, at every depth."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    first_name: str = ""
    home_address: Address = Address()
    past_addresses: list[Address] = []
    chosen: int = Field(default=0, validation_alias=AliasChoices("one", "other"), serialization_alias="out")


class Loud(SessionModel):
    """Serialises by alias wherever it is not told otherwise, and takes nothing else by itself."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=False, validate_by_alias=True)

    inner_name: str = Field(default="", alias="innerName")


class Page(SessionModel, Generic[T], schema="zoo-page"):
    items: list[T]
    cursor: T | None = None


class Point(SessionModel):
    model_config = ConfigDict(frozen=True)

    x: int
    y: int


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Tree(SessionModel):
    root: Node


@dataclass
class Stop:
    name: str
    minutes: int = 0


class Movie(TypedDict):
    title: str
    year: int


class Shapes(SessionModel):
    """Other things than models that have fields."""

    stop: Stop = Stop("Aarau")
    stops: list[Stop] = []
    movie: Movie | None = None


class Cart(SessionModel):
    """A computed field is worked out anew, not stored."""

    prices: list[Decimal] = []

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorator on a property
    @property
    def total(self) -> Decimal:
        return sum(self.prices, Decimal(0))


def _fraction(value: Any) -> Any:
    return Fraction(value) if isinstance(value, str) else value


class Custom(SessionModel):
    """A type of the user's, with its own way to JSON and back."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    share: Annotated[Fraction, BeforeValidator(_fraction), PlainSerializer(str)] = Fraction(0)


class Careful(SessionModel):
    model_config = ConfigDict(validate_assignment=True, extra="forbid", str_strip_whitespace=True)

    name: str = Field(default="x", min_length=1, max_length=10)


class Infinite(SessionModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")

    ratio: float = 0.0


class Remembering(SessionModel):
    """An excluded field is not stored: it must be what it is by default."""

    kept: int = 0
    passing: int = Field(default=0, exclude=True)


class Untouched(SessionModel):
    kept: int = 0
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)


class Login(BaseModel):
    user: str
    password: SecretStr


class Secretive(SessionModel):
    """Secrets are stored as their value, at every depth; everywhere else they stay hidden."""

    password: SecretStr = SecretStr("")
    key: SecretBytes = SecretBytes(b"")
    pin: Secret[int] = Secret(0)
    born: Secret[date] | None = None
    recovery: list[SecretStr] = []
    by_site: dict[str, SecretStr] = {}
    login: Login | None = None
    pair: tuple[SecretStr, Login] | None = None
    short: Annotated[SecretStr, Field(min_length=2)] = SecretStr("ab")


class StrictSecretive(SessionModel):
    model_config = ConfigDict(strict=True)

    password: SecretStr = SecretStr("")
    key: SecretBytes = SecretBytes(b"")
    login: Login | None = None


class Open(SessionModel, extra="allow"):
    """Fields that the class does not know are stored too."""

    name: str = ""


class OpenNumbers(SessionModel, extra="allow"):
    """What is not known is still typed."""

    __pydantic_extra__: dict[str, int]


ZOO: list[tuple[type[SessionModel], list[SessionModel]]] = [
    (Nothing, [Nothing()]),
    (
        Scalars,
        [
            Scalars(),
            Scalars(text='quote " backslash \\ null \0 line \n \u2028 snow \u2603 clef \U0001d11e', blob="é".encode()),
            Scalars(number=2**64, ratio=1e308, flag=True, perhaps="", literal=True),
            Scalars(number=-(10**400), ratio=-0.0, literal=1),
            Scalars(number=2**53 + 1, ratio=5e-324, text="x" * 3000),
        ],
    ),
    (StrictScalars, [StrictScalars(), StrictScalars(number=-1, ratio=0.1, flag=True, blob=b"b")]),
    (
        Times,
        [
            Times(),
            Times(at=datetime(2024, 10, 27, 0, 30, tzinfo=timezone(-timedelta(hours=9, minutes=30)))),
            Times(at=datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Zurich")), hour=time(1, 2, tzinfo=UTC)),
            Times(span=timedelta(days=-1, microseconds=1)),
            Times(span=timedelta(days=20000, seconds=3, milliseconds=5)),
        ],
    ),
    (StrictTimes, [StrictTimes(), StrictTimes(span=timedelta(microseconds=-1))]),
    (
        Kinds,
        [
            Kinds(),
            Kinds(uuid=UUID(int=2**128 - 1), amount=Decimal("1.10"), colour=Colour.GREEN, level=Level.HIGH),
            Kinds(amount=Decimal("-1E+400"), path=PurePosixPath("a b/ü"), parsed="[1, 2]"),  # type: ignore[arg-type]  # Json takes the text of what it holds
        ],
    ),
    (StrictKinds, [StrictKinds(), StrictKinds(amount=Decimal("0.30"), colour=Colour.GREEN, level=Level.HIGH)]),
    (
        Collections,
        [
            Collections(),
            Collections(names=["", "é"], unique={1, 2, 3}, frozen=frozenset({UUID(int=1)}), pair=(1, "b")),
            Collections(row=(Decimal(1), Decimal("2.0")), table={"": [{"a": 1}, {}]}, by_number={-1: "minus"}),
            Collections(by_day={date(2024, 1, 1): timedelta(hours=1)}, by_id={UUID(int=7): (1, 2)}),
            Collections(anything={"a": [1, 2.5, None, True, "x", {"b": []}]}),
        ],
    ),
    (
        StrictCollections,
        [
            StrictCollections(),
            StrictCollections(unique={1}, frozen=frozenset({UUID(int=1)}), pair=(1, ""), table={"a": [{"b": 1}]}),
            StrictCollections(row=(datetime(2024, 1, 1, tzinfo=UTC),)),
        ],
    ),
    (Base64, [Base64(), Base64(blob=bytes(range(256)), blobs=[b"\xff", b""])]),
    (
        Owner,
        [
            Owner(),
            Owner(pet=Dog(tricks=["roll"]), pets={"a": Cat(lives=1), "b": Dog()}, plain=Dog(tricks=["sit"])),
            Owner(either="1", several=[1, 1.5, "1", True, None]),
        ],
    ),
    (
        Aliased,
        [
            Aliased(),
            Aliased(
                first_name="b",
                home_address=Address(streetName="A", flatNumber=1),
                past_addresses=[Address(streetName="B")],
                one=3,  # type: ignore[call-arg]  # the plugin knows no AliasChoices
            ),
        ],
    ),
    (Loud, [Loud(), Loud(innerName="x")]),
    (Page[int], [Page[int](items=[]), Page[int](items=[1, 2], cursor=2)]),
    (Page[Cat], [Page[Cat](items=[Cat(lives=8)], cursor=Cat())]),
    (Point, [Point(x=1, y=-1)]),
    (Tree, [Tree(root=Node(value=1, children=[Node(value=2, children=[Node(value=3)])]))]),
    (Shapes, [Shapes(), Shapes(stops=[Stop("Bern", 3)], movie={"title": "M", "year": 1931})]),
    (Cart, [Cart(), Cart(prices=[Decimal("1.10"), Decimal("2.20")])]),
    (Custom, [Custom(), Custom(share=Fraction(1, 3))]),
    (Careful, [Careful(), Careful(name=" y ")]),
    (Infinite, [Infinite(ratio=float("inf")), Infinite(ratio=float("-inf"))]),
    (Remembering, [Remembering(kept=1)]),
    (Untouched, [Untouched(kept=1)]),
    (
        Secretive,
        [
            Secretive(),
            Secretive(password=SecretStr('"canary" \u2603'), key=SecretBytes(b"canary"), pin=Secret(5)),
            Secretive(born=Secret(date(2000, 2, 29)), recovery=[SecretStr("a"), SecretStr("a")]),
            Secretive(
                by_site={"a": SecretStr("b")},
                login=Login(user="b", password=SecretStr("canary")),
                pair=(SecretStr("canary"), Login(user="c", password=SecretStr(""))),
                short=SecretStr("abc"),
            ),
        ],
    ),
    (
        StrictSecretive,
        [
            StrictSecretive(),
            StrictSecretive(
                password=SecretStr("canary"),
                key=SecretBytes(b"canary"),
                login=Login(user="b", password=SecretStr("canary")),
            ),
        ],
    ),
    (Open, [Open(), Open.model_validate({"name": "b", "theme": "dark", "tabs": [1, {"a": [None, 1.5]}], "": 0})]),
    (OpenNumbers, [OpenNumbers.model_validate({}), OpenNumbers.model_validate({"a": 1, "b": -(2**70)})]),
    *STANDARD,
    *CONTAINERS,
    *PYDANTIC,
    *MODELS,
]
"""Each model with instances that come back equal."""
