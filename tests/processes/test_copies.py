"""What holds a connection or a store is refused to be copied and pickled, by name, wherever it is held."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Final

import pytest
from pydantic import BaseModel, ConfigDict

from ndb_models import ConfigRepository, InvalidArgumentError, NdbClient, NdbError, Repository
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.sync import SyncClient, SyncConfigRepository, SyncRepository
from tests.repository.models import User

COPYING: Final[dict[str, Callable[[Any], object]]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {protocol}": partial(pickle.dumps, protocol=protocol) for protocol in range(6)},
}


class AppConfig(BaseModel):
    debug: bool = False


class State(BaseModel):
    """What an application may hold its client in."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    client: Any


@dataclasses.dataclass
class Holder:
    client: Any


def made(client: NdbClient) -> Iterator[object]:
    yield client
    yield NdbClient()
    yield NdbClient.connect("memory://")
    yield Repository(client, User)
    yield ConfigRepository(client, AppConfig)
    yield ConfigRepository(client, AppConfig).watch()
    yield MemoryStore()
    yield MemoryStore(StoreLimits())
    yield SqliteStore("never-opened.db")
    yield Engine(MemoryStore())
    yield NdbServer(Engine(MemoryStore()))
    yield Repository(client, User).edit(7)
    yield ConfigRepository(client, AppConfig).edit()
    synchronous = SyncClient("memory://")
    yield synchronous
    yield SyncRepository(synchronous, User)
    yield SyncConfigRepository(synchronous, AppConfig)
    yield SyncConfigRepository(synchronous, AppConfig).watch()
    yield SyncRepository(synchronous, User).edit(7)


@pytest.mark.parametrize("way", COPYING)
async def test_a_copy_is_refused_by_name(client: NdbClient, way: str) -> None:
    for it in made(client):
        with pytest.raises(InvalidArgumentError, match="cannot be copied or pickled") as refused:
            COPYING[way](it)
        assert isinstance(refused.value, TypeError)
        assert type(it).__name__.lstrip("_") in str(refused.value)
    assert await client.kv_count() == 0


@pytest.mark.parametrize("way", ["deepcopy", "pickle 5"])
async def test_so_is_what_holds_one(client: NdbClient, way: str) -> None:
    held: list[object] = [{"client": client}, [client], State(client=client), Holder(client), (client.kv_get,)]
    for it in held:
        with pytest.raises(NdbError, match="NdbClient cannot be copied or pickled"):
            COPYING[way](it)
    with pytest.raises(NdbError):
        dataclasses.asdict(Holder(client))
    with pytest.raises(NdbError):
        State(client=client).model_copy(deep=True)
    assert copy.copy(State(client=client)).client is client


def use(client: NdbClient) -> None:
    raise AssertionError(client)


async def test_it_is_not_sent_to_another_process(client: NdbClient) -> None:
    with ProcessPoolExecutor(1) as pool, pytest.raises(NdbError, match="cannot be copied or pickled"):
        pool.submit(use, client).result()
