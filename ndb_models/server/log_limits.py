"""Log lines that an attack cannot multiply."""

from __future__ import annotations

import logging
import time
from typing import Final

from ndb_models.types import Clock

_SECONDS_BETWEEN: Final = 60.0


class LogLimit:
    """Writes a warning at most once a minute, with the number of warnings left out since the last one."""

    def __init__(self, logger: logging.Logger, clock: Clock = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._next: float | None = None
        self._left_out = 0

    def warn(self, event: str, **fields: object) -> None:
        """Write the warning, unless one was written less than a minute ago."""
        now = self._clock()
        if self._next is not None and now < self._next:
            self._left_out += 1
            return
        self._next = now + _SECONDS_BETWEEN
        self._logger.warning(event, extra={"fields": {**fields, "left_out": self._left_out}})
        self._left_out = 0
