"""Picks some members out of JSON objects. Most programs ask for the same names again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from ndb_models.json_text import ObjectText

_encode: Final = msgspec.json.Encoder().encode

Reader: TypeAlias = Callable[[bytes], msgspec.Struct]
"""Reads some members of an object, and passes over the others."""

# Making a reader takes as long as some hundred picks. So names have one only if they are asked for this often.
_OFTEN: Final = 32
_KNOWN: Final = 256
_MOST_NAMES: Final = 64
_LONGEST: Final = 1024
_ESCAPED: Final = frozenset('"\\')


class MemberPicker:
    """Picks members by their names, more quickly for names that it is often asked for."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # By the names: their reader, or the times that they were asked for.
        self._known: dict[tuple[str, ...], Reader | int] = {}

    def pick(self, keys: ObjectText, names: tuple[str, ...]) -> ObjectText:
        """Return an object of the named members, as `ObjectText.chosen` does."""
        reader = self._known.get(names, 0)
        if not isinstance(reader, int):
            return ObjectText(_encode(reader(keys.text)))
        if len(names) > 1:
            self._count(names, reader + 1)
        return keys.chosen(names)

    def _count(self, names: tuple[str, ...], times: int) -> None:
        if times >= _OFTEN:
            self._known[names] = _reader_of(names)
        elif times > 1 or _may_have_reader(names):
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[names] = times


def _may_have_reader(names: tuple[str, ...]) -> bool:
    """Tell whether names are few and short, and written in JSON as they are."""
    text = "".join(names)
    is_small = len(names) <= _MOST_NAMES and len(text) <= _LONGEST
    return is_small and text.isascii() and text.isprintable() and _ESCAPED.isdisjoint(text)


def _reader_of(names: tuple[str, ...]) -> Reader:
    renamed = {f"member{number}": name for number, name in enumerate(dict.fromkeys(names))}
    fields = [(field, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for field in renamed]
    picked = msgspec.defstruct("Picked", fields, rename=renamed, gc=False)
    return msgspec.json.Decoder(picked).decode
