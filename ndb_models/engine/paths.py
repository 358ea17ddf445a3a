"""JSONPaths (RFC 9535) and what looking for them may cost.

The library parses; `evaluation` evaluates. The functions `match` and `search` are left out: their patterns come from
the client, and a regular expression can keep a server busy for as long as its writer likes.
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

from ndb_models.texts import containers_exceed
from ndb_models.turns import Work

_ENVIRONMENT: Final = JSONPathEnvironment(strict=True)
# A string, or a comma outside of strings.
_BEFORE_COLON: Final = re.compile(r"""('(?:[^'\\]|\\.)*+'?|"(?:[^"\\]|\\.)*+"?)|,(?=:)""", re.DOTALL)
for _function in ("match", "search"):
    del _ENVIRONMENT.function_extensions[_function]

# Between two of these a search may be interrupted.
_VISITS_TOGETHER: Final = 64


class PathError(ValueError):
    """The text is not a JSONPath of RFC 9535, or asks for more than a budget allows.

    Attributes:
        budget: the name of the budget that was met; empty where it is no JSONPath.
    """

    def __init__(self, budget: str = "", most: float = 0) -> None:
        self.budget = budget
        super().__init__(f"the search is over its budget of {budget}: at most {most}" if budget else "no JSONPath")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLimits:
    """What a path may cost.

    Args:
        length: characters of the path.
        selectors: selectors in the path, those in its filters too.
        nodes: values that are visited, each as often as it is.
        results: places that are found.
        size: bytes of one value that is looked into.
        containers: arrays and objects in one such value, and in a frame.
        seconds: time that looking takes.
    """

    length: int = 4096
    selectors: int = 256
    nodes: int = 1_000_000
    results: int = 20_000
    size: int = 1024 * 1024
    containers: int = 200_000
    seconds: float = 2.0


class Budget:
    """What is left of what a path may cost, for one request."""

    __slots__ = ("_limits", "_nodes", "_results")

    def __init__(self, limits: PathLimits) -> None:
        self._limits = limits
        self._nodes = limits.nodes
        self._results = limits.results

    def visit(self, nodes: int = 1) -> bool:
        """Count visited values; return whether it is time to let others go on.

        Raises:
            PathError: there are more than may be.
        """
        before = self._nodes
        self._nodes = left = before - nodes
        if left < 0:
            raise PathError("nodes", self._limits.nodes)
        return left // _VISITS_TOGETHER != before // _VISITS_TOGETHER

    def find(self) -> None:
        """Count a place that was found.

        Raises:
            PathError: there are more than may be.
        """
        self._results -= 1
        if self._results < 0:
            raise PathError("results", self._limits.results)

    def require_containers(self, value: bytes) -> Work[None]:
        """Let a value have so many arrays and objects.

        Raises:
            PathError: it may not.
        """
        if (yield from containers_exceed(value, self._limits.containers)):
            raise PathError("arrays and objects", self._limits.containers)

    def require_size(self, size: int, most: int | None = None) -> None:
        """Let a value or an answer be so large, in bytes.

        Raises:
            PathError: it may not.
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
        PathError: `text` is not one, or is over a budget.
    """
    if len(text) > limits.length:
        raise PathError("length", limits.length)
    try:
        path = _ENVIRONMENT.compile(_spaced(text))
        if not isinstance(path, JSONPath):
            raise PathError
        for number, _ in enumerate(_selectors(path), 1):
            if number > limits.selectors:
                raise PathError("selectors", limits.selectors)
    except PathError:
        raise
    except (JSONPathError, RecursionError, ValueError, OverflowError) as exc:  # the last two for odd numbers
        raise PathError from exc
    return path.segments


def _spaced(text: str) -> str:
    """Return a path with a space between a comma and a colon: without it the library refuses `[0,:]`."""
    return _BEFORE_COLON.sub(lambda found: found[1] or ", ", text) if ",:" in text else text


def _selectors(path: JSONPath) -> Iterator[object]:
    """Yield the selectors of a path, and those of the queries in its filters."""
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
