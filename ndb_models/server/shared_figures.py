"""The figures of all workers, in memory that they share: each writes its own, and any of them can add them up.

A worker that dies leaves its counters behind, so that sums never fall. Its connections and its memory do not count any
more.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Final, NamedTuple

from ndb_models.engine.answer_counts import UNKNOWN, AnswerCounts
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.statuses import Status
from ndb_models.server.generations import WorkerState
from ndb_models.server.memory_limit import memory_used
from ndb_models.server.traffic import Traffic

_WIDTH: Final = 8
# The gauges come first, then the counters, then the ranges of the histogram.
_GAUGES: Final[Sequence[str]] = ("connections", "handshakes", "resident")
_COUNTERS: Final[Sequence[str]] = (
    "requests",
    "refused",
    "opened",
    "turned_away",
    "received",
    "sent",
    "misses",
    "expired",
)
_RANGES: Final = len(Traffic().batches.bounds) + 1
_FIELDS: Final = len(_GAUGES) + len(_COUNTERS) + _RANGES


class Figures(NamedTuple):
    """Figures of one worker, or of all.

    Attributes:
        gauges: present numbers by name: `connections`, `handshakes`, `resident` (bytes of memory).
        counters: numbers since the start by name: `requests`, `refused` ones, connections that were `opened` or
            `turned_away`, bytes `received` and `sent`, `misses`, sessions that were found `expired`.
        durations: how many reads of input took so long to answer, by the ranges of `Traffic.batches`.
    """

    gauges: dict[str, int]
    counters: dict[str, int]
    durations: list[int]


class SharedFigures:
    """Room for the figures of all workers. Make this before forking them."""

    def __init__(self, workers: int = 1) -> None:
        numbers = memoryview(mmap.mmap(-1, _WIDTH * _FIELDS * workers)).cast("Q")
        self._rows = [numbers[start : start + _FIELDS] for start in range(0, _FIELDS * workers, _FIELDS)]

    def of_worker(self, number: int) -> WorkerFigures:
        """Return the figures of a worker that starts now, in the place of any before it."""
        return WorkerFigures(self._rows[number])

    def total(self, workers: Sequence[WorkerState]) -> Figures:
        """Return the figures of all workers together. Gauges of workers that do not live are left out."""
        sums = [sum(column) for column in zip(*self._rows, strict=True)]
        living = [row for row, state in zip(self._rows, workers, strict=True) if state.served]
        gauges = [sum(row[place] for row in living) for place in range(len(_GAUGES))]
        end = len(_GAUGES) + len(_COUNTERS)
        counters: dict[str, int] = dict(zip(_COUNTERS, sums[len(_GAUGES) : end], strict=True))
        return Figures(dict(zip(_GAUGES, gauges, strict=True)), counters, sums[end:])


class WorkerFigures:
    """The figures of one worker, on top of the counters of workers before it in the same place."""

    def __init__(self, row: memoryview[int]) -> None:
        self._row = row
        self._before = [*row[len(_GAUGES) :]]

    def write(self, traffic: Traffic, answers: AnswerCounts, expired: int) -> None:
        """Write the present figures. `expired` is the number of sessions that this worker found expired."""
        requests = refused = 0
        for command, status, number in answers:
            if command == UNKNOWN and status == Status.COMMAND_NOT_EXIST:
                continue  # mostly the fences of clients, which are no requests of anyone's
            requests += number
            if command not in COMMANDS or status != COMMANDS[command].success_status:
                refused += number
        gauges = (traffic.admitted, traffic.handshakes, memory_used().resident)
        turned_away = traffic.refused.total()
        counters = (
            requests,
            refused,
            traffic.opened,
            turned_away,
            traffic.received,
            traffic.sent,
            traffic.misses,
            expired,
        )
        now = (*gauges, *(map(sum, zip(self._before, (*counters, *traffic.batches.counts), strict=True))))
        for place, number in enumerate(now):
            self._row[place] = number
