"""Keys as the store in memory keeps them: one text as long as possible, else a dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TypeAlias

from ndb_models.stores.contract import Swaps
from ndb_models.texts import ObjectText, join_members

Kept: TypeAlias = dict[str, bytes] | ObjectText
"""One text, or a dict. The dict is never changed: others may be reading it."""


def swapped(keys: Mapping[str, bytes], swaps: Swaps) -> Kept | None:
    """Return keys with swapped values; one text stays one text. None if a value is neither the old nor the new one."""
    members = parted(keys)
    if any(members.get(name) not in swap for name, swap in swaps.items()):
        return None
    changed = {**members, **{name: new for name, (_, new) in swaps.items()}}
    return ObjectText(join_members(changed), keys.names) if type(keys) is ObjectText else changed


def without(keys: Kept, names: Set[str]) -> Kept:
    """Return keys without these names. One text stays one text while any key is left."""
    if names.isdisjoint(keys):
        return keys
    rest = {name: value for name, value in parted(keys).items() if name not in names}
    return ObjectText.joined(rest) if rest and type(keys) is ObjectText else rest


def chosen(keys: Mapping[str, bytes], names: Iterable[str]) -> dict[str, bytes]:
    """Return the keys with these names. Missing keys are left out."""
    return {name: keys[name] for name in names if name in keys}


def parted(keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return keys for reading, without making a kept text hold its members too."""
    return keys.split() if type(keys) is ObjectText else keys


def replaces(keys: Mapping[str, bytes], others: Kept) -> bool:
    """Tell whether keys are one text with just the names of `others`, in the same order: it replaces them whole."""
    return type(keys) is ObjectText and keys.names == (others.names if type(others) is ObjectText else tuple(others))


def kept(keys: Mapping[str, bytes]) -> Kept:
    """Return keys as they are kept: out of reach of a caller's later changes."""
    return keys if type(keys) is ObjectText else dict(keys)
