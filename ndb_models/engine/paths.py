"""JSONPaths (RFC 9535), and limits on the cost of a search.

The library parses; `evaluation` evaluates. The functions `match` and `search` are left out. Their patterns come from
the client, and a malicious regular expression can keep a server busy for any length of time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jsonpath import JSONPathEnvironment
from jsonpath.exceptions import JSONPathError
from jsonpath.filter import BaseExpression, FilterQuery
from jsonpath.path import JSONPath
from jsonpath.segments import JSONPathSegment
from jsonpath.selectors import Filter

from ndb_models.errors import NdbError
from ndb_models.json_text import containers_exceed
from ndb_models.turns import Work

_ENVIRONMENT: Final = JSONPathEnvironment(strict=True)
# A string, or a comma before a colon outside any string.
_BEFORE_COLON: Final = re.compile(r"""('(?:[^'\\]|\\.)*+'?|"(?:[^"\\]|\\.)*+"?)|,(?=:)""", re.DOTALL)
for _function in ("match", "search"):
    del _ENVIRONMENT.function_extensions[_function]

# Visited values between two points where a search may be interrupted.
_VISITS_TOGETHER: Final = 64


class PathError(NdbError, ValueError):
    """The text is not a JSONPath of RFC 9535, or the search is over a budget.

    Attributes:
        budget: the name of the exceeded budget; empty if the path is invalid or too complicated.
        most: the limit of that budget.
    """

    def __init__(self, budget: str = "", most: float = 0) -> None:
        self.budget = budget
        self.most = most
        super().__init__(f"the search is over its budget of {budget}: at most {most}" if budget else "no JSONPath")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLimits:
    """Limits on a path and its search.

    Args:
        length: characters in the path.
        selectors: selectors in the path and in its filters.
        nodes: visited values; a value counts again at each visit.
        results: found places. `KV_FIND` counts them only for an answer with paths.
        size: bytes of one value to search.
        containers: arrays and objects in one value to search, and in a large frame.
        seconds: working time of the search, without waits between turns.
    """

    length: int = 4096
    selectors: int = 256
    nodes: int = 1_000_000
    results: int = 20_000
    size: int = 1024 * 1024
    containers: int = 100_000
    seconds: float = 2.0


class Budget:
    """The remaining budget of one request for its path."""

    __slots__ = ("_limits", "_nodes", "_results")

    def __init__(self, limits: PathLimits) -> None:
        self._limits = limits
        self._nodes = limits.nodes
        self._results = limits.results

    def visit(self, nodes: int = 1) -> bool:
        """Count visited values; return True if the search may be interrupted now.

        Raises:
            PathError: the visits exceed the budget.
        """
        before = self._nodes
        self._nodes = left = before - nodes
        if left < 0:
            raise PathError("nodes", self._limits.nodes)
        return left // _VISITS_TOGETHER != before // _VISITS_TOGETHER

    def find(self) -> None:
        """Count a found place.

        Raises:
            PathError: the places exceed the budget.
        """
        self._results -= 1
        if self._results < 0:
            raise PathError("results", self._limits.results)

    def require_containers(self, value: bytes) -> Work[None]:
        """Check the number of arrays and objects in a value.

        Raises:
            PathError: the value has too many.
        """
        if (yield from containers_exceed(value, self._limits.containers)):
            raise PathError("arrays and objects", self._limits.containers)

    def require_size(self, size: int, most: int | None = None) -> None:
        """Check the size of a value or an answer in bytes. `most` is by default the limit for a value.

        Raises:
            PathError: the size exceeds the limit.
        """
        most = self._limits.size if most is None else most
        if size > most:
            raise PathError("bytes", most)

    def out_of_time(self) -> PathError:
        """Return the error for a search that took too long."""
        return PathError("seconds", self._limits.seconds)


def compile_path(text: str, limits: PathLimits) -> tuple[JSONPathSegment, ...]:
    """Return the segments of a JSONPath.

    Raises:
        PathError: `text` is not a JSONPath, or is over a budget.
    """
    if len(text) > limits.length:
        raise PathError("length", limits.length)
    try:
        path = _ENVIRONMENT.compile(_spaced(text))
        assert isinstance(path, JSONPath), "a strict path is never a compound one"
        for number, _ in enumerate(_selectors(path), 1):
            if number > limits.selectors:
                raise PathError("selectors", limits.selectors)
    except PathError:
        raise
    except (JSONPathError, RecursionError, ValueError, OverflowError) as exc:  # odd numbers raise the last two
        raise PathError from exc
    return path.segments


def _spaced(text: str) -> str:
    """Return a path with a space between comma and colon. Without it, the library refuses `[0,:]`."""
    return _BEFORE_COLON.sub(lambda found: found[1] or ", ", text) if ",:" in text else text


def _selectors(path: JSONPath) -> Iterator[object]:
    """Yield the selectors of a path and of the queries in its filters."""
    waiting: list[JSONPath | BaseExpression] = [path]
    while waiting:
        part = waiting.pop()
        if isinstance(part, BaseExpression):
            waiting.extend([part.path] if isinstance(part, FilterQuery) else part.children())
            continue
        for segment in part.segments:
            for selector in segment.selectors:
                yield selector
                if isinstance(selector, Filter):
                    waiting.append(selector.expression)
