"""Exit statuses, and the one line that an error writes on standard error."""

from __future__ import annotations

import sys
from typing import Final

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130
UNREAD: Final = 141
"""The status that a shell shows for a program whose output pipe has lost its reader."""

FAILURE: Final = "1    it failed; one line on standard error says why"
MISUSE: Final = "2    called or configured wrongly; the line names the flag, the variable or the key in the file"


def complain(message: object, status: int) -> int:
    """Write an error as one line, and return its exit status."""
    sys.stderr.write(f"ndb-models: {message}\n")
    return status


def exit_statuses(*more: str, done: str = "done") -> str:
    """Return the meaning of the exit statuses, for the end of a help.

    Args:
        more: the lines of the statuses that a command has beside 0, 130 and 141, such as `FAILURE`.
        done: the meaning of status 0.
    """
    always = ("130  interrupted (Ctrl-C)", "141  standard output has lost its reader")
    return "\n".join(["exit status:", *(f"  {line}" for line in (f"0    {done}", *more, *always))])
