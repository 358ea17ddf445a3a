"""Several processes on one port: a parent starts workers, restarts those that die, and tells all to stop.

Each worker listens on the port itself (`SO_REUSEPORT`), and the system spreads the connections over them. The parent
serves no clients. It must have no threads and no event loop when it forks the workers.

The parent blocks all signals that it acts on, and waits for them one by one. A worker inherits the blocking: no signal
reaches it before its handlers are set.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NoReturn

from ndb_models.errors import InvalidArgumentError
from ndb_models.server.generations import Generations, WorkerState
from ndb_models.server.listening import listening_on
from ndb_models.types import Clock

_logger = logging.getLogger(__name__)

# For the parent only; a worker unblocks them. A worker sends SIGUSR1 to make the parent look at its state.
_OF_PARENT: Final = (signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1)
_AWAITED: Final = (*_OF_PARENT, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# Seconds before a worker that could not start is started again: twice as long each time.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
# A worker that was ready is replaced at once, unless it lived for less than this many seconds.
_SHORT_LIFE: Final = 1.0


def hold_port(host: str, port: int) -> socket.socket:
    """Reserve a port for the workers without listening on it; 0 is any free one. The caller closes the socket.

    Raises:
        InvalidArgumentError: this system cannot share ports or fork.
        OSError: the socket cannot be bound to the address.
    """
    if not hasattr(socket, "SO_REUSEPORT") or not hasattr(os, "fork"):
        raise InvalidArgumentError("this system cannot share a port among processes: leave --workers out")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with listening_on(host, port):
            held.bind((host, port))
    except BaseException:
        held.close()
        raise
    return held


class Stage(Enum):
    """The stages of all workers together."""

    READY = "every worker takes clients, but for those that cannot start"
    RELOADING = "tokens and certificates are read anew"
    RELOADED = "every living worker has taken or refused what was read"
    STOPPING = "they were told to stop"


@dataclass(slots=True)
class _Worker:
    """A worker across restarts: `pid` is None while it does not run, and `due` is the time of its next start."""

    state: WorkerState
    pid: int | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0


class Supervisor:
    """Keeps workers running.

    Args:
        generations: holds the states of the workers, one for each worker.
        work: called in the worker with its state; returns the exit status. It must note in the state when the worker is
            ready. SIGTERM, SIGINT and SIGHUP are blocked until it unblocks them.
        stop_within: seconds after which workers that were told to stop are killed.
        report: called in the parent when all workers together reach a stage.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        generations: Generations,
        work: Callable[[WorkerState], int],
        *,
        stop_within: float,
        report: Callable[[Stage], None] = lambda _: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._generations = generations
        self._work = work
        self._stop_within = stop_within
        self._report = report
        self._clock = clock
        self._workers = [_Worker(state) for state in generations.workers]
        self._told_ready = self._reloading = False
        # True once a worker has been ready.
        self._proven = False
        # When the remaining workers are killed; None until they are told to stop.
        self._kill_at: float | None = None
        self._status = 0

    def run(self) -> int:
        """Start the workers and wait for the last to end; return the exit status.

        It is 0 if all stopped when told to. It is 1 if no worker could start, or if one did not stop in time or failed
        while stopping.

        One worker starts alone, and the others once it is ready. If it fails, the next is tried. After that, a worker
        that dies is replaced; one that cannot start is tried again, after a pause that grows to five seconds. The
        others serve on.

        SIGTERM and SIGINT tell them to stop, and SIGHUP to reload. The process must end after this: the signals stay
        blocked.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        signal.signal(signal.SIGCHLD, _ignore)  # an ignored signal, even if ignored since exec, would not be delivered
        try:
            self._look()
            while self._kill_at is None or self._alive():
                number = signal.sigwait(_AWAITED)
                if number == signal.SIGHUP:
                    self._reload()
                elif number in (signal.SIGTERM, signal.SIGINT):
                    self._stop()
                self._look()
        finally:
            self._tell(signal.SIGKILL)  # no worker is left, except after an error here
        return self._status

    def _alive(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.pid is not None]

    def _look(self) -> None:
        """Do all work that is due, after any signal, and set the alarm for the next."""
        self._note_ready()
        self._bury()
        now = self._clock()
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._kill()
            self._wake_in(self._kill_at - now if now < self._kill_at else 0)
            return
        for worker in self._due(now):
            self._start(worker)
        self._note_reloaded()
        pauses = [worker.due - now for worker in self._workers if worker.pid is None]
        self._wake_in(max(min(pauses), 0.001) if pauses and (self._proven or not self._alive()) else 0)

    def _wake_in(self, seconds: float) -> None:
        """Set SIGALRM to come after these seconds; 0 cancels it."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _due(self, now: float) -> list[_Worker]:
        """Return the workers to start now: only one at a time until one has been ready."""
        if self._proven:
            return [worker for worker in self._workers if worker.pid is None and worker.due <= now]
        untried = [worker for worker in self._workers if worker.pid is None and not worker.failures]
        return [] if self._alive() else untried[:1]

    def _start(self, worker: _Worker) -> None:
        worker.state.born()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as exc:
            _logger.error("a worker cannot be started: %s", exc.strerror)
            self._died(worker, was_ready=False)
            return
        if not pid:
            self._live(worker.state, parent)
        worker.pid, worker.started = pid, self._clock()
        _logger.info("worker started", extra={"fields": {"pid": pid, "generation": worker.state.served}})

    def _live(self, state: WorkerState, parent: int) -> NoReturn:
        """Run as a worker, from the fork to the exit."""
        status = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_PARENT)

            def notify() -> None:
                if os.getppid() == parent:  # pragma: no branch - else the parent was killed
                    os.kill(parent, signal.SIGUSR1)

            state.notify = notify
            status = self._work(state)
        except BaseException:
            _logger.exception("worker failed")
        finally:
            try:
                logging.shutdown()
                sys.stdout.flush()
            finally:
                os._exit(status)  # in any case: a worker must never continue as its parent

    def _bury(self) -> None:
        for worker in self._alive():
            assert worker.pid is not None
            ended, how = os.waitpid(worker.pid, os.WNOHANG)
            if ended:
                worker.pid = None
                self._ended(worker, ended, os.waitstatus_to_exitcode(how))

    def _ended(self, worker: _Worker, pid: int, status: int) -> None:
        was_ready = worker.state.ready
        worker.state.died()
        if self._kill_at is not None:
            self._status = self._status or int(was_ready and status != 0)
            return
        self._died(worker, was_ready=was_ready)
        pause = round(max(worker.due - self._clock(), 0), 1)
        event = "worker died" if was_ready else "worker did not start"
        _logger.warning(event, extra={"fields": {"pid": pid, "status": status, "next_in": pause}})

    def _died(self, worker: _Worker, *, was_ready: bool) -> None:
        """Set the time of the worker's next start; stop if no worker could ever start."""
        now = self._clock()
        worker.state.died()
        if was_ready:
            worker.failures = 0
            pause = 0 if now - worker.started >= _SHORT_LIFE else _FIRST_PAUSE
        else:
            worker.failures += 1
            pause = min(_FIRST_PAUSE * 2 ** (worker.failures - 1), _LONGEST_PAUSE)
        worker.due = now + pause
        if not self._proven and all(each.failures for each in self._workers):
            _logger.error("no worker can start")
            self._status = 1
            self._stop()

    def _note_ready(self) -> None:
        self._proven = self._proven or any(worker.state.ready for worker in self._workers)
        if self._proven and not self._told_ready and all(each.state.ready or each.failures for each in self._workers):
            self._told_ready = True
            self._report(Stage.READY)

    def _reload(self) -> None:
        if self._kill_at is None:
            self._generations.ask()
            self._reloading = True
            self._report(Stage.RELOADING)
            self._tell(signal.SIGHUP)

    def _note_reloaded(self) -> None:
        generations = self._generations
        if not self._reloading or not generations.is_tried:
            return
        self._reloading = False
        refused = [state for state in generations.workers if 0 < state.served < generations.asked]
        fields = {"generation": generations.asked, "workers": len(self._alive()), "refused": len(refused)}
        if refused:
            _logger.error("the reload is not done: workers serve an older generation", extra={"fields": fields})
        else:
            _logger.info("every worker is reloaded", extra={"fields": fields})
        self._report(Stage.RELOADED)

    def _stop(self) -> None:
        if self._kill_at is None:
            self._kill_at = self._clock() + self._stop_within
            self._report(Stage.STOPPING)
        self._tell(signal.SIGTERM)

    def _kill(self) -> None:
        for worker in self._alive():
            _logger.error("worker did not stop in time, and is killed", extra={"fields": {"pid": worker.pid}})
        self._status = 1
        self._tell(signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._alive():
            assert worker.pid is not None
            os.kill(worker.pid, number)


def _ignore(_number: int, _frame: object) -> None:
    """Handle a signal that is only waited for."""
