"""What handlers get, what they return, and what they have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ndb_models.engine.datasets import DataSets
from ndb_models.engine.paths import PathLimits
from ndb_models.engine.requests import Call, RefusedError
from ndb_models.stores.contract import Scope, Store
from ndb_models.texts import ObjectText
from ndb_models.wire.prepared import Prepared
from ndb_models.wire.statuses import Status

Body: TypeAlias = Mapping[str, Any]

OK: Final[Body] = {"st": Status.OK}
"""The body of an answer that says success and nothing else."""


_PATHS: Final = PathLimits()
_ANSWER: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What one request may cost. Sizes in bytes.

    Args:
        paths: what a JSONPath may.
        answer: how large the keys in an answer may be together, where there are several, and a value that `KV_UPDATE`
            and `KV_ARR_APPEND` make.
    """

    paths: PathLimits = field(default_factory=PathLimits)
    answer: int = _ANSWER

    @classmethod
    def for_payload(
        cls,
        max_payload: int,
        *,
        seconds: float = _PATHS.seconds,
        nodes: int = _PATHS.nodes,
        results: int = _PATHS.results,
        containers: int | None = None,
        answer: int | None = None,
    ) -> EngineLimits:
        """Return the limits for requests of at most so many bytes.

        What one request stores can be searched, and read in one answer. So the size of a value that is looked into,
        arrays and objects, and answers grow with `max_payload` beyond 1 MiB. They are never below their defaults.

        Args:
            max_payload: bytes of the largest request.
            seconds: as of `PathLimits`.
            nodes: as of `PathLimits`.
            results: as of `PathLimits`.
            containers: as of `PathLimits`; None for the default, in proportion to `max_payload`.
            answer: as of this class; None for the default, or twice `max_payload` if that is more.
        """
        size = max(_PATHS.size, max_payload)
        if containers is None:
            containers = _PATHS.containers * size // _PATHS.size
        paths = PathLimits(nodes=nodes, results=results, size=size, containers=containers, seconds=seconds)
        return cls(paths=paths, answer=max(_ANSWER, 2 * max_payload) if answer is None else answer)


_LARGEST: Final = 2**31
IN_PROCESS: Final = EngineLimits(
    paths=PathLimits(nodes=_LARGEST, results=_LARGEST, size=_LARGEST, containers=_LARGEST, seconds=60.0),
    answer=_LARGEST,
)
"""For callers in this process, who harm nobody but themselves."""


@dataclass(frozen=True, slots=True)
class Context:
    """What handlers work on."""

    store: Store
    data_sets: DataSets
    limits: EngineLimits


AnyCall: TypeAlias = Call | Prepared
"""A request, from a frame or from this process."""

Handler: TypeAlias = Callable[[Context, Scope, AnyCall], Awaitable[Body]]


def strings(items: list[object] | tuple[str, ...]) -> tuple[str, ...]:
    """Return what of a `keys` array counts: entries that are not strings are passed over.

    Whoever gives a tuple answers for it that it holds strings.
    """
    return items if type(items) is tuple else tuple([item for item in items if type(item) is str])


def size_of(keys: Mapping[str, bytes]) -> int:
    """Return the bytes of names and values, near enough."""
    return sum(map(len, keys)) + sum(map(len, keys.values()))


def joined(command: str, keys: Mapping[str, bytes], most: int) -> ObjectText:
    """Return keys as one text. A single value may be of any size, since it could be stored.

    Raises:
        RefusedError: they are larger together than an answer may be.
    """
    if type(keys) is ObjectText:
        return keys
    if len(keys) > 1 and size_of(keys) > most:
        raise too_large(command, most)
    return ObjectText.joined(keys)


def too_large(command: str, most: int) -> RefusedError:
    """Return the refusal of a request whose answer, or whose value, would be too large."""
    return RefusedError(command, Status.VALUE_SIZE, f"the answer or the value would be larger than {most} bytes")
