"""The report on a sample of stored sessions: numbers, fields and reasons, and never a value or a token."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from ndb_models.schema_check.judging_stored import Judged, Readability

# An open model may have any names of keys.
_MOST_PROBLEMS: Final = 200
_FURTHER: Final = ("(other fields)", f"further problems, beyond the first {_MOST_PROBLEMS}")


@dataclass(slots=True)
class SampleReport:
    """The outcome of reading stored sessions of one schema by the code at hand.

    Attributes:
        schema: the name of the schema in the store.
        model: the name of the class.
        version: the version of the class.
        versions: how many live sessions there are of each stored version, inside and outside of the sample.
        incomplete: sessions with an unfinished creation. They are not judged.
        is_sample: True if not every session was to be read.
        gone: drawn sessions that had ended when they were to be read.
        outcomes: how many sessions were read as they are, upgraded, and so on. Those of newer and of too old versions
            are all counted, by their reserved keys.
        problems: how many sessions have this problem: (version, field, reason).
        shortened: sessions read that the class's expiry would end earlier.
    """

    schema: str
    model: str
    version: int
    is_sample: bool = False
    versions: Counter[int] = field(default_factory=Counter[int])
    incomplete: int = 0
    gone: int = 0
    outcomes: Counter[Readability] = field(default_factory=Counter[Readability])
    problems: Counter[tuple[int, str, str]] = field(default_factory=Counter[tuple[int, str, str]])
    shortened: int = 0

    @property
    def live(self) -> int:
        """The number of live sessions of the schema."""
        return self.versions.total()

    @property
    def looked_at(self) -> int:
        """The number of sessions that were read and judged."""
        return self.outcomes.total() - self.outcomes[Readability.NEWER] - self.outcomes[Readability.OLDER]

    @property
    def broken(self) -> int:
        """The number of sessions that the code at hand cannot read."""
        return sum(count for outcome, count in self.outcomes.items() if outcome.is_broken)

    def add(self, version: int, judged: Judged) -> None:
        """Count a session of this stored version that was judged."""
        self.outcomes[judged.readability] += 1
        for place, reason in dict.fromkeys(judged.problems):
            key = (version, place, reason)
            is_known = key in self.problems or len(self.problems) < _MOST_PROBLEMS
            self.problems[key if is_known else (version, *_FURTHER)] += 1

    def as_json(self) -> dict[str, Any]:
        """Return the report as values of JSON."""
        return {
            "schema": self.schema,
            "model": self.model,
            "version": self.version,
            "live": self.live,
            "versions": {str(version): count for version, count in sorted(self.versions.items())},
            "incomplete": self.incomplete,
            "drawn": "random sample of each version" if self.is_sample else "all",
            "read": self.looked_at,
            "gone": self.gone,
            "upgraded": self.outcomes[Readability.UPGRADED],
            "invalid": self.outcomes[Readability.INVALID],
            "upgradeFailed": self.outcomes[Readability.NOT_UPGRADED],
            "newer": self.outcomes[Readability.NEWER],
            "older": self.outcomes[Readability.OLDER],
            "shortened": self.shortened,
            "broken": self.broken,
            "problems": [
                {"version": version, "field": place, "reason": reason, "sessions": count}
                for (version, place, reason), count in self.problems.most_common()
            ],
        }
