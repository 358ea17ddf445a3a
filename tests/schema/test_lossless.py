"""Models that are not read back before they are stored: whatever is in them, they come back equal."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import cache
from typing import Annotated, Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    computed_field,
    field_validator,
    model_validator,
)

from ndb_models import NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.lossless import MOST_DIGITS, extras_come_back, has_long_number, lossless_check
from tests.sameness import described
from tests.zoo import ZOO


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Mood(StrEnum):
    GLAD = "glad"


class Level(IntEnum):
    LOW = 1


class Plain(SessionModel, schema="lossless-plain"):
    name: Annotated[str, StringConstraints(max_length=20)]
    code: str = Field("a1", pattern="^[a-z]")
    visits: Annotated[int, Field(ge=0)]
    active: bool
    ratio: float
    share: float | None = None
    since: datetime
    until: datetime | None = None
    born: date
    number: UUID
    roles: list[str]
    flags: list[list[bool]] = Field(default_factory=list)
    kind: Literal["a", "b"]
    colour: Colour
    mood: Mood | None = None
    seal: bytes = b""
    either: int | str = 0
    any_of: bool | int | str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def shown(self) -> str:
        return f"{self.name}, {self.kind}"


class Stamp(datetime):
    """As of libraries that count nanoseconds: there is more to it than is written."""


class Text(str):
    __slots__ = ()


READ_UTC: Final = TypeAdapter(datetime).validate_json('"2026-01-01T00:00:00Z"')
READ_ELSEWHERE: Final = TypeAdapter(datetime).validate_json('"2026-01-01T00:00:00+05:30"')

GOOD: dict[str, Any] = {
    "name": "bob",
    "code": "a1",
    "visits": 3,
    "active": True,
    "ratio": 0.5,
    "share": None,
    "since": datetime(2026, 1, 1, tzinfo=UTC),
    "until": READ_UTC,
    "born": date(2000, 1, 1),
    "number": UUID(int=5),
    "roles": ["x"],
    "flags": [[True], []],
    "kind": "b",
    "colour": Colour.RED,
    "mood": Mood.GLAD,
    "seal": "ü".encode(),
    "either": "5",
    "any_of": True,
}

VALUES: Final = st.one_of(
    st.sampled_from(
        [
            *GOOD.values(),
            Text("text"),
            Mood.GLAD,
            Colour.GREEN,
            Level.LOW,
            "",
            "1",
            "red",
            "glad",
            "\ud800",
            "x" * 5000,
            10**20,
            10**4200,
            10**4300,
            -1,
            True,
            math.nan,
            math.inf,
            -math.inf,
            -0.0,
            5e-324,
            1.7976931348623157e308,
            datetime(2026, 1, 1),
            datetime(1, 1, 1),
            datetime(2026, 10, 25, 2, 30, fold=1),
            datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")),
            datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
            datetime(1880, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
            datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")),
            datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=30))),
            datetime(2026, 1, 1, tzinfo=timezone(timedelta(microseconds=5))),
            datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            READ_ELSEWHERE,
            Stamp(2026, 1, 1, tzinfo=UTC),
            "2026-01-01T00:00:00Z",
            "2026-01-01",
            "00000000-0000-0000-0000-000000000005",
            ("x",),
            ["x", 1],
            [Text("x")],
            [["x"]],
            [[1]],
            [[True, None]],
            {"a": True},
            {"a": "1"},
            {1: 1},
            {Text("a"): 2},
            OrderedDict(b=1, a=2),
            defaultdict(int, a=1),
            set(),
            b"x",
            None,
        ]
    ),
    st.text(max_size=30),
    st.integers(),
    st.floats(),
    st.datetimes(timezones=st.sampled_from([None, UTC, READ_UTC.tzinfo])),
    st.dates(),
    st.uuids(),
    st.lists(st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)


@cache
def codec_of_plain() -> ModelCodec[Plain]:
    return ModelCodec(Plain)


@pytest.mark.slow
@pytest.mark.parametrize("field", GOOD)
@settings(max_examples=300)
@given(value=VALUES)
def test_what_is_not_read_back_comes_back_equal(field: str, value: object) -> None:
    codec = codec_of_plain()
    model = Plain.model_construct(**{**GOOD, field: value})
    try:
        keys = codec.dump(model)
    except UnstorableError as exc:
        assert {name for name, _ in exc.problems} == {field}  # noqa: PT017
        return
    assert described(codec.load(keys.text, 1)) == described(model)
    assert tuple(keys.split()) == keys.names


def test_good_values_are_not_read_back() -> None:
    check = lossless_check(Plain)
    assert check is not None
    assert check(Plain(**GOOD).__dict__)


@pytest.mark.parametrize(
    "change",
    [
        {"visits": -1},
        {"visits": True},
        {"name": "x" * 21},
        {"ratio": math.nan},
        {"ratio": 1},
        {"share": math.inf},
        {"since": Stamp(2026, 1, 1, tzinfo=UTC)},
        {"until": datetime(1880, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))},
        {"born": datetime(2026, 1, 1, tzinfo=UTC)},
        {"roles": ("x",)},
        {"roles": [1]},
        {"mood": "glad"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_nothing_is_claimed_of_what_json_may_change(change: dict[str, object]) -> None:
    check = lossless_check(Plain)
    assert check is not None
    assert not check({**GOOD, **change})


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_claimed_of_a_model_that_lacks_a_field(name: str) -> None:
    check = lossless_check(Plain)
    assert check is not None
    assert not check({field: value for field, value in GOOD.items() if field != name})


def test_a_default_that_is_not_there_is_refused() -> None:
    model = Plain(**GOOD)
    del model.__dict__["mood"]
    with pytest.raises(UnstorableError, match="mood"):
        ModelCodec(Plain).dump(model)


async def test_an_integer_of_more_digits_than_are_read_is_refused(client: NdbClient) -> None:
    with pytest.raises(UnstorableError, match="visits"):
        await Repository(client, Plain).save(Plain(**{**GOOD, "visits": 10**4300}))


class Long(SessionModel):
    text: str = "x" * 10_000
    visits: int = 0
    tags: list[str] = []
    counts: dict[str, int] = {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("visits", -(10**4300)),
        ("counts", {"a": 10**4300}),
        ("tags", ("a",)),
        ("tags", [1]),
        ("text", "\ud800" * 5000),
        ("visits", True),
    ],
    ids=["negative", "nested", "tuple", "int", "surrogates", "bool"],
)
def test_a_value_in_a_long_text_that_would_not_come_back_is_refused_by_name(field: str, value: Any) -> None:
    session = Long()
    session.__dict__[field] = value
    with pytest.raises(UnstorableError, match=field):
        ModelCodec(Long).dump(session)


@pytest.mark.parametrize("text", ["1" * 5000, "é" * 5000, '"' * 5000], ids=["digits", "letters", "quotes"])
async def test_a_long_text_comes_back(client: NdbClient, text: str) -> None:
    repo = Repository(client, Long)
    session = await repo.save(Long(text=text, visits=10**3999, tags=["a"] * 1000))
    session.tags.append(text)
    await repo.save(session)
    assert await repo.get(session.tkn) == session


@pytest.mark.parametrize("counts", [{"\ud800": 1}, {"\ud800": 1, "ok": 3}])
async def test_a_name_that_is_no_unicode_is_refused(client: NdbClient, counts: dict[str, int]) -> None:
    with pytest.raises(UnstorableError, match="counts"):
        await Repository(client, OfDict).save(OfDict(counts=counts))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
async def test_what_pydantic_writes_and_reads_but_is_no_json_is_refused(client: NdbClient, value: float) -> None:
    repo = Repository(client, WithOwnConstants)
    with pytest.raises(UnstorableError, match="number"):
        await repo.save(WithOwnConstants.model_construct(number=value))
    saved = await repo.save(WithOwnConstants(number=1.5, name="NaN, Infinity"))
    assert await repo.get(saved.tkn) == saved
    assert (await repo.raw(saved.tkn))["name"] == '"NaN, Infinity"'


class Constants(RootModel[float]):
    model_config = ConfigDict(ser_json_inf_nan="constants")


class WithOwnConstants(SessionModel):
    number: Annotated[float, PlainSerializer(lambda number: Constants(number))] = 0.0
    name: str = ""


class OfDict(SessionModel):
    counts: dict[str, int]


class OfNestedDicts(SessionModel):
    counts: list[dict[str, bool]]


class Nested(BaseModel):
    x: int = 0


class OfNested(SessionModel):
    nested: Nested


class OfFloats(SessionModel):
    ratios: list[float]


class OfTimes(SessionModel):
    times: dict[str, datetime]


class Part(BaseModel):
    name: str
    amount: Decimal | None = None
    tags: frozenset[str] = frozenset()
    more: Nested | None = None


class OfCollections(SessionModel):
    """What is in other things, some of it in several."""

    numbers: set[int]
    row: tuple[bool, ...]
    days: list[date | None]
    groups: dict[str, set[Mood]]
    part: Part
    parts: dict[str, list[Part]]


GOOD_COLLECTIONS: dict[str, Any] = {
    "numbers": {1, 2},
    "row": (True, False),
    "days": [date(2026, 1, 1), None],
    "groups": {"a": {Mood.GLAD}, "": set()},
    "part": Part(name="x", amount=Decimal("1.50"), tags=frozenset({"a", "b"}), more=Nested(x=2)),
    "parts": {"a": [Part(name="y", more=Nested())], "b": []},
}


def _unchecked(model: Any, **values: Any) -> Any:
    return model.model_construct(**values)


class LyingPart(Part):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Part)

    __hash__ = None  # type: ignore[assignment]  # as of any class that has its own comparison


STRANGE: list[tuple[str, Any]] = [
    ("numbers", {1, True + 1}),
    ("numbers", {True}),
    ("numbers", frozenset({1})),
    ("numbers", {Level.LOW}),
    ("row", (1, 0)),
    ("row", [True]),
    ("days", [datetime(2026, 1, 1)]),
    ("groups", {"a": {"glad"}}),
    ("groups", {Text("a"): set()}),
    ("groups", {"\ud800": set()}),
    ("groups", OrderedDict(a={Mood.GLAD})),
    ("groups", defaultdict(set, a={Mood.GLAD})),
    ("part", LyingPart(name="x")),
    ("part", _unchecked(Part, name=Text("x"))),
    ("part", _unchecked(Part, name="x", amount=Decimal("nan"))),
    ("part", _unchecked(Part, name="x", amount=1.5)),
    ("part", _unchecked(Part, name="x", tags={"a"})),
    ("part", _unchecked(Part, name="x", more=Nested.model_construct(x=True))),
    ("part", _unchecked(Part, nam="x")),
    ("parts", {"a": (Part(name="x"),)}),
]


@pytest.mark.parametrize(("field", "value"), [*GOOD_COLLECTIONS.items(), *STRANGE])
def test_what_is_in_other_things_comes_back_the_same_or_is_refused_by_name(field: str, value: Any) -> None:
    codec = ModelCodec(OfCollections)
    model = OfCollections.model_construct(**{**GOOD_COLLECTIONS, field: value})
    try:
        keys = codec.dump(model)
    except UnstorableError as exc:
        assert (field, value) in STRANGE or any(value is each for _, each in STRANGE)
        assert {name for name, _ in exc.problems} == {field}  # noqa: PT017
        return
    assert described(codec.load(keys.text, 1)) == described(model)


def test_good_collections_and_nested_models_are_not_read_back() -> None:
    check = lossless_check(OfCollections)
    assert check is not None
    assert check(OfCollections(**GOOD_COLLECTIONS).__dict__)
    for field, value in STRANGE[1:]:
        assert not check({**GOOD_COLLECTIONS, field: value}), (field, value)


class Twig(BaseModel):
    name: str
    twigs: list[Twig] = []


class WithItsLike(SessionModel):
    twig: Twig


class WithPrivatePart(SessionModel):
    part: PrivatePart


class PrivatePart(BaseModel):
    _cache: int = PrivateAttr(0)


class WithAny(SessionModel):
    anything: Any


class WithUnion(SessionModel):
    either: int | float


class WithUnionFromTheLeft(SessionModel):
    either: Annotated[int | str, Field(union_mode="left_to_right")]


class WithNarrowedChoice(SessionModel):
    either: Annotated[int, Field(gt=0)] | str


class WithNumberedChoice(SessionModel):
    one: Literal[1, 2]


class WithNumberedEnum(SessionModel):
    level: Level


class WithOtherKeys(SessionModel):
    counts: dict[int, int]


class WithSecret(SessionModel):
    secret: SecretStr


class WithEmail(SessionModel):
    email: EmailStr


class WithStripping(SessionModel):
    name: Annotated[str, StringConstraints(strip_whitespace=True)]


class WithStrippingEverywhere(SessionModel, str_strip_whitespace=True):
    name: str


class WithLowering(SessionModel, str_to_lower=True):
    name: str


class WithNumbersAsText(SessionModel, coerce_numbers_to_str=True):
    name: str


class WithAlias(SessionModel):
    name: str = Field(alias="other")


class WithAliases(SessionModel, populate_by_name=True):
    name: str = Field(default="x", validation_alias=AliasChoices("a", "b"))


class WithValidatedType(SessionModel):
    name: Annotated[str, AfterValidator(str.upper)]


class WithFieldValidator(SessionModel):
    name: str

    @field_validator("name")
    @classmethod
    def shout(cls, value: str) -> str:
        return value.upper()


class WithModelValidator(SessionModel):
    name: str

    @model_validator(mode="after")
    def shout(self) -> WithModelValidator:
        self.__dict__["name"] = self.name.upper()
        return self


class WithSerializer(SessionModel):
    name: Annotated[str, PlainSerializer(lambda value: value.upper())]


class WithExcluded(SessionModel):
    name: str = Field("x", exclude=True)


class WithPrivate(SessionModel):
    name: str
    _cache: int = PrivateAttr(0)


class WithInit(SessionModel):
    name: str

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class WithPostInit(SessionModel):
    name: str

    def model_post_init(self, context: Any, /) -> None:
        self.__dict__["name"] = self.name.upper()


class WithNumbers(SessionModel, extra="allow"):
    name: str
    __pydantic_extra__: dict[str, int]


@pytest.mark.parametrize(
    "model",
    [each for name, each in sorted(globals().items()) if name.startswith("With")],
    ids=lambda each: str(each.__name__),
)
def test_nothing_is_claimed_of_a_class_with_more_to_it(model: type[SessionModel]) -> None:
    assert lossless_check(model) is None


class Open(SessionModel, extra="allow", schema="lossless-open"):
    name: str = ""


@given(
    st.dictionaries(
        st.text(max_size=3).filter("cls".__ne__),  # the name of a parameter of `model_construct`
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=3)
        | st.floats()
        | st.lists(st.just(1), max_size=1),
        max_size=4,
    )
)
def test_extras_of_which_it_is_claimed_come_back(extras: dict[str, Any]) -> None:
    check = lossless_check(Open)
    assert check is not None
    model = Open.model_construct(**extras)
    if check(model.__dict__) and extras_come_back(model.__pydantic_extra__ or {}):
        read = Open.model_validate_json(model.__pydantic_serializer__.to_json(model))
        assert described(read) == described(model)


def test_extras_that_are_plain_are_claimed() -> None:
    assert extras_come_back({"a": 1, "b": "x", "c": None, "d": True})
    assert not extras_come_back({"a": 1.5})
    assert extras_come_back({"a": [], "b": ["x", 1, None, True]})
    assert not extras_come_back({"a": [1.5]})
    assert not extras_come_back({"a": [[1]]})
    assert not extras_come_back({"a": (1,)})
    assert not extras_come_back({"a": {"b": 1}})
    assert not extras_come_back({"\ud800": 1})


@pytest.mark.parametrize("before", [*range(0, 101, 7), 99, 100, 4000])
def test_a_long_number_is_found_wherever_it_stands(before: int) -> None:
    digits = b"1234567890" * (MOST_DIGITS // 10)
    assert has_long_number(b"x" * before + digits + b"x" * 50)
    assert not has_long_number(b"x" * before + digits[1:] + b"x" * 50)
    assert not has_long_number(b"x" * before + digits[:2000] + b"," + digits[:2000] + b"x" * 50)


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"], [10**4300], [Text("text")]])
def test_an_extra_that_would_not_come_back_is_refused(value: object) -> None:
    with pytest.raises(UnstorableError):
        ModelCodec(Open).dump(Open.model_validate({"a": value, "b": 1}))


async def test_a_reserved_extra_is_refused() -> None:
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, Open)
        for name in ("__ndb__", "__ndb__:a"):
            with pytest.raises(UnstorableError, match="reserved"):
                await repo.save(Open.model_validate({name: 1}))
        session = await repo.save(Open.model_validate({"a": "__ndb__", "b": 1}))
        assert (await repo.get(session.tkn)).model_extra == {"a": "__ndb__", "b": 1}


@pytest.mark.parametrize(
    "instance", [instance for _, instances in ZOO for instance in instances], ids=lambda each: type(each).__name__
)
def test_of_the_zoo_nothing_is_claimed_that_is_not_so(instance: SessionModel) -> None:
    check = lossless_check(type(instance))
    if check is not None and check(instance.__dict__):
        text = instance.__pydantic_serializer__.to_json(instance)
        read = type(instance).model_validate_json(text)
        assert read == instance
        assert {name: type(value) for name, value in read} == {name: type(value) for name, value in instance}


def test_of_some_of_the_zoo_something_is_claimed() -> None:
    checks = [(lossless_check(model), instances) for model, instances in ZOO]
    assert sum(check is not None and check(each.__dict__) for check, instances in checks for each in instances) >= 10
