"""Example models of Pydantic's own types: constrained ones, encoded ones, secrets, URLs, times of a kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Network
from typing import Annotated, Any

from annotated_types import Ge, Len, Lt, MultipleOf
from pydantic import (
    UUID1,
    UUID3,
    UUID4,
    UUID5,
    AfterValidator,
    AmqpDsn,
    AnyHttpUrl,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    Base64Str,
    Base64UrlBytes,
    Base64UrlStr,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    EmailStr,
    Field,
    FileUrl,
    FiniteFloat,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    ImportString,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    Json,
    NaiveDatetime,
    NameEmail,
    NegativeFloat,
    NonNegativeInt,
    PastDate,
    PastDatetime,
    PlainSerializer,
    PlainValidator,
    PositiveInt,
    PostgresDsn,
    RedisDsn,
    Secret,
    SecretBytes,
    SecretStr,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    WebsocketUrl,
    WrapSerializer,
    WrapValidator,
)

from ndb_models import SessionModel, UnstableFieldWarning
from tests.zoo_strict import Entry, with_strict


class Constrained(SessionModel):
    age: int = Field(ge=0, lt=150)
    ratio: float = Field(default=0.5, gt=0, le=1, allow_inf_nan=False)
    amount: Decimal = Field(default=Decimal("0.00"), max_digits=6, decimal_places=2)
    code: str = Field(default="AB1", pattern=r"^[A-Z]{2}\d$")
    tags: Annotated[list[Annotated[str, Len(1, 5)]], Len(0, 3)] = []
    even: Annotated[int, Ge(0), Lt(100), MultipleOf(2)] = 0
    slug: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=10)] = ""
    span: timedelta = Field(default=timedelta(0), ge=timedelta(0), le=timedelta(days=1))


class Named(SessionModel):
    """The constrained types that have names."""

    positive: PositiveInt
    not_negative: NonNegativeInt = 0
    negative: NegativeFloat = -1.0
    finite: FiniteFloat = 0.0
    strict_int: StrictInt = 0
    strict_text: StrictStr = ""
    strict_flag: StrictBool = False


class Encoded(SessionModel):
    """Given as text in Base64, held as what that says."""

    blob: Base64Bytes
    text: Base64Str
    url_blob: Base64UrlBytes
    url_text: Base64UrlStr


class Parsed(SessionModel):
    """Given as JSON text, held as what that says."""

    numbers: Json[list[int]]
    table: Json[dict[str, date]]
    anything: Json[Any]


class Pin(SecretStr):
    def _display(self) -> str:
        return "****"


class SecretDay(Secret[date]):
    """The way that Pydantic's documentation makes a secret of any type."""

    def _display(self) -> str:
        return "****/**/**"


class Keychain(BaseModel):
    master: SecretStr
    others: dict[str, SecretStr] = {}


class Secrets(SessionModel):
    """Shown as asterisks, stored as what they hold."""

    password: SecretStr
    key: SecretBytes = SecretBytes(b"")
    pin: Pin = Pin("")
    amount: Secret[Decimal] = Secret(Decimal(0))
    birthday: SecretDay | None = None
    several: list[SecretStr] = []
    keychain: Keychain | None = None


class Urls(SessionModel):
    any: AnyUrl
    web: HttpUrl = HttpUrl("https://example.org/")
    any_web: AnyHttpUrl = AnyHttpUrl("http://example.org/")
    socket: WebsocketUrl = WebsocketUrl("wss://example.org/")
    file: FileUrl = FileUrl("file:///a/b")
    postgres: PostgresDsn = PostgresDsn("postgresql://u:p@localhost:5432/d")
    redis: RedisDsn = RedisDsn("redis://localhost:6379/0")
    amqp: AmqpDsn = AmqpDsn("amqp://localhost/")


class Contacts(SessionModel):
    email: EmailStr
    named: NameEmail | None = None
    address: IPvAnyAddress | None = None
    interface: IPvAnyInterface | None = None
    network: IPvAnyNetwork | None = None


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UnstableFieldWarning)

    class KindsOfTimes(SessionModel):
        past: PastDate
        future: FutureDate
        before: PastDatetime
        after: FutureDatetime
        aware: AwareDatetime
        naive: NaiveDatetime


class KindsOfIds(SessionModel):
    one: UUID1
    three: UUID3
    four: UUID4
    five: UUID5


class Sizes(SessionModel):
    size: ByteSize


class Imported(SessionModel):
    """Held as the object, stored as its name."""

    function: ImportString[Callable[[str], str]] = Field(default="os.path.basename", validate_default=True)


def _half(value: int) -> int:
    return value // 2


def _doubled(value: int) -> int:
    return value * 2


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else str(value)


def _short(value: Any, handler: Callable[[Any], str]) -> str:
    return handler(value)[:5]


def _boxed(value: list[int], handler: Callable[[list[int]], Any]) -> dict[str, Any]:
    return {"of": handler(value)}


def _unboxed(value: Any) -> Any:
    return value["of"] if isinstance(value, dict) else value


class Pairs(SessionModel):
    """Validators and serializers, each of which undoes the other."""

    halved: Annotated[int, AfterValidator(_half), PlainSerializer(_doubled)]
    text: Annotated[str, BeforeValidator(_text)] = ""
    short: Annotated[str, WrapValidator(_short)] = ""
    boxed: Annotated[list[int], BeforeValidator(_unboxed), WrapSerializer(_boxed)] = []
    whole: Annotated[int, PlainValidator(int)] = 0


class Immutable(SessionModel):
    model_config = ConfigDict(frozen=True, str_max_length=20, str_to_upper=True)

    code: str
    at: datetime = datetime(2024, 1, 1, tzinfo=UTC)


def made(model: type[SessionModel], **values: object) -> SessionModel:
    """Return an instance of what is given in another form than it is held."""
    return model.model_validate(values)


_LAST_DAY, _LAST = date(9999, 12, 31), datetime(9999, 12, 31, tzinfo=UTC)

PYDANTIC: list[Entry] = [
    # What is held is what is not text any more, which strict mode does not take for these.
    (Sizes, [made(Sizes, size="1 GiB"), made(Sizes, size=0)]),
    *with_strict(
        [
            (
                Constrained,
                [
                    Constrained(age=0),
                    Constrained(age=149, ratio=1, amount=Decimal("-1234.50"), code="ZZ9", tags=["a", "bcdef"], even=98),
                    Constrained(age=1, slug=" Abc ", span=timedelta(hours=5)),
                ],
            ),
            (Named, [Named(positive=1), Named(positive=2**65, negative=-0.5, finite=1e308, strict_text="a")]),
            (
                Encoded,
                [
                    made(Encoded, blob="AP+A", text="aGVsbG8=", url_blob="_-8=", url_text="aGk="),
                    made(Encoded, blob="", text="", url_blob="", url_text=""),
                ],
            ),
            (
                Parsed,
                [
                    made(Parsed, numbers="[1, 2]", table='{"a": "2024-02-29"}', anything="null"),
                    made(Parsed, numbers="[]", table="{}", anything='{"a": [1.5, "b"]}'),
                ],
            ),
            (
                Secrets,
                [
                    Secrets(password=SecretStr("")),
                    Secrets(
                        password=SecretStr('é"\0'),
                        key=SecretBytes(b"key"),
                        pin=Pin("1234"),
                        amount=Secret(Decimal("1.10")),
                        birthday=SecretDay(date(2000, 2, 29)),
                        several=[SecretStr("a"), SecretStr("**********")],
                        keychain=Keychain(master=SecretStr("m"), others={"a": SecretStr("b")}),
                    ),
                ],
            ),
            (Urls, [Urls(any=AnyUrl("mailto:a@example.org")), Urls(any=AnyUrl("https://ex\u00e4mple.org/a?b=c#d"))]),
            (
                Contacts,
                [
                    Contacts(email="b@example.org"),
                    Contacts(
                        email="a.b+c@example.org",
                        named=NameEmail("B B", "b@example.org"),
                        address=IPv4Address("10.0.0.1"),
                        network=IPv6Network("fe80::/10"),
                    ),
                ],
            ),
            (
                KindsOfTimes,
                [
                    KindsOfTimes(
                        past=date.min,
                        future=_LAST_DAY,
                        before=datetime(2000, 1, 1),
                        after=_LAST,
                        aware=_LAST,
                        naive=datetime.min,
                    )
                ],
            ),
            (
                KindsOfIds,
                [
                    made(
                        KindsOfIds,
                        one="a8098c1a-f86e-11da-bd1a-00112444be1e",
                        three="6fa459ea-ee8a-3ca4-894e-db77e160355e",
                        four="16fd2706-8baf-433b-82eb-8c7fada847da",
                        five="886313e1-3b8a-5372-9b90-0c9aee199e5d",
                    )
                ],
            ),
            (Imported, [Imported(), made(Imported, function="textwrap.dedent")]),
            (Pairs, [Pairs(halved=8), Pairs(halved=-2, text="a", short="abcdefg", boxed=[1, 2], whole=3)]),
            (Immutable, [Immutable(code="abc"), Immutable(code="", at=_LAST)]),
        ]
    ),
]
"""Each model, and its strict twin, with instances that come back equal."""
