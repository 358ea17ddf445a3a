"""The findings of the doctor: severity, fact and remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple, TypeAlias, TypeVar

F = TypeVar("F")


class Severity(StrEnum):
    """How bad a finding is: all right; worth knowing; may do harm; does harm, or keeps it from working."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One finding.

    Attributes:
        severity: how bad it is.
        rule: the name of the rule, such as `tls`.
        what: the fact, in words. Never a secret.
        advice: the remedy; empty where none is needed.
    """

    severity: Severity
    rule: str
    what: str
    advice: str = ""


Rule: TypeAlias = Callable[[F], Iterable[Finding]]
"""Judges facts. Yields no finding if they do not bear on it."""


def fine(rule: str, what: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Severity.OK, rule, what)


def note(rule: str, what: str, advice: str = "") -> Finding:
    """Return something worth knowing."""
    return Finding(Severity.NOTE, rule, what, advice)


def warning(rule: str, what: str, advice: str) -> Finding:
    """Return something that may do harm."""
    return Finding(Severity.WARNING, rule, what, advice)


def problem(rule: str, what: str, advice: str) -> Finding:
    """Return something that does harm, or keeps it from working."""
    return Finding(Severity.PROBLEM, rule, what, advice)


def shown_bytes(size: int) -> str:
    """Return a size in a unit that people read: `1.5 GiB`."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            return f"{size / 1024**power:.1f} {unit}"
    return f"{size} bytes"
