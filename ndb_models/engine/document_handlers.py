"""The commands that look inside values of the shared map: `KV_FIND`, `KV_UPDATE`, `KV_ARR_APPEND`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from jsonpath.segments import JSONPathSegment

from ndb_models.engine.context import AnyRequest, Body, Context, too_large
from ndb_models.engine.documents import appended, locations_in, member_of, places_in, replaced, with_member
from ndb_models.engine.evaluation import Location, location_of, normalised
from ndb_models.engine.paths import Budget, PathError, compile_path
from ndb_models.engine.requests import MAX_VALUE_NESTING
from ndb_models.json_text import ObjectText, nesting_exceeds
from ndb_models.protocol.statuses import Status
from ndb_models.stores.contract import SHARED
from ndb_models.turns import T, Turns, Work, in_turns

# Values read at a time: a store on a disk copies them all.
_READ_TOGETHER: Final = 16


class _Search:
    """The search of one request: its path, its remaining budget, and its answer so far."""

    def __init__(self, context: Context, path: str) -> None:
        limits = context.limits.paths
        self.path: Sequence[JSONPathSegment] = compile_path(path, limits)
        self.budget = Budget(limits)
        self.paths: list[str] = []
        self.values: dict[str, bytes] = {}
        self._turns = Turns(limits.seconds)
        self._size = 0
        self._largest = context.limits.answer

    async def do(self, work: Work[T]) -> T:
        """Carry out work in turns.

        Raises:
            PathError: the search takes too long.
        """
        try:
            return await self._turns.do(work)
        except TimeoutError:
            raise self.budget.out_of_time() from None

    def note_paths(self, values: Mapping[str, bytes]) -> Work[None]:
        """Note every place that the path finds in `values`."""
        for value in values.values():
            for node in places_in(value, self.path, self.budget):
                if node is not None:
                    self.budget.find()
                    place = normalised(location_of(node, self.budget))
                    self.paths.append(place)
                    self._grow(len(place))
                yield
            yield

    def note_values(self, values: Mapping[str, bytes], *, whole: bool) -> Work[None]:
        """Note the values in which the path finds a place: as `whole` values, or only their names."""
        for name, value in values.items():
            for node in places_in(value, self.path, self.budget):
                if node is not None:
                    self.values[name] = value if whole else b""
                    self._grow(len(name) + len(self.values[name]))
                    break
                yield
            yield

    def _grow(self, size: int) -> None:
        self._size += size
        self.budget.require_size(self._size, self._largest)


def _path_refused(error: PathError) -> dict[str, Any]:
    return {"m": str(error), "st": Status.PATH_INVALID} if error.budget else {"st": Status.PATH_INVALID}


async def kv_find(context: Context, request: AnyRequest) -> Body:
    """Search values, a few at a time. Each is read when its turn comes, so they are not all as of one moment."""
    store, given, wanted = context.store, request.body.get("keys"), request.body["rsp"]
    try:
        search = _Search(context, request.body["path"])
        names = list(dict.fromkeys(name for name in given if type(name) is str)) if given else await store.names(SHARED)
        for start in range(0, len(names), _READ_TOGETHER):
            values = await store.get(SHARED, names[start : start + _READ_TOGETHER])
            if wanted == "paths":
                await search.do(search.note_paths(values))
            else:
                await search.do(search.note_values(values, whole=wanted == "kv"))
    except PathError as exc:
        return _path_refused(exc)
    match wanted:
        case "paths":
            return {"paths": search.paths, "st": Status.OK}
        case "kv":
            return {"keys": ObjectText.joined(search.values), "st": Status.OK}
        case _:
            return {"keys": list(search.values), "st": Status.OK}


async def kv_update(context: Context, request: AnyRequest) -> Body:
    """Write a value to every place that a path finds. If the value changes meanwhile, start again."""
    store, name, new = context.store, request.body["key"], request.values
    try:
        search: _Search | None = None
        while True:
            old = (await store.get(SHARED, [name])).get(name)
            if old is None:
                return {"cnt": 0, "st": Status.KEY_NOT_EXIST}
            search = search or _Search(context, request.body["path"])
            places: list[Location] = await search.do(locations_in(old, search.path, search.budget))
            if not places:
                return {"cnt": 0, "st": Status.OK}
            if len(old) + len(places) * len(new) > context.limits.answer:
                raise too_large(request.command.name, context.limits.answer)
            changed = await search.do(replaced(old, places, new))
            if await search.do(nesting_exceeds(changed, MAX_VALUE_NESTING)):
                return {"cnt": 0, "st": Status.VALUE_SIZE}
            if await store.change(SHARED, {name: changed}, expected={name: old}):
                return {"cnt": len(places), "st": Status.OK}
    except PathError as exc:
        return {"cnt": 0, **_path_refused(exc)}


async def kv_arr_append(context: Context, request: AnyRequest) -> Body:
    """Append items to an array: the value itself, or its member `name`. If the value changes meanwhile, start again.

    An array is not decoded. An object is, so it must be within the `size` of `PathLimits`.
    """
    store, key, name = context.store, request.body["key"], request.body.get("name")
    deepest = MAX_VALUE_NESTING - (name is not None)
    too_deep = await in_turns(nesting_exceeds(request.values, deepest))
    while True:
        old = (await store.get(SHARED, [key])).get(key)
        if old is None:
            return {"st": Status.KEY_NOT_EXIST}
        if name is not None and len(old) > context.limits.paths.size:
            raise too_large(request.command.name, context.limits.paths.size)
        array = old if name is None else member_of(old, name)
        longer = None if array is None else appended(array, request.values)
        if longer is None:
            return {"st": Status.UNKNOWN}
        new = longer if name is None else with_member(old, name, longer)
        if too_deep:
            return {"st": Status.VALUE_SIZE}
        if len(new) > context.limits.answer:
            raise too_large(request.command.name, context.limits.answer)
        if await store.change(SHARED, {key: new}, expected={key: old}):
            return {"st": Status.OK}
