"""The verbs on a map of keys as rows, so that a test can say what holds for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ndb_models.stores.contract import Scope, Store

Verb: TypeAlias = Callable[[Store, Scope], Awaitable[object]]

WRITING: dict[str, Verb] = {
    "set": lambda store, scope: store.set(scope, {"a": b"2"}),
    "add": lambda store, scope: store.add(scope, {"b": b"2"}),
    "change": lambda store, scope: store.change(scope, {"a": b"2"}, expected={"a": b"1"}),
}
GETTING: dict[str, Verb] = {"get": lambda store, scope: store.get(scope, ["a"])}
OTHERS: dict[str, Verb] = {
    "get_all": lambda store, scope: store.get_all(scope),
    "remove": lambda store, scope: store.remove(scope, ["a"]),
    "clear": lambda store, scope: store.clear(scope),
    "replace": lambda store, scope: store.replace(scope, {"b": b"2"}),
    "count": lambda store, scope: store.count(scope),
    "names": lambda store, scope: store.names(scope),
    "contains": lambda store, scope: store.contains(scope, ["a"]),
}
ON_A_MAP: dict[str, Verb] = {**WRITING, **GETTING, **OTHERS}


async def inform(store: Store, scope: Scope) -> object:
    assert scope is not None
    return await store.info(scope)


async def look(store: Store, scope: Scope) -> object:
    assert scope is not None
    return await store.exist([scope])


async def export(store: Store, scope: Scope) -> object:
    assert scope is not None
    return await store.export([scope])


NEVER_EXTENDING: dict[str, Verb] = {
    **OTHERS,
    "info": inform,
    "exist": look,
    "export": export,
    "totals": lambda store, _scope: store.totals(),
    "sweep": lambda store, _scope: store.sweep(),
}
ALL_BUT_WRITING: dict[str, Verb] = {**GETTING, **NEVER_EXTENDING}
ALL_BUT_GETTING: dict[str, Verb] = {**WRITING, **NEVER_EXTENDING}
ALL: dict[str, Verb] = {**ON_A_MAP, **NEVER_EXTENDING}
