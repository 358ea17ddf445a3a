"""Going on in a task with a coroutine that was started outside of one."""

from __future__ import annotations

import functools
import types
from collections.abc import Coroutine, Generator
from typing import Any


@types.coroutine
def resumed(started: Coroutine[Any, Any, bytes], waits_for: Any) -> Generator[Any, Any, bytes]:
    """Go on with a coroutine that has been started outside of a task and waits for something."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as exc:  # noqa: BLE001 - whatever is thrown in, cancellation too, is the coroutine's
            resume = functools.partial(started.throw, exc)
        else:
            resume = functools.partial(started.send, sent)
        try:
            waits_for = resume()
        except StopIteration as done:
            answer: bytes = done.value
            return answer
