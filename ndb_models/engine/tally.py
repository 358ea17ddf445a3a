"""Counting what was answered: by command, and by what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from ndb_models.wire.commands import COMMANDS
from ndb_models.wire.statuses import Status

UNKNOWN: Final = "unknown"
"""What stands for the name of a command that is none: clients may make up any number of them."""


class Tally:
    """How many requests were answered. Most succeed, so that those cost one addition, in `succeeded`."""

    __slots__ = ("_others", "succeeded")

    def __init__(self) -> None:
        self.succeeded: dict[str, int] = dict.fromkeys(COMMANDS, 0)
        self._others: Counter[tuple[str, int]] = Counter()

    def note_refusal(self, name: str, status: Status) -> None:
        """Count a request that did not succeed; `name` may be anything."""
        self._others[name if name in COMMANDS else UNKNOWN, int(status)] += 1

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        """Yield (command, status, how many), for all that there were."""
        for name, number in self.succeeded.items():
            if number:
                yield name, COMMANDS[name].success_status, number
        for (name, status), number in sorted(self._others.items()):
            yield name, status, number
