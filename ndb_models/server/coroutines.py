"""Finish coroutines that were started outside a task and then had to wait."""

from __future__ import annotations

import functools
import types
from collections.abc import Coroutine, Generator
from typing import Any


@types.coroutine
def resumed(started: Coroutine[Any, Any, bytes], waits_for: Any) -> Generator[Any, Any, bytes]:
    """Resume a coroutine that waits for `waits_for`, the value that `send(None)` returned; return its result.

    Its exceptions propagate. A cancellation is thrown into it.
    """
    while True:
        try:
            sent = yield waits_for
        except BaseException as exc:  # noqa: BLE001 - every exception, even a cancellation, goes to the coroutine
            resume = functools.partial(started.throw, exc)
        else:
            resume = functools.partial(started.send, sent)
        try:
            waits_for = resume()
        except StopIteration as done:
            answer: bytes = done.value
            return answer
