"""Measure what a store does a second, with throw-away sessions of its own."""

from ndb_models.bench.latencies import Measured
from ndb_models.bench.measuring import BenchReport, measure

__all__ = ["BenchReport", "Measured", "measure"]
