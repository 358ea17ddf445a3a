"""Watching a configuration, synchronously."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from pydantic import BaseModel

from ndb_models.config import ConfigChange, ConfigWatch
from ndb_models.errors import ConfigProblem
from ndb_models.sync.portal import Portal
from ndb_models.uncopyable import Uncopyable

C = TypeVar("C", bound=BaseModel)


class SyncConfigWatch(Uncopyable, Iterator[ConfigChange[C]], Generic[C]):
    """An iterator over the changes of a stored configuration. Made by `SyncConfigRepository.watch`.

    `ConfigWatch` documents its guarantees. A step that is interrupted, for example by Ctrl-C, loses no change: the next
    step goes on. Only one step runs at a time: another thread needs a watch of its own.
    """

    INSTEAD = "make one where it is needed, config.watch()"

    def __init__(self, portal: Portal, watch: ConfigWatch[C]) -> None:
        self._portal = portal
        self._watch = watch

    @property
    def current(self) -> C | None:
        """A copy of the last good configuration. None before the first step if there is no `since`."""
        return self._watch.current

    @property
    def problems(self) -> tuple[ConfigProblem, ...]:
        """The problems at the last look. Empty while the stored configuration fits."""
        return self._watch.problems

    def __next__(self) -> ConfigChange[C]:
        try:
            return self._portal.call(self._watch.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """End the iteration. A waiting step ends at its next look. Closing twice does no harm."""
        self._portal.call(self._watch.aclose)
