"""Count answers by command and status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.statuses import Status

UNKNOWN: Final = "unknown"
"""The name under which all unknown commands are counted: clients may invent any number of names."""


class AnswerCounts:
    """Counts answered requests. Most succeed, so a success costs only one addition, in `succeeded`."""

    __slots__ = ("_others", "succeeded")

    def __init__(self) -> None:
        self.succeeded: dict[str, int] = dict.fromkeys(COMMANDS, 0)
        self._others: Counter[tuple[str, int]] = Counter()

    def note_refusal(self, name: str, status: Status) -> None:
        """Count a request that did not succeed; `name` may be anything."""
        self._others[name if name in COMMANDS else UNKNOWN, int(status)] += 1

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        """Yield (command, status, number) for every pair with an answer."""
        for name, number in self.succeeded.items():
            if number:
                yield name, COMMANDS[name].success_status, number
        for (name, status), number in sorted(self._others.items()):
            yield name, status, number
