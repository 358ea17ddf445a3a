"""Example models of the standard library's types that are one value: numbers, texts, times, enumerations, addresses."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict

from ndb_models import SessionModel
from tests.zoo_strict import Entry, with_strict


class Suit(Enum):
    HEARTS = "hearts"
    SPADES = 4
    NONE = None


class Rank(IntEnum):
    ACE = 1
    KING = 13


class Season(StrEnum):
    SPRING = "spring"
    SUMMER = "summer"


class Permission(Flag):
    READ = 1
    WRITE = 2


class Mode(IntFlag):
    READ = 1
    WRITE = 2


class Letter(str, Enum):  # noqa: UP042 - as many programs still have it
    """The way before `StrEnum`."""

    A = "a"
    B = "b"


class Integers(SessionModel):
    flag: bool
    number: int
    perhaps: int | None = None


class Fractional(SessionModel):
    ratio: float
    amount: Decimal
    share: Fraction = Fraction(0)
    point: complex = 0j


class Infinities(SessionModel):
    """With names for what JSON has no numbers for."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    ratio: float
    ratios: list[float] = []


class Texts(SessionModel):
    text: str
    blob: bytes = b""


class Base64Blobs(SessionModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    blob: bytes
    named: dict[str, bytes] = {}


class HexBlobs(SessionModel):
    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")

    blob: bytes


class Moments(SessionModel):
    at: datetime
    day: date
    hour: time
    span: timedelta


class CountedSpans(SessionModel):
    """A time span as a number of seconds."""

    model_config = ConfigDict(ser_json_timedelta="float")

    span: timedelta


class Choices(SessionModel):
    suit: Suit
    rank: Rank
    season: Season
    letter: Letter = Letter.A
    literal: Literal["a", 1, b"b", None, Season.SPRING] = "a"


class Flags(SessionModel):
    permission: Permission
    mode: Mode


class UsedValues(SessionModel):
    """Holds the values of enumerations, not their members."""

    model_config = ConfigDict(use_enum_values=True, validate_default=True)

    suit: Suit = Suit.HEARTS
    rank: Rank
    seasons: list[Season] = [Season.SPRING]


class Places(SessionModel):
    path: Path
    pure: PurePath = PurePath()
    posix: PurePosixPath = PurePosixPath("/")


class Networks(SessionModel):
    v4: IPv4Address
    v6: IPv6Address
    interface4: IPv4Interface
    interface6: IPv6Interface
    network4: IPv4Network
    network6: IPv6Network


class Identified(SessionModel):
    uuid: UUID
    others: list[UUID] = []


class Patterns(SessionModel):
    pattern: re.Pattern[str]


_EAST = timezone(timedelta(hours=14))
_FAR_WEST = timezone(-timedelta(hours=23, minutes=59))

STANDARD: list[Entry] = [
    # Strict mode takes no text for a number, and no number for a time span: these two cannot be both.
    (Infinities, [Infinities(ratio=float("inf")), Infinities(ratio=0.0, ratios=[1.5, float("-inf")])]),
    (CountedSpans, [CountedSpans(span=timedelta(minutes=90)), CountedSpans(span=timedelta(milliseconds=-5))]),
    *with_strict(
        [
            (Integers, [Integers(flag=True, number=2**64), Integers(flag=False, number=-(2**200), perhaps=0)]),
            (
                Fractional,
                [
                    Fractional(ratio=0.1, amount=Decimal("0.10")),
                    Fractional(ratio=-1e-300, amount=Decimal("1E+30"), share=Fraction(-1, 3), point=complex(1.5, -2)),
                    Fractional(ratio=2**53 + 2.0, amount=Decimal("-0"), point=complex(0.1, 1e300)),
                ],
            ),
            (Texts, [Texts(text=""), Texts(text='\0 "\\ \u2028 \U0001d11e', blob="é".encode())]),
            (Base64Blobs, [Base64Blobs(blob=bytes(range(256)), named={"a": b"\xff\xfe", "": b""})]),
            (HexBlobs, [HexBlobs(blob=bytes(range(256))), HexBlobs(blob=b"")]),
            (
                Moments,
                [
                    Moments(
                        at=datetime(2024, 2, 29, tzinfo=UTC), day=date.max, hour=time(23, 59, 59, 1), span=timedelta(1)
                    ),
                    Moments(at=datetime.max, day=date.min, hour=time(0, tzinfo=_EAST), span=timedelta(microseconds=-1)),
                    Moments(at=datetime.min, day=date.min, hour=time.max, span=timedelta(days=400, hours=3)),
                    Moments(at=datetime(1900, 1, 1, tzinfo=_FAR_WEST), day=date.min, hour=time.min, span=timedelta.max),
                ],
            ),
            (
                Choices,
                [
                    Choices(suit=Suit.HEARTS, rank=Rank.KING, season=Season.SUMMER),
                    Choices(suit=Suit.NONE, rank=Rank.ACE, season=Season.SPRING, letter=Letter.B, literal=1),
                    Choices(suit=Suit.SPADES, rank=Rank.ACE, season=Season.SPRING, literal=None),
                ],
            ),
            (Flags, [Flags(permission=Permission.READ, mode=Mode.READ), Flags(permission=Permission(3), mode=Mode(0))]),
            (UsedValues, [UsedValues(rank=Rank.KING), UsedValues(suit=Suit.SPADES, rank=Rank.ACE, seasons=[])]),
            (
                Places,
                [Places(path=Path("a/../b c")), Places(path=Path("/é"), pure=PurePath("x"), posix=PurePosixPath("."))],
            ),
            (
                Networks,
                [
                    Networks(
                        v4=IPv4Address("10.0.0.1"),
                        v6=IPv6Address("fe80::1%eth0"),
                        interface4=IPv4Interface("10.0.0.1/8"),
                        interface6=IPv6Interface("::1/64"),
                        network4=IPv4Network("10.0.0.0/8"),
                        network6=IPv6Network("fe80::/10"),
                    )
                ],
            ),
            (Identified, [Identified(uuid=UUID(int=0)), Identified(uuid=UUID(int=2**128 - 1), others=[UUID(int=5)])]),
            (Patterns, [Patterns(pattern=re.compile(r"^a+\d$")), Patterns(pattern=re.compile(""))]),
        ]
    ),
]
"""Each model, and its strict twin, with instances that come back equal."""
