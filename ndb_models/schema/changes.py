"""What a save writes: the fields of a model that have changed since it was read.

A field has changed if its text is another one and its value, too, is not what the text before reads as. So what is
written differently each time, as sets are, and how others format JSON, make no change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from ndb_models.schema.value_equality import OF_CHANGES, difference, lost_names
from ndb_models.schema.value_kinds import ABSENT, UNDECIDED
from ndb_models.texts import ObjectText, join_members, split_members

NOT_JSON: Final = (PydanticSerializationError, UnicodeError, msgspec.MsgspecError)
"""What is raised where something cannot be written as JSON."""


class Changes(NamedTuple):
    """What a save writes: the keys that changed, with their texts; those to remove; what is stored after it."""

    changed: dict[str, bytes]
    removed: list[str]
    after: bytes


def find_changes(
    model: BaseModel,
    keys: ObjectText,
    before: bytes,
    anyway: Collection[str],
    read: Callable[[bytes], BaseModel],
    write: Callable[..., bytes],
) -> Changes:
    """Compare a model, and the keys that it is written as, with what is stored of it; see `ModelCodec.changes`."""
    stored, now = split_members(before), keys.split()
    differing = [name for name, text in now.items() if stored.get(name) != text]
    differing += [name for name in stored if name not in now]
    changed = set(anyway)
    if differing:
        try:
            changed.update(_changed(model, now, differing, read(before), write))
        except ValidationError:  # it fitted when it was read; validators may ask for the time, or for what lies outside
            changed.update(_changed_as_json(now, differing, before))
    written = {name: text for name, text in now.items() if name in changed}
    removed = [name for name in changed if name not in now]
    if changed.issuperset(differing):
        return Changes(written, removed, keys.text)
    after = {name: text for name, text in {**stored, **written}.items() if name not in removed}
    return Changes(written, removed, join_members(after))


def _changed(
    model: BaseModel, now: Mapping[str, bytes], differing: Sequence[str], read: BaseModel, write: Callable[..., bytes]
) -> Iterator[str]:
    again = FieldTexts(write, read)
    for name in differing:
        reason = difference(value_of(model, name), value_of(read, name), OF_CHANGES)
        if reason is not None and again.settles(reason, name, now.get(name)) is not None:
            yield name


def _changed_as_json(now: Mapping[str, bytes], differing: Sequence[str], before: bytes) -> Iterator[str]:
    ours, theirs = from_json(join_members(now)), from_json(before)
    changed = lost_names(ours, theirs, OF_CHANGES)
    return (name for name in differing if name in changed)


class FieldTexts:
    """What the fields of a model are written as, found out once somebody asks."""

    def __init__(self, write: Callable[..., bytes], model: BaseModel) -> None:
        self._write = write
        self._model = model

    def of(self, name: str) -> bytes | None:
        """Return the text of a field; None if it is left out, or is no JSON."""
        try:
            return self._all.get(name)
        except NOT_JSON:
            return None

    def settles(self, reason: str | None, name: str, text: bytes | None) -> str | None:
        """Return in what a field differs from one that is written as this text, where that was still undecided."""
        same = reason is UNDECIDED and text is not None and self.of(name) == text
        return None if same else reason

    @cached_property
    def _all(self) -> Mapping[str, bytes]:
        return split_members(self._write(self._model))


def value_of(model: BaseModel, name: str) -> object:
    """Return the value of a field, or an extra. Not as attributes: what is deprecated has not been used by that."""
    if name in type(model).__pydantic_fields__:
        return model.__dict__.get(name, ABSENT)
    return (model.__pydantic_extra__ or {}).get(name, ABSENT)
