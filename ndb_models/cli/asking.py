"""Ask before data is lost."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Generator
from typing import Annotated, Final, TypeAlias

import typer

from ndb_models.errors import InvalidArgumentError

YesOption: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRunOption: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]

_YES: Final = ("y", "yes")


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask a question on the terminal; return True if the answer is yes, or if `--yes` was given.

    The question goes to standard error: standard output is for programs.

    Raises:
        InvalidArgumentError: there is no terminal to ask on.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidArgumentError("this asks first, and standard input is no terminal: give --yes")
    with _interruptible():
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in _YES


@contextlib.contextmanager
def _interruptible() -> Generator[None]:
    """Let Ctrl-C end the wait for an answer. An event loop's own handler would act only after the answer."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
