"""Further models, each of one field and one value: what comes back the same, and what is refused by the field's name.

To add one: list the type of the field and a value in `KEPT`; or in `REFUSED`, with words of the reason.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID, uuid1
from zoneinfo import ZoneInfo

import numpy as np
import pydantic.dataclasses
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    RootModel,
    Secret,
    SecretStr,
    SerializeAsAny,
    create_model,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from ndb_models import SessionModel, ZonedDatetime

BERLIN = ZoneInfo("Europe/Berlin")
T = TypeVar("T")


class Role(StrEnum):
    ADMIN = "admin"


class Level(IntEnum):
    LOW = 1


class Rights(Flag):
    READ = 1
    WRITE = 2


class Shade(Enum):
    DARK = (1, "dark")


class Tagged(str):
    """Text with something more."""

    note: str = ""


class Loose(BaseModel):
    """Says that it is equal to all of its kind."""

    name: str = ""
    note: str = Field(default="", exclude=True)
    _seen: int = PrivateAttr(0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loose)

    __hash__ = None  # type: ignore[assignment]  # as of any class that has its own comparison


class Looser(Loose):
    more: int = 0


class Shown(BaseModel):
    price: int = 1

    @cached_property
    def label(self) -> str:
        return f"{self.price} CHF"


class Filling(BaseModel):
    name: str = ""
    _words: list[str] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any, /) -> None:
        self._words = self.name.split()


@dataclasses.dataclass
class Plain:
    name: str
    hits: int = dataclasses.field(default=0, init=False, compare=False)
    _own: int = dataclasses.field(default=0, compare=False)


@dataclasses.dataclass
class Made:
    """Keeps what it was made with, but in no field."""

    name: str
    source: dataclasses.InitVar[str] = ""

    def __post_init__(self, source: str) -> None:
        self.made_by = source
        self.words = self.name.split()

    @cached_property
    def length(self) -> int:
        return len(self.words)


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    name: str
    note: str = dataclasses.field(default="", compare=False)


@pydantic.dataclasses.dataclass(config=ConfigDict(extra="allow"))
class Open:
    name: str = ""


class Pair(NamedTuple):
    left: int
    right: bool | int = 0


class Movie(TypedDict, total=False):
    title: str
    year: int


class Money:
    """Has no comparison of its own."""

    def __init__(self, amount: int, currency: str = "CHF") -> None:
        self.amount = amount
        self.currency = currency
        self._text: str | None = None


class Version:
    """Has no comparison, and no attribute that can be seen."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class Angle:
    """Compares less than it holds."""

    def __init__(self, degrees: int, name: str = "") -> None:
        self.degrees = degrees
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Angle) and self.degrees % 360 == other.degrees % 360

    __hash__ = None  # type: ignore[assignment]  # as of any class that has its own comparison


def _read(kind: type[Any]) -> PlainValidator:
    return PlainValidator(lambda value: value if isinstance(value, kind) else kind(value))


def _limited(items: deque[int]) -> deque[int]:
    return deque(items, 3)


def _folded(moment: datetime) -> datetime:
    return moment.replace(fold=1)


MoneyField = Annotated[Money, _read(Money), PlainSerializer(lambda money: money.amount)]
VersionField = Annotated[Version, _read(Version), PlainSerializer(str)]
AngleField = Annotated[Angle, _read(Angle), PlainSerializer(lambda angle: angle.degrees)]
Array = Annotated[np.ndarray, PlainValidator(np.asarray), PlainSerializer(lambda array: array.tolist())]
TaggedField = Annotated[Tagged, PlainValidator(Tagged), PlainSerializer(str)]
Rounded = Annotated[Decimal, PlainSerializer(lambda amount: str(round(amount, 1)))]
Unsigned = Annotated[float, PlainSerializer(lambda number: number + 0.0)]
Owned = Annotated[str, BeforeValidator(lambda text: text.split("|")[0]), PlainSerializer(lambda text: f"{text}|x")]


class Omitting(BaseModel):
    name: str | None = None
    count: int = 0

    @model_serializer(mode="wrap")
    def _written(self, handler: Any) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class Parent(BaseModel):
    """Its children know it: it holds itself."""

    name: str = ""
    children: list[Child] = []

    @model_validator(mode="after")
    def _linked(self) -> Parent:
        for child in self.children:
            child.parent = self
        return self


class Child(BaseModel):
    name: str = ""
    parent: Any = Field(default=None, exclude=True)


class Dated(BaseModel, Generic[T]):
    at: datetime
    what: T


def _tagged(text: str, note: str) -> Tagged:
    tagged = Tagged(text)
    tagged.note = note
    return tagged


def _measured(made: Made) -> Made:
    assert made.length
    return made


def _hit(name: str, hits: int) -> Plain:
    plain = Plain(name)
    plain.hits = hits
    return plain


def _seen(model: Any, **private: Any) -> Any:
    for name, value in private.items():
        setattr(model, name, value)
    return model


def _priced() -> Shown:
    shown = Shown(price=3)
    assert shown.label == "3 CHF"
    return shown


_TWICE = [datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1)]
_NEVER = [datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1)]
_AHEAD = datetime(2026, 10, 24, 12, tzinfo=BERLIN) + timedelta(hours=14, minutes=30)

KEPT: dict[str, tuple[Any, Any]] = {
    "a time that occurs twice, the first": (datetime, _TWICE[0]),
    "a time that occurs twice, the second": (datetime, _TWICE[1]),
    "a time that never occurs": (datetime, _NEVER[0]),
    "a time that never occurs, folded": (datetime, _NEVER[1]),
    "a time that was computed ahead": (datetime, _AHEAD),
    "times in a list": (list[datetime], [*_TWICE, *_NEVER]),
    "times in a set": (set[datetime], {*_TWICE, *_NEVER}),
    "times as keys": (dict[datetime, int], {_TWICE[0]: 1, _TWICE[1]: 2}),
    "times in a nested model": (Dated[int], Dated[int](at=_TWICE[1], what=1)),
    "times in a tuple": (tuple[datetime, str], (_TWICE[1], "x")),
    "times in a union": (datetime | int, _TWICE[1]),
    "times at the ends": (list[datetime], [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]),
    "a secret time": (Secret[datetime], Secret(_TWICE[1])),
    "a zoned time": (ZonedDatetime, _TWICE[1]),
    "zoned times by name": (dict[str, ZonedDatetime | None], {"a": _TWICE[0], "b": _NEVER[1], "c": None}),
    "zoned times as keys": (dict[ZonedDatetime, int], {_TWICE[0]: 1, _TWICE[1]: 2}),
    "a time of day with an offset": (time, time(1, 2, 3, tzinfo=timezone(timedelta(hours=2)))),
    "a folded day time that is read so": (
        Annotated[datetime, AfterValidator(_folded)],
        datetime(2026, 10, 25, 2, 30, fold=1),
    ),
    "an enum beside text": (Role | str, "other"),
    "text beside an enum": (str | Role, "admin"),
    "a flag": (Rights, Rights.READ | Rights.WRITE),
    "own fields of a dataclass": (Plain, Plain("x", _own=5)),
    "numbers and truths": (list[bool | int], [1, True, 0, False]),
    "a dict by numbers and truths": (dict[str, bool | int], {"a": 1, "b": True}),
    "a deque": (deque[int], deque([1, 2])),
    "a deque whose validator limits it": (Annotated[deque[int], AfterValidator(_limited)], deque([1, 2], 3)),
    "an ordered dict": (OrderedDict[str, int], OrderedDict(b=1, a=2)),
    "a counter": (Counter[str], Counter(a=2, b=0)),
    "a defaultdict": (defaultdict[str, list[int]], defaultdict(list, a=[1])),
    "a mapping": (Mapping[str, int], {"a": 1}),
    "a sequence": (Sequence[int], [1, 2]),
    "frozensets in a set": (set[frozenset[int]], {frozenset({1, 2}), frozenset()}),
    "a set of tuples": (set[tuple[int, str]], {(1, "a"), (2, "b")}),
    "a set of enums": (set[Role], {Role.ADMIN}),
    "a named tuple": (Pair, Pair(1, True)),
    "a typed dict": (Movie, {"title": "M"}),
    "a dataclass": (Plain, Plain("x")),
    "a dataclass that works something out": (Made, _measured(Made("a b"))),
    "a frozen dataclass with slots": (Slotted, Slotted("x", "note")),
    "dataclasses in a set": (set[Slotted], {Slotted("x", "a"), Slotted("y", "b")}),
    "a loose model": (Loose, Loose(name="x")),
    "a loose model in a list": (list[Loose], [Loose(name="x"), Loose()]),
    "a model that remembers a property": (Shown, _priced()),
    "models that remember a property": (dict[str, Shown], {"a": _priced()}),
    "private attributes that are made again": (Filling, Filling(name="a b")),
    "a model that leaves None out": (Omitting, Omitting()),
    "a model that holds itself": (Parent, Parent(name="a", children=[Child(name="b"), Child(name="c")])),
    "a root model": (RootModel[set[str]], RootModel[set[str]]({"a", "b"})),
    "an object without a comparison": (MoneyField, Money(5)),
    "objects without a comparison": (list[MoneyField], [Money(5), Money(6)]),
    "an object that shows nothing": (VersionField, Version("1.2")),
    "an array": (Array, np.array([1.5, 2.5])),
    "an array of two dimensions": (Array, np.array([[1, 2], [3, 4]])),
    "arrays by name": (dict[str, Array], {"a": np.array([1]), "b": np.array([])}),
    "a decimal's digits": (Decimal, Decimal("1.50")),
    "a negative zero": (float, -0.0),
    "negative zeros": (list[float], [0.0, -0.0, 1.0]),
    "a uuid of this machine": (UUID, uuid1()),
    "a pattern": (re.Pattern[str], re.compile("a+")),
    "paths": (list[Path], [Path("/a"), Path("b/c")]),
    "an interface": (IPv4Interface, IPv4Interface("10.0.0.1/8")),
    "addresses": (IPv4Address | IPv6Address, IPv6Address("fe80::1%eth0")),
    "a URL": (AnyUrl, AnyUrl("https://example.org/a")),
    "secrets in a list": (list[SecretStr], [SecretStr("a")]),
    "a size": (ByteSize, ByteSize(1024)),
    "a span": (timedelta, timedelta(days=-1, microseconds=1)),
    "a tagged text": (TaggedField, _tagged("x", "")),
    "what is written otherwise and read again": (Owned, "x"),
    "a literal of several types": (Literal[1, True, "a"], True),
    "a generic model": (Dated[Literal["a"]], Dated[Literal["a"]](at=datetime(2026, 1, 1), what="a")),
}

REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a time of day in a zone": (time, time(1, 2, tzinfo=BERLIN), "without its zone"),
    "times of day in a zone": (list[time], [time(1, 2, tzinfo=BERLIN)], "without its zone"),
    "a folded time of day": (time, time(1, 2, fold=1), "fold=1"),
    "a folded time without a zone": (datetime, datetime(2026, 10, 25, 2, 30, fold=1), "ZonedDatetime"),
    "folded times without a zone": (dict[str, datetime], {"a": datetime(2026, 1, 1, fold=1)}, "fold=1"),
    "a time of a zone with seconds": (datetime, datetime(1880, 1, 1, tzinfo=BERLIN), "would not come back"),
    "a deque with a length": (deque[int], deque([1], 2), "maxlen"),
    "deques with a length": (list[deque[int]], [deque([1], 2)], "maxlen"),
    "an enum as text": (Role | str, Role.ADMIN, "would not come back"),
    "enums as text": (list[Role | str], ["x", Role.ADMIN], "would not come back"),
    "an enum in a field of text": (str, Role.ADMIN, "would not come back"),
    "an enum in a field of numbers": (int, Level.LOW, "would not come back"),
    "a truth in a field of numbers": (int, True, ""),
    "a number as a key of truths": (dict[bool | int, str], {1: "a"}, "would not come back"),
    "an order that is lost": (dict[str, int], OrderedDict(b=1, a=2), "would not come back"),
    "a counter as a dict": (dict[str, int], Counter(a=1), "would not come back"),
    "a factory that is lost": (defaultdict[str, list[int]], defaultdict(lambda: [1], a=[1]), "default_factory"),
    "a subclass in a loose model": (Loose, Looser(name="x", more=5), "would not come back"),
    "an excluded field of a loose model": (Loose, Loose(name="x", note="y"), "would not come back"),
    "a private attribute of a loose model": (Loose, _seen(Loose(), _seen=5), "'_seen' of Loose"),
    "private attributes in a dict": (dict[str, Loose], {"a": _seen(Loose(), _seen=5)}, 'private="drop"'),
    "private attributes that were filled": (list[Filling], [_seen(Filling(), _words=["a"])], "'_words' of Filling"),
    "an attribute of a dataclass that is no field": (Made, Made("a b", "him"), "would not come back"),
    "a field that does not compare": (Plain, _hit("x", 5), "would not come back"),
    "an enum by a tuple": (Shade, Shade.DARK, ""),
    "an attribute of a text": (TaggedField, _tagged("x", "note"), "would not come back"),
    "an attribute of an object": (MoneyField, Money(5, "EUR"), "would not come back"),
    "an attribute that its comparison passes over": (AngleField, Angle(5, "left"), "would not come back"),
    "digits that are dropped": (Rounded, Decimal("1.55"), "would not come back"),
    "a sign that is dropped": (Unsigned, -0.0, "would not come back"),
    "a pattern's flags": (re.Pattern[str], re.compile("a", re.IGNORECASE), "would not come back"),
    "an iterator": (Iterable[int], (number for number in (1, 2)), ""),
    "what is read as a subclass": (SerializeAsAny[Loose], Looser(more=1), "would not come back"),
    "an array in a field of anything": (Any, np.array([1]), ""),
    "a tuple for a list": (list[int], (1, 2), ""),
    "a frozenset for a set": (set[int], frozenset({1}), ""),
    "a fraction for a number": (float, Fraction(1, 2), ""),
}


def declared(annotation: Any, **options: Any) -> type[SessionModel]:
    """Return a session class with one field of a type, `value`."""
    model: Any = create_model(
        "Further", __base__=_Base, __cls_kwargs__={"private": options.pop("private", "refuse")}, value=(annotation, ...)
    )
    return model


class _Base(SessionModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)


def holding(annotation: Any, value: Any, **options: Any) -> SessionModel:
    """Return a session that holds a value, as if it had been assigned."""
    model: Any = declared(annotation, **options)
    session: SessionModel = model.model_construct(value=value)
    return session
