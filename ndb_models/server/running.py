"""Running a server as a process: from what it was told to its exit status."""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import importlib.util
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from ndb_models.engine import Engine
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.server.configuration import IN_MEMORY, Configuration, read_all_tokens
from ndb_models.server.descriptors import descriptor_limit, descriptors_for, fitted
from ndb_models.server.logs import log_to
from ndb_models.server.memory_limit import memory_left
from ndb_models.server.options import ServerOptions
from ndb_models.server.server import NdbServer
from ndb_models.server.workers import Supervisor, hold_port
from ndb_models.stores.contract import Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from ndb_models.stores.opening import open_store
from ndb_models.version import __version__

# By number: a crash writes without Python's own streams.
_STANDARD_ERROR: Final = 2
# The rest is for connections, for requests and answers under way, and for what counting does not see.
_STORE_PART: Final = 3 / 4

_logger = logging.getLogger(__name__)


def run(configuration: Configuration, environment: Mapping[str, str]) -> int:
    """Serve until told to stop (SIGINT, SIGTERM); return the exit status: 0 stopped, 1 failed."""
    faulthandler.enable(_STANDARD_ERROR)
    log_to(sys.stderr, level=configuration.log_level, style=configuration.log_format)
    for warning in configuration.warnings:
        _logger.warning("%s", warning)
    configuration = replace(configuration, server=_within_descriptors(configuration.server))
    if configuration.workers > 1:
        return _reporting(lambda: _run_workers(configuration, environment))
    return _reporting(lambda: _run_alone(configuration, environment))


def _within_descriptors(options: ServerOptions) -> ServerOptions:
    """Have this process open as many files as it may need; return the options with no more clients than it can have."""
    needed = descriptors_for(options)
    limit = descriptor_limit(wanted=needed)
    fitting = fitted(options, limit)
    if fitting is not options:
        fields = {"limit": int(limit), "needed": needed, "max_connections": fitting.max_connections}
        _logger.warning(
            "fewer clients are let in than --max-connections says: raise the limit of open files (ulimit -Hn)",
            extra={"fields": {**fields, "max_handshakes": fitting.max_handshakes}},
        )
    return fitting


def _reporting(work: Callable[[], int]) -> int:
    """Return the exit status of some work; where it failed with a reason for people, tell them."""
    try:
        return work()
    except InvalidArgumentError as exc:
        sys.stderr.write(f"ndb-models: {exc}\n")
        return 2
    except (NdbError, OSError) as exc:
        sys.stderr.write(f"ndb-models: {exc}\n")
        return 1


def _run_alone(configuration: Configuration, environment: Mapping[str, str]) -> int:
    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        runner.run(_open_and_serve(configuration, environment))
    _say("ndb-models stopped")
    return 0


def _say(line: str) -> None:
    """Write a line to standard output. That nobody reads it any more is no reason to stop serving."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Send to nowhere what is still to be written to standard output, at the exit of the interpreter too."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _run_workers(configuration: Configuration, environment: Mapping[str, str]) -> int:
    options = configuration.server
    with hold_port(options.host, options.port) as held:
        options = replace(options, port=held.getsockname()[1])
        mine = replace(configuration, server=options)
        return Supervisor(configuration.workers, lambda: _reporting(lambda: _run_alone(mine, environment))).run()


async def _open_and_serve(configuration: Configuration, environment: Mapping[str, str]) -> None:
    if configuration.store == IN_MEMORY:
        store: Store = MemoryStore(_limits(configuration.limits))
    else:
        store = await open_store(configuration.store)
    try:
        await serve(configuration, environment, store)
    finally:
        await store.aclose()  # the server does so too, once it has started


def _limits(told: StoreLimits) -> StoreLimits:
    """Return the limits of a store in memory: by default, so many bytes as there is memory for; 0 is any number."""
    size = told.size
    if size is None and (left := memory_left()) is not None:
        size = int(left * _STORE_PART)
        _logger.info("memory of the store is limited", extra={"fields": {"bytes": size}})
    return replace(told, size=size or None)


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's event loops where that is installed (the extra `speed`); None for asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return new_event_loop


async def serve(configuration: Configuration, environment: Mapping[str, str], store: Store) -> None:
    """Serve a store until SIGINT or SIGTERM; on SIGHUP, read tokens and certificate anew.

    Raises:
        NdbError, OSError: it cannot start; what it had begun is ended.
    """
    engine = Engine(store, persist_path=configuration.persist_path, max_nesting=configuration.max_nesting)
    server = NdbServer(engine, configuration.server, prepare=_loading(configuration, engine))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, _reload, server, configuration, environment)
    if await _started(server, stopping):
        _say(f"ndb-models {__version__} is ready on {server.uri}")
        _tell_systemd("READY=1")
        await stopping.wait()
        _tell_systemd("STOPPING=1")
    await server.stop()


async def _started(server: NdbServer, stopping: asyncio.Event) -> bool:
    """Start a server; return whether it is ready, or was told to stop before."""
    starting, told = asyncio.create_task(server.start()), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([starting, told], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            return True
        return False
    finally:
        for task in (starting, told):
            task.cancel()
        await asyncio.gather(starting, told, return_exceptions=True)


def _loading(configuration: Configuration, engine: Engine) -> Callable[[], Awaitable[None]]:
    async def load() -> None:
        for name in configuration.load_names:
            assert configuration.load_path is not None
            sessions, keys = await engine.load(name, configuration.load_path)
            _logger.info("data set loaded", extra={"fields": {"name": name, "sessions": sessions, "keys": keys}})

    return load


def _reload(server: NdbServer, configuration: Configuration, environment: Mapping[str, str]) -> None:
    try:
        token_file: Path | None = configuration.token_file
        server.reload(read_all_tokens(token_file, environment))
    except NdbError as exc:
        _logger.error("what was read anew cannot be used, and all stays as it was: %s", exc)


def _tell_systemd(state: str) -> None:
    """Tell systemd how far the service is, where it has asked to be told (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
            notifying.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)
