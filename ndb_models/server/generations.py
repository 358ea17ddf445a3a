"""Which generation of tokens, certificate and settings is asked for, and which one each worker serves.

A generation is what the files said at one reading. The first has the number 1, and each reload asks for the next. The
numbers are in memory that a parent and its workers share, so that each can tell of all. A single process is one worker.

A worker looks which generation is asked for before it reads the files. So what it reads is of that one, or newer.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Final

_WIDTH: Final = 8
# Where the numbers are that all share.
_ASKED, _LOADED, _GUARDED, _SHARED = range(4)
# Where the numbers are that each worker has.
_TRIED, _SERVED, _READY, _OWN = range(4)


class Generations:
    """The numbers of all workers. To be made before they are forked.

    Args:
        workers: how many there are at most.
    """

    def __init__(self, workers: int = 1) -> None:
        size = _SHARED + _OWN * workers
        self._numbers = memoryview(mmap.mmap(-1, _WIDTH * size)).cast("Q")
        self._numbers[_ASKED] = 1
        self.workers: tuple[WorkerState, ...] = tuple(
            WorkerState(self, self._numbers[start : start + _OWN]) for start in range(_SHARED, size, _OWN)
        )

    @property
    def asked(self) -> int:
        """The generation that is to be served: one more with each reload."""
        return self._numbers[_ASKED]

    def ask(self) -> int:
        """Ask for the next generation; return its number. Workers do not ask: their parent does."""
        self._numbers[_ASKED] += 1
        return self.asked

    @property
    def oldest(self) -> int:
        """The oldest generation that a living worker serves, or may serve once it is ready; 0 if none is alive."""
        return min((state.served for state in self.workers if state.served), default=0)

    @property
    def is_tried(self) -> bool:
        """True if every living worker has taken or refused what is asked for, or will read it when it starts."""
        return all(state.tried >= self.asked for state in self.workers if state.served)

    @property
    def loaded(self) -> bool:
        """True once data sets were loaded. What has changed since must not be loaded over."""
        return bool(self._numbers[_LOADED])

    def note_loaded(self) -> None:
        """Say that they were."""
        self._numbers[_LOADED] = 1

    @property
    def guarded(self) -> bool:
        """True once a worker asked its clients for tokens: none is open to everyone from then on."""
        return bool(self._numbers[_GUARDED])

    def note_guarded(self) -> None:
        """Say that one does."""
        self._numbers[_GUARDED] = 1


class WorkerState:
    """What one worker says of itself. It writes that itself; its parent does while it is not alive."""

    def __init__(self, generations: Generations, numbers: memoryview) -> None:
        self.generations = generations
        # Called after each change: has the parent look.
        self.notify: Callable[[], None] = _nothing
        self._numbers = numbers

    @property
    def tried(self) -> int:
        """The last generation that it took, or refused because it could not be used."""
        return self._numbers[_TRIED]

    @property
    def served(self) -> int:
        """The generation that it serves; 0 if it is not alive."""
        return self._numbers[_SERVED]

    @property
    def ready(self) -> bool:
        """True once it takes clients."""
        return bool(self._numbers[_READY])

    def born(self) -> None:
        """Say that it is about to start: it will read what is asked for now, or newer."""
        self._numbers[_TRIED] = self._numbers[_SERVED] = self.generations.asked

    def died(self) -> None:
        """Say that it is not alive."""
        self._numbers[_TRIED] = self._numbers[_SERVED] = self._numbers[_READY] = 0

    def note_ready(self) -> None:
        """Say that it takes clients."""
        self._numbers[_READY] = 1
        self.notify()

    def note_served(self, generation: int) -> None:
        """Say that it serves a generation, and nothing older."""
        self._numbers[_SERVED] = generation
        self.note_tried(generation)

    def note_tried(self, generation: int) -> None:
        """Say that it looked at a generation, and still serves the one before if that could not be used."""
        self._numbers[_TRIED] = generation
        self.notify()


def _nothing() -> None:
    return
