"""Marks and configurations that models of another file use."""

from __future__ import annotations

import typing
from typing import Annotated, Final, TypeVar

from pydantic import ConfigDict

import ndb_models
from ndb_models import Lookup

T = TypeVar("T")

UserId = Annotated[int, Lookup()]
Looked = Annotated[T, Lookup()]
Plain = str
Dotted = typing.Annotated[int, ndb_models.Lookup()]
IS_UNIQUE = bool(1)
UNIQUE: Final = Lookup(unique=True)
CONFIG = ConfigDict(title="t")
MARKS = (Lookup(), "a number")


def mark() -> Lookup:
    return UNIQUE
