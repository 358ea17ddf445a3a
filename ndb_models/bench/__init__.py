"""Measure a store's throughput and latency, with throw-away sessions."""

from ndb_models.bench.latencies import Measured
from ndb_models.bench.measuring import BenchReport, measure

__all__ = ["BenchReport", "Measured", "measure"]
