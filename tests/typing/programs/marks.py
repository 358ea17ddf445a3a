"""Marks and configurations that models of another file use."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from pydantic import ConfigDict

from ndb_models import Lookup

T = TypeVar("T")

UserId = Annotated[int, Lookup()]
Looked = Annotated[T, Lookup()]
Plain = str
UNIQUE: Final = Lookup(unique=True)
CONFIG = ConfigDict(title="t")


def mark() -> Lookup:
    return UNIQUE
