"""Fixtures for every way to reach an engine: in this process, and through the server on a port."""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import logging
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import settings

from ndb_models import NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.opening import open_store
from tests.chromium import browser as browser
from tests.chromium import chromium as chromium
from tests.nemesisdb import NemesisDbEngine
from tests.redis_uris import IS_COMPLETE, KINDS, redis_uri, started_by

if TYPE_CHECKING:
    from tests.redis_servers import Shared

# How long an example takes says more of the machine, and of what else runs on it, than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Processes that tests start find the package and `tests`, whichever folder they start in.
_ROOT = str(Path(__file__).resolve().parent.parent)
os.environ["PYTHONPATH"] = os.pathsep.join([_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loop", choices=["asyncio", "uvloop"], default="asyncio", help="whose event loops tests run on")
    parser.addoption("--memory-only", action="store_true", help="leave out what runs on a plain store in memory too")
    parser.addoption("--share", default="1/1", help="of a test's many parameters, run every Nth, from the Kth on: K/N")


# How the parameters of fixtures name the other ways to reach an engine, and variants of the store in memory.
_OTHER_WAYS = frozenset({"sqlite", "server", "served", "bounded memory", "shared memory", "redis"})


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    memory_only = config.getoption("--memory-only")
    left_out = {item for item in items if _takes_too_long(item) or (memory_only and _is_another_way(item))}
    if not IS_COMPLETE:
        left_out |= _repeated_on_other_ways(items)
    first, _, share = config.getoption("--share").partition("/")
    left_out |= _of_other_shares([item for item in items if item not in left_out], int(first) - 1, int(share))
    config.hook.pytest_deselected(items=[*left_out])
    items[:] = [item for item in items if item not in left_out]


def _is_another_way(item: pytest.Item) -> bool:
    return bool(_other_ways(item))


def _other_ways(item: pytest.Item) -> frozenset[str]:
    return _OTHER_WAYS.intersection(_parameters(item))


def _parameters(item: pytest.Item) -> list[str]:
    return re.split("-|, ", item.name.partition("[")[2].removesuffix("]"))


# A test with no more parameters runs with all of them, whatever the share.
_FEW = 3
_Functions: TypeAlias = dict[tuple[str, frozenset[str]], list[pytest.Item]]


def _by_function(items: Iterable[pytest.Item]) -> _Functions:
    """Return the tests of each function on each way, in the order of their other parameters."""
    functions: _Functions = {}
    for item in items:
        functions.setdefault((item.nodeid.partition("[")[0], _other_ways(item)), []).append(item)
    return functions


def _of_other_shares(items: list[pytest.Item], first: int, share: int) -> set[pytest.Item]:
    """Return what is left to other shares. Of each way to reach an engine, every share has some.

    What a model is depends on the version of Python: the tests of `schema` are never shared.
    """
    functions = _by_function(item for item in items if "/schema/" not in item.nodeid)
    many = (items for items in functions.values() if len(items) > _FEW)
    return {item for items in many for number, item in enumerate(items) if number % share != first % share}


# Which third of the parameters goes each other way.
_THIRDS = {"sqlite": 0, "server": 1, "redis": 2, "bounded memory": 1, "shared memory": 2, "served": 0}


def _repeated_on_other_ways(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return tests that repeat in full, on another way, what runs on a store in memory.

    Each test runs on every way, and each of its parameters in memory and on one way more. The contract of stores is
    tested with all parameters on all.
    """
    functions = _by_function(item for item in items if "/stores/" not in item.nodeid)
    in_memory = {
        function for (function, ways), items in functions.items() if not ways and "memory" in _parameters(items[0])
    }
    repeated: set[pytest.Item] = set()
    for (function, ways), each in functions.items():
        if ways and function in in_memory and len(each) > _FEW:
            third = sum(_THIRDS[way] for way in ways)
            repeated.update(item for number, item in enumerate(each) if number % 3 != third % 3)
    return repeated


def _takes_too_long(item: pytest.Item) -> bool:
    """Tell whether a test is slow by itself, and even slower on a Redis, which has been seen to answer as others do."""
    return not IS_COMPLETE and len([*item.iter_markers("slow")]) > 1


def pytest_collection_finish() -> None:
    # Thousands of tests and their models: collecting garbage among them again and again takes a third of the time.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Build the report of a failure without collecting garbage meanwhile.

    What is collected may log a traceback. For that, CPython 3.11 parses source, and so does the report: in each other,
    they raise a SystemError, which ends the whole run.
    """
    if call.excinfo is None or not gc.isenabled():
        return (yield)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    # A shell has what it runs in the background ignore Ctrl-C, and so would the programs that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--loop") == "uvloop":
        config.pluginmanager.register(_OnUvloop())


class _OnUvloop:
    """Has pytest-asyncio run every asynchronous test and fixture on uvloop."""

    def pytest_asyncio_loop_factories(self) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"uvloop": importlib.import_module("uvloop").new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def redis_on_demand(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let tests ask for `redis_uri`; the first that does starts the servers."""
    with started_by(lambda: request.getfixturevalue("redis_servers")):
        yield


_OF_SERVERS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))


class VirtualClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def _signals_stay_as_they_are() -> Iterator[None]:
    """A server that runs in this process leaves signals blocked and ignored, and every later process inherits that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handlers = {number: signal.getsignal(number) for number in _OF_SERVERS}
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


_FOLDERS = itertools.count()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder of the test alone.

    Pytest's own looks through the folders of all tests before, thousands of them, to find a number for this one.
    """
    name = re.sub(r"\W", "_", request.node.name)[:30]
    return tmp_path_factory.mktemp(f"{name}{next(_FOLDERS)}", numbered=False)


@pytest.fixture(scope="session")
def redis_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The Redis and Valkey servers that all tests of a run share, in all its processes."""
    pytest.importorskip("hiredis")
    from tests.redis_servers import shared_servers

    folder = tmp_path_factory.getbasetemp()
    with shared_servers(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as shared:
        yield shared


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NdbServer]:
    """A server on a free port, with a persist path and NemesisDB's largest maximum payload."""
    engine = Engine(MemoryStore(), persist_path=tmp_path)
    async with NdbServer(engine, ServerOptions(port=0, max_payload=8192)) as server:
        yield server


@pytest.fixture
async def nemesisdb(tmp_path: Path) -> AsyncIterator[NdbServer]:
    """What answers as a stock NemesisDB does, on a free port."""
    engine = NemesisDbEngine(MemoryStore(), persist_path=tmp_path)
    async with NdbServer(engine, ServerOptions(port=0, max_payload=8192)) as server:
        yield server


@pytest.fixture
async def nemesisdb_client(nemesisdb: NdbServer) -> AsyncIterator[NdbClient]:
    """An open client of what answers as a stock NemesisDB does."""
    async with NdbClient.connect(nemesisdb.uri, max_payload=8192) as client:
        yield client


@pytest.fixture
async def server_on_redis(tmp_path: Path) -> AsyncIterator[NdbServer]:
    """A server like `server`, on a cluster of Valkeys."""
    engine = Engine(await open_store(redis_uri("cluster")), persist_path=tmp_path)
    async with NdbServer(engine, ServerOptions(port=0, max_payload=8192)) as server:
        yield server


_ON_REDIS = [pytest.param("redis", marks=pytest.mark.slow)]
if IS_COMPLETE:
    _ON_REDIS += [pytest.param(f"redis, {kind}", marks=pytest.mark.slow) for kind in (*KINDS[1:], "served")]


@pytest.fixture(params=["memory", "sqlite", "server", *_ON_REDIS])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each way to reach an empty engine."""
    if request.param.startswith("redis"):
        kind = request.param.removeprefix("redis").removeprefix(", ")
        if kind != "served":
            return f"{redis_uri(kind or 'valkey')}&persist_path={tmp_path}"
        return str(request.getfixturevalue("server_on_redis").uri)
    if request.param == "memory":
        return f"memory://?persist_path={tmp_path}"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}?persist_path={tmp_path}"
    # Asked for here, where no loop runs yet: an async fixture cannot start another.
    server: NdbServer = request.getfixturevalue("server")
    return server.uri


@pytest.fixture
async def client(uri: str) -> AsyncIterator[NdbClient]:
    """An open client of an empty engine, by each way to reach one."""
    async with NdbClient.connect(uri) as client:
        yield client


@pytest.fixture
def restored_logger() -> Iterator[None]:
    """Undo what `debug=True` does to the process: its handler writes to a stream that ends with the test."""
    logger = logging.getLogger("ndb_models")
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
