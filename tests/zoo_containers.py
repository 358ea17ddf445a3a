"""Example models of what holds several values: sequences, sets, mappings, and the standard library's small classes."""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, Required
from uuid import UUID

import pydantic.dataclasses
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from ndb_models import SessionModel
from tests.zoo_standard import Rank, Season
from tests.zoo_strict import Entry, with_strict


class Coordinates(NamedTuple):
    x: int
    y: int = 0
    label: str = ""


class Film(TypedDict):
    title: str
    year: NotRequired[int]


class Sparse(TypedDict, total=False):
    name: Required[str]
    tags: list[str]


@with_config(extra="allow")
class OpenFilm(TypedDict):
    """Takes more keys than it names."""

    title: str


@dataclasses.dataclass
class Leg:
    start: str
    stops: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Fare:
    amount: Decimal
    zones: tuple[int, ...] = ()


@pydantic.dataclasses.dataclass(config=ConfigDict(extra="forbid"))
class Journey:
    first: Leg
    days: int = Field(default=1, ge=1)
    fare: Fare | None = None


class Sequences(SessionModel):
    numbers: list[int]
    pair: tuple[int, str] = (0, "")
    row: tuple[Decimal, ...] = ()
    nothing: tuple[()] = ()
    queue: deque[int] = deque()
    nested: list[list[tuple[int, list[str]]]] = []
    some: Sequence[int] = []


class Sets(SessionModel):
    numbers: set[int]
    names: frozenset[str] = frozenset()
    pairs: set[tuple[int, str]] = set()
    nested: frozenset[frozenset[int]] = frozenset()


class Bare(SessionModel):
    """Without types for what they hold."""

    items: list[Any] = []
    table: dict[Any, Any] = {}


class Mappings(SessionModel):
    table: dict[str, dict[str, list[int]]]
    ordered: OrderedDict[str, int] = OrderedDict()
    grouped: defaultdict[str, list[int]] = defaultdict(list)
    counted: Counter[str] = Counter()
    mapping: Mapping[str, int] = {}
    mutable: MutableMapping[str, int] = {}


class Keyed(SessionModel):
    """JSON's names are text: keys of other types are written as text and read back as what they are."""

    by_number: dict[int, str]
    by_ratio: dict[float, str] = {}
    by_flag: dict[bool, str] = {}
    by_amount: dict[Decimal, str] = {}
    by_day: dict[date, str] = {}
    by_span: dict[timedelta, str] = {}
    by_id: dict[UUID, str] = {}
    by_rank: dict[Rank, str] = {}
    by_season: dict[Season, str] = {}
    by_address: dict[IPv4Address, str] = {}
    by_path: dict[Path, str] = {}
    by_blob: dict[bytes, str] = {}


class Tuples(SessionModel):
    """Tuples whose places have names."""

    at: Coordinates
    way: list[Coordinates] = []


class Dictionaries(SessionModel):
    """Dictionaries whose keys have types."""

    film: Film
    films: dict[str, Film] = {}
    sparse: Sparse = {"name": ""}
    open: OpenFilm = {"title": ""}


class Classes(SessionModel):
    leg: Leg
    fare: Fare = Fare(amount=Decimal(0))
    journeys: list[Journey] = []


_DAY = date(2024, 2, 29)

CONTAINERS: list[Entry] = with_strict(
    [
        (
            Sequences,
            [
                Sequences(numbers=[]),
                Sequences(
                    numbers=[1, 2**70],
                    pair=(1, "b"),
                    row=(Decimal("1.10"), Decimal(2)),
                    queue=deque([3, 1]),
                    nested=[[], [(1, ["a"])]],
                    some=[1, 2],
                ),
            ],
        ),
        (
            Sets,
            [
                Sets(numbers=set()),
                Sets(
                    numbers={3, 1},
                    names=frozenset({"", "é"}),
                    pairs={(1, "a")},
                    nested=frozenset({frozenset({1}), frozenset()}),
                ),
            ],
        ),
        (Bare, [Bare(), Bare(items=[1, "a", None, [True]], table={"a": {"b": 1.5}})]),
        (
            Mappings,
            [
                Mappings(table={}),
                Mappings(
                    table={"": {"a": [1]}},
                    ordered=OrderedDict(b=1, a=2),
                    grouped=defaultdict(list, {"a": [1]}),
                    counted=Counter("abca"),
                    mapping={"a": 1},
                    mutable={"b": 2},
                ),
            ],
        ),
        (
            Keyed,
            [
                Keyed(by_number={-1: "a", 2**70: "b"}),
                Keyed(
                    by_number={},
                    by_ratio={1.5: "a"},
                    by_flag={True: "a", False: "b"},
                    by_amount={Decimal("1.10"): "a"},
                    by_day={_DAY: "a"},
                    by_span={timedelta(1): "a"},
                    by_id={UUID(int=1): "a"},
                    by_rank={Rank.ACE: "a"},
                    by_season={Season.SPRING: "a"},
                    by_address={IPv4Address("10.0.0.1"): "a"},
                    by_path={Path("a/b"): "a"},
                    by_blob={b"a": "a"},
                ),
            ],
        ),
        (Tuples, [Tuples(at=Coordinates(1)), Tuples(at=Coordinates(1, 2, "a"), way=[Coordinates(0)])]),
        (
            Dictionaries,
            [
                Dictionaries(film={"title": "M"}),
                Dictionaries(
                    film={"title": "M", "year": 1931},
                    films={"a": {"title": ""}},
                    sparse={"name": "a", "tags": ["b"]},
                    open={"title": "a", "more": [1]},  # type: ignore[typeddict-unknown-key]  # that it takes more is the point
                ),
            ],
        ),
        (
            Classes,
            [
                Classes(leg=Leg("a")),
                Classes(
                    leg=Leg("a", ["b"]),
                    fare=Fare(amount=Decimal("1.10"), zones=(1, 2)),
                    journeys=[Journey(Leg("c"), 2, Fare(amount=Decimal(1)))],
                ),
            ],
        ),
    ]
)
"""Each model, and its strict twin, with instances that come back equal."""
