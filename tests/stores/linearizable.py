"""Checks that a history of operations on one register could have happened one after the other, each at one moment.

The search goes back to Wing and Gong: an operation may come next if no other ended before it began. What was tried is
remembered by the operations done and the register's value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass
class Operation:
    """An operation that began and ended at some time; `end` is infinite, and `result` None, if its fate is unknown."""

    kind: Literal["read", "write", "change"]
    start: float
    old: bytes | None = None
    new: bytes | None = None
    end: float = math.inf
    result: bytes | bool | None = None

    @property
    def is_known(self) -> bool:
        return self.end != math.inf

    def after(self, value: bytes | None) -> tuple[bool, bytes | None]:
        """Tell whether this may have had its result when the register held a value, and the value afterwards."""
        match self.kind:
            case "read":
                return not self.is_known or self.result == value, value
            case "write":
                return True, self.new
            case "change":
                fits = value == self.old
                return not self.is_known or self.result is fits, self.new if fits else value


def is_linearizable(history: Sequence[Operation], initial: bytes | None) -> bool:
    """Tell whether the operations of a history on one register fit some order that keeps to their times."""
    operations = sorted(history, key=lambda each: each.start)
    everything = (1 << len(operations)) - 1
    unknown = sum(1 << number for number, each in enumerate(operations) if not each.is_known)
    waiting = [(0, initial)]
    seen = {(0, initial)}
    while waiting:
        done, value = waiting.pop()
        if done | unknown == everything:  # an operation of unknown fate may never have happened
            return True
        earliest_end = min(each.end for number, each in enumerate(operations) if not done >> number & 1)
        for number, operation in enumerate(operations):
            if operation.start > earliest_end:
                break
            if done >> number & 1:
                continue
            fits, after = operation.after(value)
            state = (done | 1 << number, after)
            if fits and state not in seen:
                seen.add(state)
                waiting.append(state)
    return False
