"""Find places in JSON values and change parts of values. Functions that may take long return `Work`."""

# Decoded JSON has no types yet.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from jsonpath.segments import JSONPathSegment

from ndb_models import garbage
from ndb_models.engine.evaluation import Evaluation, Location, Nodes, location_of
from ndb_models.engine.paths import Budget, PathError
from ndb_models.turns import Work

_decode = msgspec.json.Decoder().decode
# Numbers keep their text, so that a change elsewhere in the value does not alter them.
_decode_exactly = msgspec.json.Decoder(float_hook=msgspec.Raw).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

_STEPS_TOGETHER: Final = 64


def places_in(value: bytes, path: Sequence[JSONPathSegment], budget: Budget) -> Nodes:
    """Yield the nodes that a path finds in a value, and None wherever the search may be interrupted.

    Raises:
        PathError: the search is over a budget, or a filter is too complicated.
    """
    budget.require_size(len(value))
    yield from budget.require_containers(value)
    try:
        with garbage.set_aside(value):
            with garbage.paused(value):
                document = _decode(value)
            yield None
            yield from Evaluation(budget).find(path, document)
    except RecursionError as exc:
        raise PathError from exc


def locations_in(value: bytes, path: Sequence[JSONPathSegment], budget: Budget) -> Work[list[Location]]:
    """Return all places that a path finds in a value. Raises the same errors as `places_in`."""
    found: list[Location] = []
    for node in places_in(value, path, budget):
        if node is None:
            yield
            continue
        budget.find()
        found.append(location_of(node, budget))
    return found


def replaced(value: bytes, places: Sequence[Location], new: bytes) -> Work[bytes]:
    """Return the value with `new` at each place. Deep places come first: they may lie inside places replaced later."""
    with garbage.paused(value):
        document = _decode_exactly(value)
    yield
    replacement = msgspec.Raw(new)
    steps = 0
    for place in sorted(places, key=len, reverse=True):
        if not place:
            return new
        *above, last = place
        parent: Any = document
        for step in above:
            parent = parent[step]
        parent[last] = replacement
        steps += len(place)
        if steps >= _STEPS_TOGETHER:
            steps = 0
            yield
    return _encode(document)


def appended(array: bytes, items: bytes) -> bytes | None:
    """Return an array with the items of the array `items` at its end; None if `array` is no array.

    The items are not validated.
    """
    array, items = array.strip(), items.strip()[1:-1].strip()
    if not array.startswith(b"["):
        return None
    before = array[:-1].rstrip()
    return b"%b%b%b]" % (before, b"," if items and before != b"[" else b"", items)


def member_of(value: bytes, name: str) -> bytes | None:
    """Return the text of an object's member; None if it is missing, or the value is no object."""
    if not value.lstrip().startswith(b"{"):
        return None
    member = _decode_members(value).get(name)
    return None if member is None else bytes(member)


def with_member(value: bytes, name: str, text: bytes) -> bytes:
    """Return an object with a new text for one of its members."""
    members = _decode_members(value)
    members[name] = msgspec.Raw(text)
    return _encode(members)
