"""The findings of `ndb-models schema check` and `freeze` on a model, as lines for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from ndb_models.schema.model import SessionModel
from ndb_models.schema_check.freezing import Frozen, Outcome, Verdict


class Look(NamedTuple):
    """A model, its file, and the comparison of the two."""

    model: type[SessionModel]
    path: Path
    now: Frozen
    verdict: Verdict
    gap: str | None
    is_exact: bool
    one_way: bool

    @property
    def breaks_old_code(self) -> bool:
        """True if old processes would refuse sessions of the model, and may still run."""
        return bool(self.verdict.for_old_code) and not self.one_way

    @property
    def is_well(self) -> bool:
        """True if nothing breaks."""
        return self.gap is None and self.verdict.outcome.is_well and not self.breaks_old_code


def lines_of(look: Look, problem: str | None) -> list[str]:
    """Return the lines on a model. `problem` is a remark of the command."""
    outcome = look.verdict.outcome
    is_of_old_code = outcome is Outcome.COMPATIBLE and look.breaks_old_code
    found = _BREAKING_OLD_CODE if is_of_old_code else outcome.value
    lines = [f"{look.now.schema}: {found}{f'; {problem}' if problem else ''}"]
    lines += [f"  {what}: {place} {reason}" for _, place, what, reason in sorted(_found(look.verdict))]
    if look.gap is not None:
        lines.append(f"  {look.gap}")
    if look.verdict.outcome is Outcome.UPGRADED and not look.one_way:
        lines.append(f"  {_REFUSED_BY_OLD_CODE}")
    advice = _advice(look)
    if advice:
        lines.append(f"  {advice}")
    return lines


def as_json(look: Look, problem: str | None) -> dict[str, Any]:
    """Return the same as values of JSON."""
    return {
        "schema": look.now.schema,
        "model": look.model.__qualname__,
        "version": look.now.version,
        "file": str(look.path),
        "outcome": look.verdict.outcome.value,
        "breaks_old_processes": look.breaks_old_code,
        "problem": problem or look.gap,
        "differences": [
            {"effect": what, "place": place, "reason": reason}
            for _, place, what, reason in sorted(_found(look.verdict))
        ],
        "advice": _advice(look),
    }


_REFUSED_BY_OLD_CODE: Final = (
    "old processes refuse sessions that new ones have written, with NewerVersionError; if none run then, say --one-way"
)
_BREAKING_OLD_CODE: Final = "breaks old processes"


def _found(verdict: Verdict) -> Iterator[tuple[int, str, str, str]]:
    """Yield each difference: its rank, its place, its effect, and its reason."""
    breaking = "left to the upgrade" if verdict.outcome is Outcome.UPGRADED else "breaks reading of stored sessions"
    for each in verdict.differences:
        what = breaking if each.breaking else "compatible"
        yield 0 if each.breaking else 2, each.place, what, each.reason
    for each in verdict.for_old_code:
        yield 1, each.place, "breaks old processes during the rollout", each.reason


def _advice(look: Look) -> str | None:
    version = look.now.version
    if look.verdict.outcome is Outcome.COMPATIBLE and look.breaks_old_code:
        return (
            "old processes would refuse what these models write: deploy code first that reads it and does not write it"
            " yet; or stop the old processes first, and say --one-way; or declare a new version"
        )
    match look.verdict.outcome:
        case Outcome.BREAKING:
            return (
                f"sessions that are stored would break: declare version={version + 1} and @{look.model.__name__}"
                f".upgrade({version}), or make the change compatible"
            )
        case Outcome.DOWNGRADED:
            return f"the file is of a later version than {version}: a version never goes back"
        case Outcome.NEW:
            return "run `ndb-models schema freeze`, and commit the file"
        case Outcome.COMPATIBLE | Outcome.UPGRADED:
            return "run `ndb-models schema freeze` again, and commit the file"
        case Outcome.SAME:
            return None if look.is_exact else "the file has another format: run `ndb-models schema freeze` again"
