"""The types that handlers take and return, the limits of a request, and code that handlers share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ndb_models.engine.datasets import DataSets
from ndb_models.engine.paths import PathLimits
from ndb_models.engine.requests import RefusedError, Request
from ndb_models.protocol.prepared import Prepared
from ndb_models.protocol.statuses import Status
from ndb_models.stores.contract import Store
from ndb_models.types import UNBOUNDED

Body: TypeAlias = dict[str, Any]

OK: Final[Body] = {"st": Status.OK}
"""The body of a bare success."""

DONE: Final[Body] = {"done": True, "st": Status.OK}
"""The body of the answer to a change that could have been refused, and was made."""


_PATHS: Final = PathLimits()
_ANSWER: Final = 8 * 1024 * 1024
# No limit in practice.
_LARGEST: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Limits on the cost of one request. Sizes are in bytes.

    Args:
        paths: the limits of a JSONPath.
        answer: the largest answer, if it holds several keys, names or places. Also the largest value that `KV_UPDATE`
            and `KV_ARR_APPEND` make.
    """

    paths: PathLimits = field(default_factory=PathLimits)
    answer: int = _ANSWER

    @property
    def most(self) -> int | None:
        """`answer`, or None if that is no limit in practice: then the size of no answer is worked out."""
        return self.answer if self.answer < _LARGEST else None

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
        """Return the limits for requests of at most `max_payload` bytes.

        A client can search the value that one request stored, and read it in one answer. So `size`, `containers` and
        `answer` grow with `max_payload` beyond 1 MiB. They are never below their
        defaults.

        Args:
            max_payload: bytes of the largest request.
            seconds: see `PathLimits`.
            nodes: see `PathLimits`.
            results: see `PathLimits`.
            containers: see `PathLimits`; None for the default, in proportion to `max_payload` beyond 1 MiB.
            answer: see this class; None for the default, or twice `max_payload` if that is more.
        """
        size = max(_PATHS.size, max_payload)
        if containers is None:
            containers = _PATHS.containers * size // _PATHS.size
        paths = PathLimits(nodes=nodes, results=results, size=size, containers=containers, seconds=seconds)
        return cls(paths=paths, answer=max(_ANSWER, 2 * max_payload) if answer is None else answer)


IN_PROCESS: Final = EngineLimits(
    paths=PathLimits(nodes=UNBOUNDED, results=UNBOUNDED, size=UNBOUNDED, containers=UNBOUNDED, seconds=60.0),
    answer=UNBOUNDED,
)
"""For callers in this process: an expensive request harms only its own process."""


@dataclass(frozen=True, slots=True)
class Context:
    """The store, data sets and limits that handlers work with."""

    store: Store
    data_sets: DataSets
    limits: EngineLimits


AnyRequest: TypeAlias = Request | Prepared
"""A request, from a frame or from this process."""


def too_large(command: str, most: int) -> RefusedError:
    """Return the refusal of a request with an answer, or a value, of more than `most` bytes."""
    return RefusedError(command, Status.VALUE_SIZE, f"the answer or the value would be larger than {most} bytes")
