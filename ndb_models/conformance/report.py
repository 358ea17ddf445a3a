"""The report of the conformance tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ndb_models.conformance.steps import Section


class Outcome(StrEnum):
    """The outcome of a case. The last three are for oddities, where servers may differ."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    AS_NEMESISDB = "as NemesisDB"
    AS_NDB_MODELS = "as ndb_models"
    OTHERWISE = "otherwise"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a case. `lines` say why it was skipped, or show the first difference."""

    section: Section
    case: str
    outcome: Outcome
    lines: tuple[str, ...] = ()


@dataclass(slots=True)
class ConformanceReport:
    """The results of all cases, in their order. `server` is the version that the server reports."""

    server: str
    results: list[Result] = field(default_factory=list[Result])

    @property
    def is_conforming(self) -> bool:
        """True if no required case failed."""
        return not any(each.section is Section.REQUIRED and each.outcome is Outcome.FAILED for each in self.results)

    def counts(self, section: Section) -> Counter[Outcome]:
        """Return how many cases of a section had each outcome."""
        return Counter(each.outcome for each in self.results if each.section is section)

    def as_json(self) -> dict[str, Any]:
        """Return the report as values of JSON."""
        return {
            "server": self.server,
            "conforming": self.is_conforming,
            "sections": {section: dict(self.counts(section)) for section in Section},
            "cases": [
                {"section": each.section, "case": each.case, "outcome": each.outcome, "lines": [*each.lines]}
                for each in self.results
            ],
        }
