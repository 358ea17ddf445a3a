"""Conformance tests of the protocol: does a server answer as NemesisDB 0.7.2 did? They run against any server."""

from ndb_models.conformance.report import ConformanceReport, Outcome, Result
from ndb_models.conformance.running import run_conformance
from ndb_models.conformance.steps import Section

__all__ = ["ConformanceReport", "Outcome", "Result", "Section", "run_conformance"]
