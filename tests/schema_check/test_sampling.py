"""A sample of live sessions: what it counts, what it calls broken, and that it leaves every session as it was."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator

from ndb_models import Expiry, InvalidArgumentError, NdbClient, Repository, ResponseError, SchemaError, SessionModel
from ndb_models.client.sessions import SessionList
from ndb_models.schema_check.drawing import Drawing, shares
from ndb_models.schema_check.sampling import SampleProgress, sample_sessions
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.server.tokens import Role, Tokens
from ndb_models.testing import MovableClock, RunningServer
from ndb_models.types import SessionToken
from tests.redis_uris import redis_uri


class Old(SessionModel, schema="Sampled"):
    name: str
    age: int = 0


class Renamed(SessionModel, schema="Sampled", version=2):
    username: str
    age: int = 0


@Renamed.upgrade(1)
def _renamed(keys: dict[str, Any]) -> dict[str, Any]:
    return {"username": keys["name"], "age": keys["age"]}


class Stricter(SessionModel, schema="Sampled"):
    name: str
    age: int = 0

    @field_validator("age")
    @classmethod
    def _adult(cls, age: int) -> int:
        if age < 18:
            raise ValueError(f"{age} is too young")
        return age


class Raising(SessionModel, schema="Sampled"):
    name: str
    age: int = 0

    @field_validator("age")
    @classmethod
    def _divides(cls, age: int) -> int:
        return 100 // age


@pytest.fixture(params=["memory", "sqlite", "ws", pytest.param("redis", marks=pytest.mark.slow)])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NdbClient]:
    with contextlib.ExitStack() as stack:
        match request.param:
            case "ws":
                uri = stack.enter_context(RunningServer()).uri
            case "redis":
                uri = redis_uri()
            case "sqlite":
                uri = f"sqlite:///{tmp_path}/s.db"
            case _:
                uri = "memory://"
        async with NdbClient.connect(uri) as opened:
            yield opened


async def states(client: NdbClient) -> dict[int, Any]:
    """Return everything about each session that a sample could change, but the time that passes."""
    listed = await client.sh_list("__ndb__", None, 4096)
    return {
        tkn: (await client.sh_peek(await client.sh_keys(tkn), tkn), await client.sh_info(tkn)) for tkn in listed.values
    }


async def test_versions_are_counted_and_upgrades_run_without_being_written(client: NdbClient) -> None:
    for number in range(5):
        await Repository(client, Old).create(Old(name=f"n{number}", age=20))
    await Repository(client, Renamed).create(Renamed(username="new"))
    before = await states(client)
    (report,) = await sample_sessions(client, [Renamed])
    assert report.versions == {1: 5, 2: 1}
    assert (report.looked_at, report.live, report.broken) == (6, 6, 0)
    assert report.as_json()["upgraded"] == 5
    assert await states(client) == before


async def test_what_does_not_fit_is_counted_by_field_and_reason_without_the_value(client: NdbClient) -> None:
    for age in (5, 6, 30):
        await Repository(client, Old).create(Old(name="secretive", age=age))
    (report,) = await sample_sessions(client, [Stricter])
    assert report.broken == 2
    ((version, field, reason),) = report.problems
    assert (version, field, report.problems[version, field, reason]) == (1, "age", 2)
    assert "young" not in reason
    assert "secretive" not in str(report.as_json())


async def test_a_validator_that_raises_breaks_the_session_and_not_the_sample(client: NdbClient) -> None:
    await Repository(client, Old).create(Old(name="n", age=0))
    (report,) = await sample_sessions(client, [Raising])
    assert report.broken == 1
    assert "ZeroDivisionError" in next(iter(report.problems))[2]


async def test_a_failing_upgrade_names_its_step(client: NdbClient) -> None:
    tkn = (await Repository(client, Old).create(Old(name="n"))).tkn
    assert tkn is not None
    await client.sh_rmv(["name"], tkn)
    (report,) = await sample_sessions(client, [Renamed])
    assert report.as_json()["upgradeFailed"] == 1
    assert "upgrade(1)" in next(iter(report.problems))[1]


async def test_sessions_of_newer_code_are_broken_and_those_of_another_schema_are_not_counted(client: NdbClient) -> None:
    class Other(SessionModel, schema="sampled-other"):
        name: str = ""

    await Repository(client, Renamed).create(Renamed(username="new"))
    await Repository(client, Other).create(Other())
    await client.sh_create_session()
    (report,) = await sample_sessions(client, [Old])
    assert (report.live, report.looked_at, report.broken) == (1, 0, 1)
    assert report.as_json()["newer"] == 1


async def test_a_shorter_expiry_is_told_and_a_longer_one_is_not(client: NdbClient) -> None:
    class Hour(SessionModel, schema="SampledTimed", expiry=Expiry(idle=timedelta(hours=1))):
        name: str = ""

    class Day(SessionModel, schema="SampledTimed", expiry=Expiry(idle=timedelta(days=1))):
        name: str = ""

    class Ending(
        SessionModel, schema="SampledTimed", expiry=Expiry(idle=timedelta(days=1), absolute=timedelta(days=7))
    ):
        name: str = ""

    await Repository(client, Day).create(Day())
    assert [(await sample_sessions(client, [model]))[0].shortened for model in (Hour, Day, Ending)] == [1, 0, 1]
    ((_, info),) = (await states(client)).values()
    assert info["expiry"]["duration"] == 86400


async def test_a_small_limit_draws_from_every_version(client: NdbClient) -> None:
    for number in range(40):
        await Repository(client, Old).create(Old(name=f"n{number}"))
    await Repository(client, Renamed).create(Renamed(username="new"))
    told: list[SampleProgress] = []
    (report,) = await sample_sessions(client, [Renamed], limit=4, report=told.append)
    assert (report.live, report.looked_at, report.as_json()["upgraded"]) == (41, 4, 3)
    assert told[-1] == SampleProgress(41, 41, 4, 4)
    (whole,) = await sample_sessions(client, [Renamed], limit=None)
    assert whole.looked_at == 41


async def test_a_namespace_has_sessions_of_its_own(client: NdbClient) -> None:
    await Repository(client, Old, namespace="shop").create(Old(name="n"))
    counted = [(await sample_sessions(client, [Old], namespace=name))[0].live for name in (None, "shop")]
    assert counted == [0, 1]


async def test_a_large_session_is_read_in_parts(server: NdbServer) -> None:
    class Large(SessionModel, schema="sampled-large"):
        first: str
        second: str

    async with NdbClient.connect(server.uri, max_payload=8192) as client:
        await Repository(client, Large).create(Large(first="x" * 5000, second="y" * 5000))
        (report,) = await sample_sessions(client, [Large])
    assert (report.looked_at, report.broken) == (1, 0)


async def test_a_nemesisdb_cannot_be_sampled(nemesisdb: NdbServer) -> None:
    async with NdbClient.connect(nemesisdb.uri) as client:
        with pytest.raises(Exception, match="schema sample"):
            await sample_sessions(client, [Old])


@pytest.mark.parametrize("limit", [0, -1, 1_000_001])
async def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    async with NdbClient.connect("memory://") as client:
        with pytest.raises(InvalidArgumentError, match="1 to 1000000"):
            await sample_sessions(client, [Old], limit=limit)


async def test_a_missing_step_is_refused_before_anything_is_read() -> None:
    class Gap(SessionModel, version=2):
        name: str = ""

    async with NdbClient.connect("memory://") as client:
        with pytest.raises(SchemaError, match="upgrade"):
            await sample_sessions(client, [Gap])


def test_every_session_has_the_same_chance() -> None:
    drawn = Counter[int]()
    dice = random.Random(1)
    for _ in range(3000):
        drawing = Drawing(3, dice)
        for tkn in range(10):
            drawing.offer(1, tkn)
        drawn.update(drawing.sample())
    assert set(drawn) == set(range(10))
    assert all(750 < count < 1050 for count in drawn.values())


@pytest.mark.parametrize(
    ("available", "limit", "expected"),
    [
        ({1: 100, 2: 100}, 10, {1: 5, 2: 5}),
        ({1: 2, 2: 100}, 10, {1: 2, 2: 8}),
        ({1: 3, 2: 3}, 10, {1: 3, 2: 3}),
        ({1: 9, 2: 9, 3: 9}, 2, {1: 1, 2: 1, 3: 0}),
        ({}, 5, {}),
    ],
)
def test_shares_fill_the_limit(available: dict[int, int], limit: int, expected: dict[int, int]) -> None:
    assert dict(shares(available, limit)) == expected


class EndingClient(NdbClient):
    """Ends every session right after it was listed, as another process may."""

    async def sh_list(self, key: str, after: SessionToken | None = None, count: int = 256) -> SessionList:
        page = await super().sh_list(key, after, count)
        for tkn in page.values:
            await self.sh_end(tkn)
        return page


@pytest.mark.parametrize("limit", [None, 10])
async def test_a_session_that_ends_before_it_is_read_is_gone_and_no_error(limit: int | None) -> None:
    async with EndingClient("memory://") as client:
        await Repository(client, Old).create(Old(name="n"))
        (report,) = await sample_sessions(client, [Old], limit=limit)
    assert (report.live, report.gone, report.looked_at, report.broken) == (1, 1, 0, 0)


async def test_an_unfinished_creation_is_counted_by_itself(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"__ndb__": {"schema": "Sampled", "version": 1}}, tkn)
    (report,) = await sample_sessions(client, [Old])
    assert (report.live, report.incomplete) == (0, 1)


async def test_a_version_that_is_no_longer_upgraded_is_broken(client: NdbClient) -> None:
    class Forgetting(SessionModel, schema="Sampled", version=2, oldest=2):
        name: str = ""

    await Repository(client, Old).create(Old(name="n"))
    (report,) = await sample_sessions(client, [Forgetting])
    assert (report.broken, report.as_json()["older"]) == (1, 1)


async def test_a_list_is_for_admins() -> None:
    tokens = Tokens([(Role.DATA, "data-token-of-the-tests-0123456789")])
    with RunningServer(options=ServerOptions(port=0, tokens=tokens, stop_timeout=0.1, close_timeout=0.1)) as server:
        async with server.connect(token="data-token-of-the-tests-0123456789") as client:
            with pytest.raises(ResponseError) as raised:
                await sample_sessions(client, [Old])
    assert raised.value.status == 14


async def test_an_open_model_with_many_problems_has_a_bounded_report(client: NdbClient) -> None:
    class Opened(SessionModel, schema="SampledOpen", extra="allow"):
        name: str = ""

    class Closed(SessionModel, schema="SampledOpen", extra="allow"):
        __pydantic_extra__: dict[str, int]
        name: str = ""

    await Repository(client, Opened).create(Opened(name="n", **{f"extra{number}": "text" for number in range(300)}))
    (report,) = await sample_sessions(client, [Closed])
    assert report.broken == 1
    assert len(report.problems) == 201


async def test_a_sample_extends_no_session() -> None:
    class Idle(SessionModel, schema="SampledIdle", expiry=Expiry(idle=timedelta(seconds=100))):
        name: str = ""

    with MovableClock() as time:
        async with NdbClient.connect("memory://") as client:
            repository = Repository(client, Idle)
            tkn = (await repository.create(Idle())).tkn
            time.advance(60)
            for limit in (None, 10):
                (report,) = await sample_sessions(client, [Idle], limit=limit)
                assert report.looked_at == 1
            assert await repository.ttl(tkn) == 40
