"""Figures over time: readings of counters become points of charts. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

EVERY: Final = 2.0
"""Seconds between two readings."""

_KEPT: Final = 300
# A quantile of fewer durations says little, but is still shown: an idle server has few.
_MEDIAN: Final = 0.5
_SLOW: Final = 0.99


class Chart(NamedTuple):
    """A chart of the page.

    Attributes:
        title: its heading.
        unit: `count`, `rate` (a second), `seconds` or `bytes`.
        series: the names of its points, with their labels; one label may be empty.
        about: a sentence that explains the figure.
    """

    title: str
    unit: str
    series: Sequence[tuple[str, str]]
    about: str


class Reading(NamedTuple):
    """The figures of one moment. None is a figure that is not known.

    Attributes:
        at: seconds since 1970.
        gauges: figures that are shown as they are.
        counters: figures that only grow; their growth a second is shown. One that is smaller than before, as after a
            restart, begins anew.
        durations: the number of durations in each range of a histogram, not cumulative.
    """

    at: float
    gauges: Mapping[str, float | None]
    counters: Mapping[str, float | None]
    durations: Sequence[int] = ()


class History:
    """The points of the last ten minutes.

    Args:
        bounds: the upper bounds of the histogram in the readings, in seconds. The last range has none.
    """

    def __init__(self, bounds: Sequence[float] = ()) -> None:
        self._bounds = bounds
        self._points: deque[tuple[float, Mapping[str, float | None]]] = deque(maxlen=_KEPT)
        self._before: Reading | None = None

    @property
    def latest(self) -> float:
        """When the latest reading was taken; 0 without one."""
        return self._before.at if self._before is not None else 0.0

    def add(self, reading: Reading) -> None:
        """Add a reading. The first one gives no rates. A reading that is not later than the one before is ignored."""
        before, self._before = self._before, reading
        if before is not None and reading.at <= before.at:
            self._before = before
            return
        point = {**reading.gauges, **_rates(before, reading)}
        if self._bounds:
            grown = _growth(before.durations if before is not None else (), reading.durations)
            point["latency_median"] = quantile(self._bounds, grown, _MEDIAN)
            point["latency_slow"] = quantile(self._bounds, grown, _SLOW)
        self._points.append((reading.at, {name: _rounded(value) for name, value in point.items()}))

    def since(self, after: float) -> dict[str, Any]:
        """Return the points after a time: `times`, and a `series` of values by name, each as long as `times`."""
        points = [(at, point) for at, point in self._points if at > after]
        names = {name for _, point in points for name in point}
        return {
            "times": [round(at, 1) for at, _ in points],
            "series": {name: [point.get(name) for _, point in points] for name in sorted(names)},
        }


def quantile(bounds: Sequence[float], counts: Sequence[int], part: float) -> float | None:
    """Return the duration that this part of all durations does not exceed; None without any.

    Inside of a range it is interpolated. A duration beyond the last bound counts as that bound.
    """
    wanted = part * sum(counts)
    if not wanted:
        return None
    below, seen = 0.0, 0
    for bound, count in zip(bounds, counts, strict=False):
        if count and seen + count >= wanted:
            return below + (bound - below) * (wanted - seen) / count
        below, seen = bound, seen + count
    return bounds[-1]


def _rates(before: Reading | None, reading: Reading) -> dict[str, float | None]:
    if before is None:
        return dict.fromkeys(reading.counters)
    seconds = reading.at - before.at
    rates: dict[str, float | None] = {}
    for name, now in reading.counters.items():
        earlier = before.counters.get(name)
        rates[name] = None if now is None or earlier is None or now < earlier else (now - earlier) / seconds
    return rates


def _growth(before: Sequence[int], now: Sequence[int]) -> Sequence[int]:
    if len(before) != len(now):
        return ()
    return [max(0, later - earlier) for earlier, later in zip(before, now, strict=True)]


def _rounded(value: float | None) -> float | None:
    return float(f"{value:.4g}") if isinstance(value, float) else value
