"""Evaluate a JSONPath lazily: find one place after the other, on demand and within a budget.

Places come in the library's order. Every generator here yields None wherever the search may be interrupted.
"""

# Decoded JSON has no types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from jsonpath.filter import (
    BaseExpression,
    FilterExpressionLiteral,
    FilterQuery,
    FunctionExtension,
    InfixExpression,
    ListLiteral,
    Nil,
    PrefixExpression,
    RootFilterQuery,
)
from jsonpath.segments import JSONPathRecursiveDescentSegment, JSONPathSegment
from jsonpath.selectors import Filter, IndexSelector, JSONPathSelector, NameSelector, SliceSelector, WildcardSelector

from ndb_models.engine.paths import Budget, PathError
from ndb_models.turns import Work

Step: TypeAlias = str | int
Location: TypeAlias = tuple[Step, ...]
Node: TypeAlias = tuple[Any, Any, Step]
"""A value, its parent node, and the step from the parent to the value. The parent of the root is None."""
Nodes: TypeAlias = Iterator[Node | None]

_NOTHING: Final = object()
"""The value, in comparisons, of a query that finds no node. JSON has no such value."""


def location_of(node: Node, budget: Budget) -> Location:
    """Return the steps from the root to a node."""
    steps: list[Step] = []
    while node[1] is not None:
        steps.append(node[2])
        node = node[1]
    budget.visit(len(steps))
    return tuple(reversed(steps))


def normalised(location: Location) -> str:
    """Return a place as a normalised path (RFC 9535, section 2.7)."""
    return "$" + "".join([f"[{step}]" if type(step) is int else f"['{_escaped(str(step))}']" for step in location])


def _escaped(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")


def _members(value: Any) -> Iterable[tuple[Step, Any]]:
    """Return the members of an object or the items of an array, with their steps. Other values have none."""
    if type(value) is dict:
        return value.items()
    return enumerate(value) if type(value) is list else ()


class Evaluation:
    """Finds places in one document."""

    def __init__(self, budget: Budget) -> None:
        self._visit = budget.visit
        # Results of queries from the root, in filters. They are the same for every value that a filter tests.
        self._from_root: dict[tuple[int, int, str], Any] = {}

    def find(self, segments: Sequence[JSONPathSegment], root: Any) -> Nodes:
        """Return the nodes that a path finds below a root.

        Raises:
            PathError: a budget is exceeded, or RFC 9535 lacks a selector in the path. Raised while the nodes are taken.
        """
        nodes: Nodes = iter(((root, None, ""),))
        for segment in segments:
            nodes = self._segment(segment, nodes, root)
        return nodes

    def _segment(self, segment: JSONPathSegment, nodes: Nodes, root: Any) -> Nodes:
        descends = isinstance(segment, JSONPathRecursiveDescentSegment)
        for node in nodes:
            if node is None:
                yield None
                continue
            for place in self._descendants(node) if descends else (node,):
                if place is None:
                    yield None
                    continue
                for selector in segment.selectors:
                    yield from self._select(selector, place, root)

    def _descendants(self, node: Node) -> Nodes:
        """Yield a node, and the arrays and objects below it, each before its own contents."""
        yield node
        waiting = [(node, iter(_members(node[0])))]
        while waiting:
            parent, members = waiting[-1]
            for step, value in members:
                if self._visit():
                    yield None
                if type(value) is dict or type(value) is list:
                    child = (value, parent, step)
                    yield child
                    waiting.append((child, iter(_members(value))))
                    break
            else:
                waiting.pop()

    def _select(self, selector: JSONPathSelector, node: Node, root: Any) -> Nodes:
        if self._visit():
            yield None
        value = node[0]
        if isinstance(selector, NameSelector):
            if type(value) is dict and selector.name in value:
                yield value[selector.name], node, selector.name
        elif isinstance(selector, IndexSelector):
            if type(value) is list and -len(value) <= selector.index < len(value):
                yield value[selector.index], node, selector.index % len(value)
        elif isinstance(selector, SliceSelector):
            if type(value) is list and selector.slice.step != 0:
                for index in range(*selector.slice.indices(len(value))):
                    if self._visit():
                        yield None
                    yield value[index], node, index
        elif isinstance(selector, (WildcardSelector, Filter)):
            test = selector.expression.expression if isinstance(selector, Filter) else None
            for step, member in _members(value):
                if self._visit():
                    yield None
                if test is None or (yield from self._holds(test, member, root)):
                    yield member, node, step
        else:  # pragma: no cover - no strict path has others, with this version of the library
            raise PathError

    # Filters

    def _holds(self, test: BaseExpression, current: Any, root: Any) -> Work[bool]:
        """Return True if an expression is true of a value."""
        if isinstance(test, InfixExpression):
            if test.operator == "&&":
                return (yield from self._holds(test.left, current, root)) and (
                    yield from self._holds(test.right, current, root)
                )
            if test.operator == "||":
                return (yield from self._holds(test.left, current, root)) or (
                    yield from self._holds(test.right, current, root)
                )
            left = yield from self._value(test.left, current, root)
            right = yield from self._value(test.right, current, root)
            yield  # comparing two values may take long: each may have a megabyte
            return _compare(left, test.operator, right)
        if isinstance(test, PrefixExpression):
            return not (yield from self._holds(test.right, current, root))
        if isinstance(test, FilterQuery):
            return bool((yield from self._query(test, current, root, "exists")))
        return _is_true((yield from self._value(test, current, root)))

    def _value(self, expression: BaseExpression, current: Any, root: Any) -> Work[Any]:
        """Return the value of an expression in a comparison."""
        if isinstance(expression, FilterExpressionLiteral):
            return expression.value
        if isinstance(expression, Nil):
            return None
        if isinstance(expression, FilterQuery):
            return (yield from self._query(expression, current, root, "first"))
        if isinstance(expression, FunctionExtension):
            (argument,) = expression.args
            if expression.name == "length":
                sized = yield from self._value(argument, current, root)
                return len(sized) if isinstance(sized, (str, list, dict)) else _NOTHING
            assert isinstance(argument, FilterQuery)
            return (yield from self._query(argument, current, root, expression.name))
        if isinstance(expression, ListLiteral):
            items: list[Any] = []
            for item in expression.items:
                items.append((yield from self._value(item, current, root)))  # noqa: PERF401 - yields
            return items
        return (yield from self._holds(expression, current, root))

    def _query(self, query: FilterQuery, current: Any, root: Any, wanted: str) -> Work[Any]:
        """Return the result of a query: whether it `exists`, the `first` value, the only `value`, or the `count`."""
        if not isinstance(query, RootFilterQuery):
            return (yield from self._answer(query, current, wanted))
        key = (id(query), id(root), wanted)
        if key not in self._from_root:
            self._from_root[key] = yield from self._answer(query, root, wanted)
        return self._from_root[key]

    def _answer(self, query: FilterQuery, start: Any, wanted: str) -> Work[Any]:
        if not isinstance(start, (dict, list)):
            if not query.path.empty():
                return {"exists": False, "count": 0}.get(wanted, _NOTHING)
            return {"exists": _is_true(start), "count": 1}.get(wanted, start)
        number = 0
        first = _NOTHING
        for node in self.find(query.path.segments, start):
            if node is None:
                yield
                continue
            number += 1
            if number == 1:
                first = node[0]
            if wanted in ("exists", "first"):
                break
        if wanted == "value":
            return first if number == 1 else _NOTHING
        return {"exists": number > 0, "count": number}.get(wanted, first)


def _is_true(value: Any) -> bool:
    if value is _NOTHING:
        return False
    return value is None or bool(value)


def _compare(left: Any, operator: str, right: Any) -> bool:
    match operator:
        case "==":
            return _equal(left, right)
        case "!=":
            return not _equal(left, right)
        case "<":
            return _less(left, right)
        case ">":
            return _less(right, left)
        case "<=":
            return _less(left, right) or _equal(left, right)
        case ">=":
            return _less(right, left) or _equal(left, right)
        case _:
            return False


def _equal(left: Any, right: Any) -> bool:
    if left is _NOTHING or right is _NOTHING:
        return left is right
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _less(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    return isinstance(left, (int, float)) and isinstance(right, (int, float)) and left < right
