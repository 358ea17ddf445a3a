"""Watching a configuration: an iterator over its changes.

The protocol cannot report changes, so the store is looked at again and again. The texts are compared first: without a
change, no text is parsed. The iterator starts no task and holds no resource open.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic

from ndb_models.config.access import C, ConfigAccess
from ndb_models.errors import (
    ConfigProblem,
    InvalidArgumentError,
    NotConnectedError,
    StoredConfigError,
    UnavailableError,
)
from ndb_models.sessions.polling import Outage, check_interval
from ndb_models.types import Clock
from ndb_models.uncopyable import Uncopyable

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConfigChange(Generic[C]):
    """A change of a configuration: from `old` to `new`, both valid, in these `fields`, at least one."""

    old: C
    new: C
    fields: tuple[str, ...]


class ConfigWatch(Uncopyable, AsyncIterator[ConfigChange[C]]):
    """An iterator over the changes of a stored configuration. Made by `ConfigRepository.watch`.

    - Each change that is seen is yielded once, in order. Its `old` is the `new` of the one before. Changes between two
      looks come as one, and a change that was undone between two looks is not seen. The same holds if a consumer takes
      longer than the interval: changes do not pile up.
    - Every yielded configuration is valid. While the stored configuration as a whole does not fit the model, the last
      good one stays. `on_invalid` is then called (or a warning is logged), once for each set of problems. When it fits
      again, that is a change if it differs from the last good one.
    - Another formatting of the same values is not a change. Nor is a key that is written with the value of its default.
    - A lost connection, an absent server or store, and an unreadable answer are logged, once, and waited out.

    The first step looks at once. Without `since` it only takes the stored configuration as the last good one. It raises
    `StoredConfigError` if that does not fit, since there is no good one then.

    A step that is cancelled, for example by a time-out, loses no change: the next step goes on. A step raises
    `NotConnectedError` if the client is closed, and `ResponseError` if the server refuses. After an error another step
    may be tried. Only one step runs at a time: another consumer needs a watch of its own.
    """

    INSTEAD = "make one where it is needed, config.watch()"

    def __init__(
        self,
        access: ConfigAccess[C],
        *,
        since: C | None,
        interval: float,
        on_invalid: Callable[[StoredConfigError], None] | None,
        clock: Clock,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        check_interval("interval=", interval)
        self._access = access
        self._interval = interval
        self._on_invalid = on_invalid or _log_invalid
        self._clock = clock
        self._sleep = sleep
        # The last good configuration, never handed out itself.
        self._good: C | None = access.checked(since).model_copy(deep=True) if since is not None else None
        # The texts at the last look.
        self._seen: Mapping[str, bytes] | None = None
        self._problems: tuple[ConfigProblem, ...] = ()
        # When to look next.
        self._due = -math.inf
        self._outage = Outage(_logger, access.name, "the last good configuration is kept")
        self._stepping = False
        self._closed = False

    @property
    def current(self) -> C | None:
        """A copy of the last good configuration. None before the first step if there is no `since`."""
        return self._good.model_copy(deep=True) if self._good is not None else None

    @property
    def problems(self) -> tuple[ConfigProblem, ...]:
        """The problems at the last look. Empty while the stored configuration fits."""
        return self._problems

    async def __anext__(self) -> ConfigChange[C]:
        if self._stepping:
            raise InvalidArgumentError("this watch is waited for by another task; each needs one of its own: watch()")
        self._stepping = True
        try:
            while not self._closed:
                change = await self._next_look()
                if change is not None:
                    return change
        finally:
            self._stepping = False
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the iteration. A waiting step ends at its next look. Closing twice does no harm."""
        self._closed = True

    async def _next_look(self) -> ConfigChange[C] | None:
        pause = self._due - self._clock()
        if pause > 0:
            await self._sleep(pause)
            if self._closed:
                return None
        texts = await self._read()
        self._due = self._clock() + self._interval
        return self._compare(texts) if texts is not None else None

    async def _read(self) -> Mapping[str, bytes] | None:
        """Return the stored texts, or None if the store gives no answer."""
        try:
            texts = await self._access.space.read()
        except NotConnectedError:  # the client was closed
            raise
        except UnavailableError as exc:
            self._outage.goes_on(exc)
            return None
        self._outage.is_over()
        return texts

    def _compare(self, texts: Mapping[str, bytes]) -> ConfigChange[C] | None:
        if texts == self._seen:
            return None
        try:
            new = self._access.load(texts)
        except StoredConfigError as exc:
            if self._good is None:
                raise
            self._seen = texts
            self._report(exc)
            return None
        self._seen, self._problems = texts, ()
        old = self._good
        if old is None:
            self._good = new
            return None
        fields = self._access.codec.differing(old, new)
        if not fields:
            return None
        self._good = new.model_copy(deep=True)
        return ConfigChange(old, new, fields)

    def _report(self, error: StoredConfigError) -> None:
        known, self._problems = self._problems, error.problems
        if known != error.problems:
            self._on_invalid(error)


def _log_invalid(error: StoredConfigError) -> None:
    _logger.warning("the last good configuration is kept: %s", error)
