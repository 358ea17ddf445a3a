"""Keys as the store in memory keeps them: one text as long as it can stay one, else a dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TypeAlias

from ndb_models.stores.contract import Swaps
from ndb_models.texts import ObjectText, join_members

Kept: TypeAlias = dict[str, bytes] | ObjectText
"""One text, or a dict that is never changed: others may be reading it."""


def swapped(keys: Mapping[str, bytes], swaps: Swaps) -> Kept | None:
    """Return keys with other values, one text if they were; None where one is neither the old nor the new."""
    members = parted(keys)
    if any(members.get(name) not in swap for name, swap in swaps.items()):
        return None
    changed = {**members, **{name: new for name, (_, new) in swaps.items()}}
    return ObjectText(join_members(changed), keys.names) if type(keys) is ObjectText else changed


def without(keys: Kept, names: Set[str]) -> Kept:
    """Return keys without those of these names, one text if they were."""
    if names.isdisjoint(keys):
        return keys
    rest = {name: value for name, value in parted(keys).items() if name not in names}
    return ObjectText.joined(rest) if rest and type(keys) is ObjectText else rest


def chosen(keys: Mapping[str, bytes], names: Iterable[str]) -> dict[str, bytes]:
    """Return the keys of these names; those that are missing are left out."""
    return {name: keys[name] for name in names if name in keys}


def parted(keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return keys to look at, without making a text that is kept hold its members too."""
    return keys.split() if type(keys) is ObjectText else keys


def replaces(keys: Mapping[str, bytes], others: Kept) -> bool:
    """Tell at a glance whether writing these keys, one text, leaves none of the others."""
    return type(keys) is ObjectText and keys.names == (others.names if type(others) is ObjectText else tuple(others))


def kept(keys: Mapping[str, bytes]) -> Kept:
    """Return keys as they are kept: none that somebody else may change."""
    return keys if type(keys) is ObjectText else dict(keys)
