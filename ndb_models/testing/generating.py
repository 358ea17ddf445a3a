"""Finds instances that a store would refuse or change. Needs the extra `testing`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel

from ndb_models.errors import InvalidArgumentError
from ndb_models.testing.round_trips import Problem, RoundTrip
from ndb_models.testing.type_strategies import TypeStrategies

B = TypeVar("B", bound=BaseModel)

_checks: Any = HealthCheck  # an enumeration, which its stub does not say
_search = settings(
    max_examples=50,
    derandomize=True,  # a test that passes today passes tomorrow
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(_checks),
    phases=[Phase.generate, Phase.shrink],
    verbosity=Verbosity.quiet,
)


def find_problem(trip: RoundTrip[B]) -> Iterator[tuple[B, Sequence[Problem]]]:
    """Yield an instance with problems, as simple as possible, and its problems. Yield nothing if all instances pass.

    Raises:
        InvalidArgumentError: no instance can be made.
    """
    with contextlib.suppress(Unsatisfiable):
        yield from _found(trip, TypeStrategies().of_model(trip.model))
        return
    try:
        yield from _found(trip, TypeStrategies(only_required=True).of_model(trip.model))
    except Unsatisfiable:
        raise InvalidArgumentError(
            f"Hypothesis made no instance of {trip.model.__name__} that its validators take: give instances"
        ) from None


def _found(trip: RoundTrip[B], instances: SearchStrategy[B]) -> Iterator[tuple[B, Sequence[Problem]]]:
    found: list[tuple[B, Sequence[Problem]]] = []

    @_search
    @given(instances)
    def check(instance: B) -> None:
        problems = trip.problems(instance)
        if problems:
            found.append((instance, problems))
        assert not problems

    try:
        check()
    except AssertionError:
        yield found[-1]
