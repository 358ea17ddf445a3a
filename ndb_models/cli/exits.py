"""Exit statuses, and the one line that an error writes on standard error."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

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


def exit_statuses(*more: str) -> dict[str, Any]:
    """Return parser options that end the help with the meaning of the exit statuses."""
    lines = ["exit status:", "  0    done", *(f"  {line}" for line in more), "  130  interrupted (Ctrl-C)"]
    return {"epilog": "\n".join(lines), "formatter_class": argparse.RawDescriptionHelpFormatter}
