"""Run a server as a process: from its settings to its exit status."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ndb_models.engine import Engine
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.server.file_descriptors import descriptor_limit, descriptors_for, fitted
from ndb_models.server.generations import Generations, WorkerState
from ndb_models.server.logs import log_to
from ndb_models.server.memory_limit import memory_left
from ndb_models.server.reloading import merged
from ndb_models.server.server import NdbServer
from ndb_models.server.settings import IN_MEMORY, Settings
from ndb_models.server.signals import handling_signals, hold_signals
from ndb_models.server.systemd import READY, STOPPING, reloading_state, tell_systemd
from ndb_models.server.workers import Stage, Supervisor, hold_port
from ndb_models.stores.contract import Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from ndb_models.stores.opening import open_store
from ndb_models.version import __version__

if TYPE_CHECKING:
    from ndb_models.server.status_page import SharedPage

# By number: at a crash, the fault handler writes without Python's own streams.
_STANDARD_ERROR: Final = 2
# The rest is for connections, for requests and answers under way, and for uncounted memory.
_STORE_PART: Final = 3 / 4

_logger = logging.getLogger(__name__)

# A worker that runs this many seconds beyond --stop-timeout is killed. Closing the store takes its time too.
_TO_CLOSE: Final = 5.0

Reading: TypeAlias = Callable[[], Settings]
"""Reads settings, tokens and certificate again. Raises `InvalidArgumentError` if they are unusable."""


@dataclass(slots=True)
class _Process:
    """A serving process: a single one, or a worker. It reloads on request, as soon as it has a server.

    Args:
        state: the state that it reports.
        read: reads its settings again.
        generation: called at a SIGHUP; returns the generation that the signal asks for.
        tell: notifies systemd; in a worker a no-op, since the parent notifies.
        page: what all workers share of the status page, if there is one.
    """

    state: WorkerState
    read: Reading
    generation: Callable[[], int]
    tell: Callable[[str], None]
    page: SharedPage | None = None
    server: NdbServer | None = None
    reload_waits: bool = False

    def begin(self, server: NdbServer, settings: Settings) -> None:
        """Take the server and its first settings; do a reload that waits."""
        self.server = server
        if settings.tokens is not None:
            self.state.generations.note_guarded()
        if self.reload_waits:
            self.reload()

    def reload(self) -> None:
        """Read the settings again and serve with it. If it is unusable, log the reason and keep the old one."""
        if self.server is None:
            self.reload_waits = True
            return
        state, generation = self.state, self.generation()
        self.tell(reloading_state())
        try:
            options = self.read()
            self.server.reload(options.tokens, certificate=options.certificate, generation=generation)
        except (NdbError, OSError) as exc:
            fields = {"generation": state.served, "asked": generation}
            event = "what was read anew cannot be used, and all stays as it was: %s"
            _logger.error(event, exc, extra={"fields": fields})
            state.note_tried(generation)
        else:
            if options.tokens is not None:
                state.generations.note_guarded()
        if state.ready:
            self.tell(READY)


def run(settings: Settings, read: Reading) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status: 0 stopped, 1 failed, 2 configured wrongly.

    On SIGHUP, tokens and certificate are read again. The process must end after this: signals stay blocked or ignored.

    Args:
        settings: the result of a first `read`.
        read: reads the settings again, for reloads and in workers that start.
    """
    hold_signals()
    faulthandler.enable(_STANDARD_ERROR)
    log_to(sys.stderr, level=settings.log_level, style=settings.log_format)
    for warning in settings.warnings:
        _logger.warning("%s", warning)
    serve = _run_workers if settings.workers > 1 else _run_alone
    return _reporting(lambda: serve(settings, read))


def _within_descriptors(settings: Settings) -> Settings:
    """Raise the limit of open files; return settings with no more clients and handshakes than the limit allows."""
    needed = descriptors_for(settings)
    limit = descriptor_limit(wanted=needed)
    fitting = fitted(settings, limit)
    if fitting is not settings:
        fields = {"limit": int(limit), "needed": needed, "max_connections": fitting.max_connections}
        _logger.warning(
            "fewer clients are let in than --max-connections says: raise the limit of open files (ulimit -Hn)",
            extra={"fields": {**fields, "max_handshakes": fitting.max_handshakes}},
        )
    return fitting


def _reporting(work: Callable[[], int]) -> int:
    """Return the exit status of some work. Write an expected failure to standard error: status 2 or 1."""
    try:
        return work()
    except InvalidArgumentError as exc:
        sys.stderr.write(f"ndb-models: {exc}\n")
        return 2
    except (NdbError, OSError) as exc:
        sys.stderr.write(f"ndb-models: {exc}\n")
        return 1


def _run_alone(settings: Settings, read: Reading) -> int:
    generations = Generations()
    state = generations.workers[0]
    state.born()

    def read_anew() -> Settings:
        return merged(settings, read(), guarded=generations.guarded)

    return _serve(settings, _Process(state, read_anew, generations.ask, tell_systemd, _shared_page(settings)))


def _run_workers(settings: Settings, read: Reading) -> int:
    generations = Generations(settings.workers)
    page = _shared_page(settings)
    with hold_port(settings.host, settings.port) as held:
        started = replace(settings, port=held.getsockname()[1])

        def read_anew() -> Settings:
            return merged(started, read(), guarded=generations.guarded)

        def serve(state: WorkerState) -> int:
            generation = generations.asked
            mine = read_anew()
            state.note_served(generation)
            return _serve(mine, _Process(state, read_anew, lambda: generations.asked, lambda _: None, page))

        def work(state: WorkerState) -> int:
            return _reporting(lambda: serve(state))

        stop_within = settings.stop_timeout + _TO_CLOSE
        return Supervisor(generations, work, stop_within=stop_within, report=_tell_systemd_stage).run()


def _shared_page(settings: Settings) -> SharedPage | None:
    if not settings.dashboard:
        return None
    from ndb_models.server.status_page import SharedPage

    return SharedPage(settings.workers)


def _serve(settings: Settings, process: _Process) -> int:
    settings = _within_descriptors(settings)
    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        runner.run(_open_and_serve(settings, process))
    _say("ndb-models stopped")
    return 0


def _say(line: str) -> None:
    """Write a line to standard output. If its reader is gone, serve on."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Discard all further standard output, even that written at the exit of the interpreter."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


async def _open_and_serve(settings: Settings, process: _Process) -> None:
    """Serve until SIGINT or SIGTERM; either may come at any moment.

    Raises:
        NdbError, OSError: the server cannot start; everything is closed again.
    """
    stopping = asyncio.Event()
    with handling_signals(stop=stopping.set, reload=process.reload):
        try:
            opening = asyncio.create_task(_opened(settings))
            if await _is_done_before(opening, stopping):
                store = opening.result()
                try:
                    await _serve_store(settings, store, process, stopping)
                finally:
                    await store.aclose()  # a server that has started does so too
        finally:
            await asyncio.get_running_loop().shutdown_default_executor()  # its threads would take signals


async def _opened(settings: Settings) -> Store:
    if settings.store == IN_MEMORY:
        return MemoryStore(_limits(settings.limits))
    return await open_store(settings.store)


def _limits(told: StoreLimits) -> StoreLimits:
    """Return the limits of a store in memory. By default, its size is 3/4 of the memory left; 0 bytes mean no limit."""
    size = told.size
    if size is None and (left := memory_left()) is not None:  # pragma: no branch - not every system tells
        size = int(left * _STORE_PART)
        _logger.info("memory of the store is limited", extra={"fields": {"bytes": size}})
    return replace(told, size=size or None)


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop factory if uvloop is installed (the extra `speed`); None for asyncio's own loops."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return new_event_loop


def pass_over_program() -> None:
    """Exempt the program's objects from garbage collection: scanning them held up clients for 20 ms."""
    gc.collect()
    gc.freeze()


async def _serve_store(settings: Settings, store: Store, process: _Process, stopping: asyncio.Event) -> None:
    state = process.state
    engine = Engine(store, persist_path=settings.persist_path, max_nesting=settings.max_nesting, limits=settings.engine)
    pass_over_program()
    prepare = _loading(settings, engine, state.generations)
    server = NdbServer(engine, settings, prepare=prepare, state=state, page=process.page)
    process.begin(server, settings)
    if await _is_done_before(asyncio.create_task(server.start()), stopping):
        _say(f"ndb-models {__version__} is ready on {server.uri}")
        _say_page(server, state)
        state.note_ready()
        process.tell(READY)
        await stopping.wait()
        process.tell(STOPPING)
    await server.stop()


def _say_page(server: NdbServer, state: WorkerState) -> None:
    """Write where the status page is, and the token of this run if the server has no tokens. Neither is logged."""
    if server.page_uri is None or state is not state.generations.workers[0]:
        return
    how = "log in with an admin's token"
    if server.page_token is not None:
        how = f"the server has no tokens, so log in with the one of this run: {server.page_token}"
    _say(f"status page at {server.page_uri} ({how})")


async def _is_done_before(task: asyncio.Task[Any], stopping: asyncio.Event) -> bool:
    """Return True once a task is done, or False if the server is told to stop before; that cancels the task.

    Raises:
        Exception: the task's own.
    """
    told = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([task, told], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        return False
    finally:
        for each in (task, told):
            each.cancel()
        await asyncio.gather(task, told, return_exceptions=True)


def _loading(settings: Settings, engine: Engine, generations: Generations) -> Callable[[], Awaitable[None]]:
    async def load() -> None:
        if generations.loaded:  # by another worker, and clients may have changed the data since
            return
        for name in settings.load_names:
            assert settings.load_path is not None
            sessions, keys = await engine.load(name, settings.load_path)
            _logger.info("data set loaded", extra={"fields": {"name": name, "sessions": sessions, "keys": keys}})
        generations.note_loaded()

    return load


def _tell_systemd_stage(stage: Stage) -> None:
    match stage:
        case Stage.READY | Stage.RELOADED:
            tell_systemd(READY)
        case Stage.RELOADING:
            tell_systemd(reloading_state())
        case _:
            tell_systemd(STOPPING)
