"""The outcome of a rule of the audit, and times in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from ndb_models.web.audited import Aal, AuditedSettings, Verdict

DAY: Final = 24 * 60 * 60


class Judged(NamedTuple):
    """The outcome of a rule: see `Finding`."""

    verdict: Verdict
    value: str
    advice: str = ""


Judge: TypeAlias = Callable[[AuditedSettings, Aal], Judged | None]
"""A rule. None if the settings do not bear on it."""


def met(value: str) -> Judged:
    """Return that the requirements are met."""
    return Judged(Verdict.MET, value)


def broken(value: str, advice: str) -> Judged:
    """Return that a requirement is broken."""
    return Judged(Verdict.BROKEN, value, advice)


def advised(value: str, advice: str) -> Judged:
    """Return a recommendation of a standard that the settings do not follow."""
    return Judged(Verdict.ADVICE, value, advice)


def shown_time(seconds: int) -> str:
    """Return a time in its largest unit that fits: `30 minutes`."""
    for size, unit in ((DAY, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}{'' if seconds == size else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def written_time(seconds: int) -> str:
    """Return a time as code: `timedelta(minutes=30)`."""
    number, unit = shown_time(seconds).split()
    return f"timedelta({unit.removesuffix('s')}s={number})"
