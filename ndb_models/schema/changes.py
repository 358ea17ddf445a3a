"""The changes that a save writes: the fields of a model that have changed since it was read.

A field has changed if its text differs and its value, too, differs from the value that the stored text reads as. So the
order in which a set is written is no change, nor is the way other programs format JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from ndb_models.schema.value_equality import OF_CHANGES, difference, lost_names
from ndb_models.schema.value_kinds import ABSENT, UNDECIDED
from ndb_models.texts import ObjectText, join_members, raw_members, split_members

NOT_JSON: Final = (PydanticSerializationError, UnicodeError, msgspec.MsgspecError)
"""Errors raised where a value cannot be written as JSON."""


_Members: TypeAlias = Mapping[str, msgspec.Raw]


class Changes(NamedTuple):
    """The changes that a save writes: changed keys with their texts, keys to remove, and the text stored after it."""

    changed: dict[str, bytes]
    removed: list[str]
    after: bytes


class Ways(NamedTuple):
    """The reader and the writer of a class, and its scalar fields; see `scalar_fields`."""

    read: Callable[[bytes], BaseModel]
    write: Callable[..., bytes]
    scalars: Mapping[str, frozenset[type]]


def find_changes(
    model: BaseModel,
    keys: ObjectText,
    before: bytes,
    anyway: Collection[str],
    ways: Ways,
) -> Changes:
    """Compare a model, and the keys that it is written as, with the stored text; see `ModelCodec.changes`."""
    stored, now = raw_members(before), raw_members(keys.text)
    differing = [name for name, text in now.items() if stored.get(name) != text]
    if stored.keys() != now.keys():
        differing += [name for name in stored if name not in now]
    undecided = [name for name in differing if not _surely_changed(name, now, stored, ways.scalars)]
    changed = {*anyway, *differing}
    if undecided:
        changed.difference_update(frozenset(undecided).difference(anyway))
        try:
            changed.update(_changed(model, now, undecided, ways.read(before), ways.write))
        except ValidationError:  # it fitted when it was read; a validator may depend on the time or on outside state
            changed.update(_changed_as_json(keys.text, undecided, before))
    looked_at = now if anyway else differing
    written = {name: bytes(now[name]) for name in looked_at if name in changed and name in now}
    removed = [name for name in changed if name not in now]
    if changed.issuperset(differing):
        return Changes(written, removed, keys.text)
    after = {name: text for name, text in {**split_members(before), **written}.items() if name not in removed}
    return Changes(written, removed, join_members(after))


def _surely_changed(name: str, now: _Members, stored: _Members, scalars: Mapping[str, frozenset[type]]) -> bool:
    """Tell whether the JSON alone shows that a field has changed. False leaves the question open."""
    kinds = scalars.get(name)
    if kinds is None or name not in now or name not in stored:
        return False
    try:
        ours, theirs = from_json(bytes(now[name])), from_json(bytes(stored[name]))
    except ValueError:  # more digits than Pydantic reads
        return False
    return type(ours) in kinds and type(theirs) in kinds and ours != theirs


def _changed(
    model: BaseModel, now: _Members, differing: Sequence[str], read: BaseModel, write: Callable[..., bytes]
) -> Iterator[str]:
    again = FieldTexts(write, read)
    for name in differing:
        reason = difference(value_of(model, name), value_of(read, name), OF_CHANGES)
        if reason is UNDECIDED:
            reason = again.settles(reason, name, bytes(now[name]) if name in now else None)
        if reason is not None:
            yield name


def _changed_as_json(now: bytes, differing: Sequence[str], before: bytes) -> Iterator[str]:
    ours, theirs = from_json(now), from_json(before)
    changed = lost_names(ours, theirs, OF_CHANGES)
    return (name for name in differing if name in changed)


class FieldTexts:
    """The texts of a model's fields, written when first asked for."""

    def __init__(self, write: Callable[..., bytes], model: BaseModel) -> None:
        self._write = write
        self._model = model

    def of(self, name: str) -> bytes | None:
        """Return the text of a field; None if it is left out, or if the model cannot be written as JSON."""
        try:
            return self._all.get(name)
        except NOT_JSON:
            return None

    def settles(self, reason: str | None, name: str, text: bytes | None) -> str | None:
        """Return None if the reason is `UNDECIDED` and the field is written as this text too; else the reason."""
        same = reason is UNDECIDED and text is not None and self.of(name) == text
        return None if same else reason

    @cached_property
    def _all(self) -> Mapping[str, bytes]:
        return split_members(self._write(self._model))


def value_of(model: BaseModel, name: str) -> object:
    """Return the value of a field or an extra, or `ABSENT`. Attribute access would warn of a deprecated field."""
    if name in type(model).__pydantic_fields__:
        return model.__dict__.get(name, ABSENT)
    return (model.__pydantic_extra__ or {}).get(name, ABSENT)
