"""Example models with values that would not come back equal: refused, by the names of their fields.

To add one: list it in `UNSTORABLE`, with the fields that the refusal names.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    model_serializer,
)

from ndb_models import SessionModel
from tests.zoo import Cat, Dog, Infinite, Point, Remembering, Scalars, Times, Untouched


class Secretive(SessionModel, schema="unstorable-secretive"):
    """A secret is stored as its value, which must be JSON, and where it is declared as one."""

    user: str = "b"
    key: SecretBytes = SecretBytes(b"")
    anything: Any = None


class Open(SessionModel, schema="unstorable-open", extra="allow"):
    name: str = ""


class Anything(SessionModel):
    value: Any = None
    other: int = 0


class Numbers(SessionModel):
    ratio: float = 0.0
    ratios: list[float | None] = []


class Constants(SessionModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")

    ratio: float = 0.0


class OneWay(SessionModel):
    """What is written is not what is read."""

    shout: Annotated[str, PlainSerializer(str.upper)] = ""
    quiet: int | None = Field(default=5, exclude_if=lambda value: value is None)


class Kennel(SessionModel):
    """Pydantic writes the declared class only, what a subclass adds is lost."""

    dog: Dog = Dog()
    open: SerializeAsAny[Dog] = Dog()


class Puppy(Dog):
    age: int = 0


class Scalar(SessionModel):
    """Is written as something that has no keys."""

    name: str = "x"

    @model_serializer
    def _written(self) -> str:
        return self.name


class Renamed(SessionModel):
    name: str = "x"

    @model_serializer
    def _written(self) -> dict[str, str]:
        return {"name": self.name, "names": self.name}


class _Custom:
    pass


def _circle() -> list[object]:
    circle: list[object] = []
    circle.append(circle)
    return circle


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def _unchecked(model: type[BaseModel], **values: Any) -> Any:
    return model.model_construct(**values)


def _touched(**cached: int) -> Untouched:
    model = Untouched()
    model._cache.update(cached)  # noqa: SLF001 - what a user of the class would do within it
    return model


_NAN = float("nan")

UNSTORABLE: list[tuple[SessionModel, Sequence[str]]] = [
    (Secretive(key=SecretBytes(b"canary\xff")), ["key"]),
    (Secretive(anything=SecretStr("canary")), ["anything"]),
    (Secretive(key=SecretBytes(b"canary\xff"), anything=SecretStr("canary\ud800")), ["key"]),
    (_unchecked(Secretive, key=SecretStr("canary")), ["key"]),
    (Open.model_validate({"more": ("canary",)}), ["more"]),
    (Open.model_validate({"more": _NAN, "fine": 1}), ["more"]),
    (Open.model_validate({"__ndb__": "canary"}), ["__ndb__"]),
    (Numbers(ratio=_NAN), ["ratio"]),
    (Numbers(ratio=float("inf")), ["ratio"]),
    (Numbers(ratios=[1.0, _NAN]), ["ratios"]),
    (Constants(ratio=_NAN), ["ratio"]),
    (Constants(ratio=float("inf")), ["ratio"]),
    (Infinite(ratio=_NAN), ["ratio"]),
    (Scalars(blob=b"canary\xff"), ["blob"]),
    (Scalars(number=10**4400), ["number"]),
    (Anything(value="canary\ud800"), ["value"]),
    (Anything(value={"canary\udfff": 1}), ["value"]),
    (Anything(value={"canary": [_NAN]}), ["value"]),
    (Anything(value=b"canary"), ["value"]),
    (Anything(value=("canary",)), ["value"]),
    (Anything(value={"canary"}), ["value"]),
    (Anything(value={1: "canary"}), ["value"]),
    (Anything(value=Decimal("1.5")), ["value"]),
    (Anything(value=datetime(2024, 1, 1, tzinfo=UTC)), ["value"]),
    (Anything(value=_Custom()), ["value"]),
    (Anything(value=_circle()), ["value"]),
    (Anything(value=_nested(210)), ["value"]),
    (Anything(value=_nested(5000)), ["value"]),
    (Anything(value=Cat()), ["value"]),
    (OneWay(shout="canary", quiet=1), ["shout"]),
    (OneWay(shout="CANARY", quiet=None), ["quiet"]),
    (Kennel(dog=Puppy(age=1)), ["dog"]),
    (Kennel(open=Puppy(age=1)), ["open"]),
    (Scalar(name="canary"), ["(model)"]),
    (Renamed(name="canary"), ["(model)"]),
    (Remembering(passing=1), ["passing"]),
    (_touched(canary=1), ["_cache"]),
    (Times(local=datetime(2024, 10, 27, 2, 30, fold=1)), ["local"]),
    (Times(hour=time(2, 30, tzinfo=ZoneInfo("Europe/Zurich"))), ["hour"]),
    (_unchecked(Scalars, number="canary"), ["number"]),
    (_unchecked(Point, x=1), ["y"]),
]
"""Instances that would not come back equal, each with the fields that the refusal names. `canary` is never shown."""
