"""Watching a configuration: an iterator over its changes.

The protocol has no way to be told of changes, so the store is looked at again and again. What is looked at is compared
as text first: where nothing has changed, nothing is parsed. The iterator starts no task and holds nothing open.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic

from ndb_models.errors import (
    ConfigProblem,
    ConnectError,
    ConnectionLostError,
    InvalidArgumentError,
    NdbError,
    ProtocolError,
    RequestTimeoutError,
    StoredConfigError,
)
from ndb_models.repository.config_access import C, ConfigAccess
from ndb_models.types import Clock
from ndb_models.uncopyable import Uncopyable

_logger = logging.getLogger(__name__)

# What may be otherwise at the next look. That the client is closed, or the server refuses, is not.
_PASSING: Final = (ConnectError, ConnectionLostError, ProtocolError, RequestTimeoutError)


@dataclass(frozen=True, slots=True)
class ConfigChange(Generic[C]):
    """That a configuration changed: from `old` to `new`, both valid, in these `fields`, at least one."""

    old: C
    new: C
    fields: tuple[str, ...]


class ConfigWatch(Uncopyable, AsyncIterator[ConfigChange[C]]):
    """An iterator over the changes of a stored configuration. Made by `ConfigRepository.watch`.

    - Each change that is seen is yielded once, in order; its `old` is the `new` of the one before. Changes between two
      looks come as one, and one that was undone between two looks is not seen. So it is with a consumer that takes
      longer than the interval: nothing piles up.
    - What is yielded is valid. While what is stored does not fit the model, as a whole, the last good configuration
      stays, and `on_invalid` is called (or a warning is logged), once for each set of problems. When it fits again,
      that is a change if it differs from the last good one.
    - Another formatting of the same values is no change, nor is a key written that says what the default says.
    - A connection that is lost, a server that is not there, and an answer that cannot be read are logged, once, and
      waited out.

    The first step looks at once. Without `since` it only takes what is stored for the last good configuration, and
    raises `StoredConfigError` where that does not fit: there would be none.

    A step that is cancelled, by a time-out for instance, loses nothing: the next goes on. Each step ends with an error
    of the client that is closed (`NotConnectedError`), and with what the server refuses (`ResponseError`); after an
    error it may be asked again. One step at a time: another consumer needs a watch of its own.
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
        _check_interval(interval)
        self._access = access
        self._interval = interval
        self._on_invalid = on_invalid or _log_invalid
        self._clock = clock
        self._sleep = sleep
        # The last good configuration, in nobody's hands.
        self._good: C | None = access.checked(since).model_copy(deep=True) if since is not None else None
        # What was stored at the last look.
        self._seen: Mapping[str, bytes] | None = None
        self._problems: tuple[ConfigProblem, ...] = ()
        # When to look next.
        self._due = -math.inf
        self._lost = False
        self._stepping = False
        self._closed = False

    @property
    def current(self) -> C | None:
        """A copy of the last good configuration; None before the first step, where there is no `since`."""
        return self._good.model_copy(deep=True) if self._good is not None else None

    @property
    def problems(self) -> tuple[ConfigProblem, ...]:
        """What did not fit at the last look; nothing while what is stored fits."""
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
        """End the iteration. A step that is waiting ends at its next look. Closing twice does no harm."""
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
        """Return what is stored, or None if the store gives no answer."""
        try:
            texts = await self._access.read()
        except _PASSING as exc:
            self._note_lost(exc)
            return None
        if self._lost:
            self._lost = False
            _logger.info("%s: the store answers again", self._access.name)
        return texts

    def _note_lost(self, error: NdbError) -> None:
        if not self._lost:
            self._lost = True
            _logger.warning(
                "%s: the store gives no answer, the last good configuration is kept: %s", self._access.name, error
            )

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
        fields = self._access.differing(old, new)
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


def _check_interval(interval: object) -> None:
    if isinstance(interval, bool) or not isinstance(interval, (int, float)) or not 0 < interval < math.inf:
        raise InvalidArgumentError("interval= is a positive number of seconds")
