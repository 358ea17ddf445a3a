"""The steps of the conformance tests, as they are shipped in `steps.json`.

A case is a conversation on a connection of its own. In a frame, `$T1` stands for the first token that the server gave
out in this case, `$N1` for a token that the client chooses, `$K` for the prefix of shared keys, and `$NAME` for the
name of a data set. Answers hold the same placeholders.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from typing import Any, Final

import msgspec

_FILE: Final = "steps.json"

Answer = Mapping[str, Any]
"""An answer as parsed JSON: its name, and its body."""


class Section(StrEnum):
    """The parts of the tests.

    Clients rely on the `REQUIRED` answers. Servers may differ in the `ODDITIES`. `EXTENSIONS` are the commands beyond
    NemesisDB's.
    """

    REQUIRED = "required"
    ODDITIES = "oddities"
    EXTENSIONS = "extensions"


class Need(StrEnum):
    """The needs of a case: a store without the data of others; a persist path."""

    EMPTY = "empty"
    PERSIST = "persist"


class Step(msgspec.Struct, frozen=True):
    """A frame and the recorded answer. `ours` is the answer of this package's server where that differs."""

    send: str
    recv: dict[str, Any]
    ours: dict[str, Any] | None = None
    binary: bool = False


class Case(msgspec.Struct, frozen=True):
    """A conversation on a connection of its own."""

    case: str
    section: Section
    needs: frozenset[Need]
    steps: tuple[Step, ...]


def recorded_cases() -> list[Case]:
    """Return all cases."""
    text = files("ndb_models.conformance").joinpath(_FILE).read_bytes()
    return msgspec.json.decode(text, type=list[Case])
