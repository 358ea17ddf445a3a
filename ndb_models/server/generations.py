"""The generation of tokens, certificate and settings that was asked for, and the one that each worker serves.

A generation is the content of the files at one reading. The first has the number 1, and each reload asks for the next.
A parent and its workers share the numbers in memory, so that each can report on all. A single process is one worker.

A worker notes the generation that is asked for before it reads the files. So it reads that generation or a newer one.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Final

_WIDTH: Final = 8
# Positions of the numbers that all share.
_ASKED, _LOADED, _GUARDED, _SHARED = range(4)
# Positions of each worker's own numbers.
_TRIED, _SERVED, _READY, _OWN = range(4)


class Generations:
    """The numbers of all workers. Make this before forking them.

    Args:
        workers: the most workers there may be.
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
        """The generation to serve: one more with each reload."""
        return self._numbers[_ASKED]

    def ask(self) -> int:
        """Ask for the next generation; return its number. Only the parent of workers asks, never a worker."""
        self._numbers[_ASKED] += 1
        return self.asked

    @property
    def oldest(self) -> int:
        """The oldest generation that a living worker serves, or may serve once it is ready; 0 if none lives."""
        return min((state.served for state in self.workers if state.served), default=0)

    @property
    def is_tried(self) -> bool:
        """True if every living worker took or refused the generation asked for, or will read it at its start."""
        return all(state.tried >= self.asked for state in self.workers if state.served)

    @property
    def loaded(self) -> bool:
        """True once data sets were loaded. Loading them again would overwrite later changes."""
        return bool(self._numbers[_LOADED])

    def note_loaded(self) -> None:
        """Note that data sets were loaded."""
        self._numbers[_LOADED] = 1

    @property
    def guarded(self) -> bool:
        """True once a worker requires tokens: from then on, no worker may be open to everyone."""
        return bool(self._numbers[_GUARDED])

    def note_guarded(self) -> None:
        """Note that a worker requires tokens."""
        self._numbers[_GUARDED] = 1


class WorkerState:
    """The state of one worker. The worker writes it; while the worker is not alive, its parent does."""

    def __init__(self, generations: Generations, numbers: memoryview) -> None:
        self.generations = generations
        # Called after each change, to wake the parent.
        self.notify: Callable[[], None] = _nothing
        self._numbers = numbers

    @property
    def tried(self) -> int:
        """The last generation that it took, or refused as unusable."""
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
        """Note that the worker is about to start: it will read the generation asked for now, or a newer one."""
        self._numbers[_TRIED] = self._numbers[_SERVED] = self.generations.asked

    def died(self) -> None:
        """Note that the worker is not alive."""
        self._numbers[_TRIED] = self._numbers[_SERVED] = self._numbers[_READY] = 0

    def note_ready(self) -> None:
        """Note that the worker takes clients."""
        self._numbers[_READY] = 1
        self.notify()

    def note_served(self, generation: int) -> None:
        """Note the generation that the worker serves from now on."""
        self._numbers[_SERVED] = generation
        self.note_tried(generation)

    def note_tried(self, generation: int) -> None:
        """Note that the worker tried a generation; if it was unusable, the worker still serves the one before."""
        self._numbers[_TRIED] = generation
        self.notify()


def _nothing() -> None:
    return
