"""Several processes on one port: a parent that starts them, starts those again that die, and tells all to stop.

Each listens on the port itself (`SO_REUSEPORT`), and the system spreads the connections over them. The parent serves
nobody. It must have no threads and no event loop when it starts them: they are forks of it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.server.listening import listening_on
from ndb_models.types import Clock

_logger = logging.getLogger(__name__)

# One that dies sooner would die again: it is not started again, and all stop.
_SHORTEST_LIFE: Final = 1.0
_AWAITED: Final = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def hold_port(host: str, port: int) -> socket.socket:
    """Take a port without listening on it, so that workers may share it; 0 is any that is free. Close it at the end.

    Raises:
        InvalidArgumentError: this system cannot share ports.
        OSError: the address cannot be listened on.
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


class Supervisor:
    """Keeps `count` workers running; `work` is what one does, and returns its exit status."""

    def __init__(self, count: int, work: Callable[[], int], *, clock: Clock = time.monotonic) -> None:
        self._count = count
        self._work = work
        self._clock = clock
        # When each was started, by its process id.
        self._started: dict[int, float] = {}
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        """Start the workers, and stay until the last has ended; return 0 if they were told to end, 1 if one failed.

        SIGTERM and SIGINT tell them to stop, SIGHUP is passed on. A worker that dies is replaced. One that dies in its
        first second, or says that it failed, is not: then all are told to stop.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        try:
            for _ in range(self._count):
                self._start(before)
            while self._started:
                number = signal.sigwait(_AWAITED)
                if number == signal.SIGCHLD:
                    self._bury(before)
                elif number == signal.SIGHUP:
                    self._tell(signal.SIGHUP)
                else:
                    self._stop()
        finally:
            self._tell(signal.SIGKILL)  # there is none left, unless something went wrong here
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self._status

    def _start(self, mask: set[signal.Signals | int]) -> None:
        worker = os.fork()
        if worker:
            self._started[worker] = self._clock()
            _logger.info("worker started", extra={"fields": {"pid": worker}})
            return
        status = 1
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            status = self._work()
        except BaseException:
            _logger.exception("worker failed")
        finally:
            logging.shutdown()
            sys.stdout.flush()
            os._exit(status)

    def _bury(self, mask: set[signal.Signals | int]) -> None:
        for worker in [*self._started]:
            ended, how = os.waitpid(worker, os.WNOHANG)
            if ended:
                lived = self._clock() - self._started.pop(worker)
                self._replace(worker, os.waitstatus_to_exitcode(how), lived, mask)

    def _replace(self, worker: int, status: int, lived: float, mask: set[signal.Signals | int]) -> None:
        if self._stopping:
            # It may have been told before it could listen to that.
            self._status = self._status or int(status not in (0, -signal.SIGTERM))
            return
        _logger.warning("worker died", extra={"fields": {"pid": worker, "status": status}})
        if status > 0 or lived < _SHORTEST_LIFE:
            self._status = 1
            self._stop()
        else:
            self._start(mask)

    def _stop(self) -> None:
        self._stopping = True
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._started:
            os.kill(worker, number)
