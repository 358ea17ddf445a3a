"""Keys as the store in memory keeps them: a small map as one text, a large one as a dict.

One text takes half the memory, and is read at once. A large text would take long to change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Final, TypeAlias

from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from ndb_models.expectations import Expected, TextDigest, are_as_expected
from ndb_models.json_text import NO_KEYS, NO_MEMBERS, ObjectText, raw_members
from ndb_models.stores.contract import Swaps

Kept: TypeAlias = dict[str, bytes] | ObjectText
"""One text, or a dict. The dict is never changed: others may be reading it."""

_decode: Final = Decoder(Raw).decode

# A map of more members, or of more bytes, becomes a dict when some of its keys change.
_MEMBERS: Final = 128
_BYTES: Final = 8 * 1024


def kept(keys: Mapping[str, bytes]) -> Kept:
    """Return keys as they are kept: out of reach of a caller's later changes."""
    if type(keys) is ObjectText:
        return keys
    if 0 < len(keys) <= _MEMBERS:
        text = ObjectText.to_keep(keys)
        if len(text.text) <= _BYTES:
            return text
    return dict(keys)


def updated(keys: Kept, written: Mapping[str, bytes], texts: dict[str, Raw] | None = None) -> Kept:
    """Return keys with these written over them. `texts` are the members of a kept text, if it was split already."""
    if type(written) is not ObjectText and not written:  # `isinstance` would ask the abstract base classes
        return keys
    if keys is NO_KEYS:
        return kept(written)
    if type(keys) is not ObjectText:
        return {**keys, **parted(written)} if keys else kept(written)
    names = keys.known_names
    if names is None:
        names = keys.names
    if type(written) is ObjectText and written.known_names == names:
        return written
    if not names:
        return kept(written)
    if len(keys.text) <= _BYTES and len(names) <= _MEMBERS:
        return keys.updated(written, texts)
    return {**keys.split(), **parted(written)}


def changed(keys: Kept, written: Mapping[str, bytes], removed: Collection[str], expected: Expected) -> Kept | None:
    """Return keys with some written and others removed; None if one of them is not as expected."""
    if not removed and len(expected) == 1 and _is_empty(written) and type(keys) is ObjectText:
        (name, value), *_ = expected.items()
        if _is_last(keys, name, value):
            return keys
    texts = raw_members(keys.text) if type(keys) is ObjectText else None
    if not are_as_expected(keys if texts is None else texts, expected):
        return None
    if removed:
        return updated(without(keys, frozenset(removed).difference(written)), written)
    return updated(keys, written, texts)


def _is_empty(keys: Mapping[str, bytes]) -> bool:
    return keys.text == NO_MEMBERS if type(keys) is ObjectText else not keys


def _is_last(keys: ObjectText, name: str, value: bytes | TextDigest | None) -> bool:
    """Tell whether the last of several keys has this name and text. False leaves the question open.

    A text that ends with a comma, the name and a whole JSON value before its last brace has this value under this name:
    only the object itself can end there.
    """
    names = keys.known_names
    if names is None or names[-1:] != (name,) or type(value) is not bytes:
        return False
    if not keys.text.endswith(b',"%b":%b}' % (name.encode(), value)):
        return False
    try:
        _decode(value)
    except DecodeError:
        return False
    return True


def swapped(keys: Kept, swaps: Swaps) -> Kept | None:
    """Return keys with swapped values; None if a value is neither the old nor the new one."""
    members = parted(keys)
    if any(members.get(name) not in swap for name, swap in swaps.items()):
        return None
    return updated(keys, {name: new for name, (_, new) in swaps.items()})


def without(keys: Kept, names: Set[str]) -> Kept:
    """Return keys without these names."""
    if names.isdisjoint(keys):
        return keys
    rest = {name: value for name, value in parted(keys).items() if name not in names}
    return ObjectText.to_keep(rest) if rest and type(keys) is ObjectText else rest


def parted(keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return keys for reading, without making a kept text hold its members too."""
    if type(keys) is not ObjectText:
        return keys
    return keys.split() if keys.text != NO_MEMBERS else {}
