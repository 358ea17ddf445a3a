"""The conformance tests that others run: our server and a NemesisDB pass them, and a server with a fault does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ndb_models import ConnectError, InvalidArgumentError, NdbClient
from ndb_models.conformance import ConformanceReport, Outcome, Section, run_conformance
from ndb_models.conformance.conversation import Target
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.server.tokens import Role, Tokens
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.opening import open_store
from tests.conftest import VirtualClock
from tests.nemesisdb import NemesisDbEngine
from tests.redis_uris import redis_uri

ROOT = Path(__file__).parent.parent.parent
DATA = "data-token-of-the-tests-0123456789"
ADMIN = "admin-token-of-the-tests-0123456789"


@contextlib.asynccontextmanager
async def served(engine: Engine, options: ServerOptions | None = None) -> AsyncGenerator[NdbServer]:
    async with NdbServer(engine, options or ServerOptions(port=0, max_payload=8192)) as server:
        yield server


async def reported(server: NdbServer, clock: VirtualClock | None = None, **options: Any) -> ConformanceReport:
    async def sleep(seconds: float) -> None:
        if clock is None:
            await asyncio.sleep(min(seconds, 1.5))
        else:
            clock.move(seconds)

    token = options.pop("token", None)
    target = Target(server.uri, token=token, answer_timeout=20.0)
    return await run_conformance(target, sleep=sleep, max_payload=8192, **options)


def outcomes(report: ConformanceReport, section: Section) -> set[Outcome]:
    return set(report.counts(section))


def lines_of(report: ConformanceReport, case: str) -> str:
    return "\n".join(line for each in report.results if each.case == case for line in each.lines)


@pytest.mark.parametrize("kind", ["memory", "sqlite", pytest.param("redis", marks=pytest.mark.slow)])
async def test_our_server_passes_everything_on_each_store(kind: str, tmp_path: Path) -> None:
    uri = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/s.db"}.get(kind) or redis_uri()
    store = MemoryStore() if kind == "memory" else await open_store(uri)
    async with served(Engine(store, persist_path=tmp_path)) as server:
        report = await reported(server)
        assert outcomes(report, Section.REQUIRED) == {Outcome.PASSED}, report.as_json()["cases"]
        assert outcomes(report, Section.EXTENSIONS) == {Outcome.PASSED}
        assert outcomes(report, Section.ODDITIES) <= {Outcome.AS_NDB_MODELS, Outcome.AS_NEMESISDB}
        assert report.is_conforming
        async with NdbClient.connect(server.uri) as client:
            assert await client.kv_count() == 0
            assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_nemesisdb_passes_what_is_required_and_lacks_the_extensions(
    tmp_path: Path, clock: VirtualClock
) -> None:
    async with served(NemesisDbEngine(MemoryStore(clock=clock), persist_path=tmp_path)) as server:
        report = await reported(server, clock)
        assert outcomes(report, Section.REQUIRED) == {Outcome.PASSED}, report.as_json()["cases"]
        assert outcomes(report, Section.EXTENSIONS) == {Outcome.SKIPPED}
        numbers = [each.outcome for each in report.results if each.case == "kv values numbers"]
        assert numbers == [Outcome.AS_NEMESISDB]


class Faulty(Engine):
    """Answers as another server would that has a fault."""

    def __init__(self, wrong: bytes, right: bytes, clock: VirtualClock) -> None:
        super().__init__(MemoryStore(clock=clock))
        self._wrong, self._right = wrong, right

    def begin(self, frame: bytes, admin: bool = True, *others: Any) -> bytes | Coroutine[Any, Any, bytes]:
        answer = super().begin(frame, admin, *others)
        if isinstance(answer, bytes):
            return answer.replace(self._right, self._wrong)
        return self._awaited(answer)

    async def _awaited(self, answer: Coroutine[Any, Any, bytes]) -> bytes:
        return (await answer).replace(self._right, self._wrong)


@pytest.mark.parametrize(
    ("right", "wrong", "case"),
    [
        (b'"st":26', b'"st":41', "kv add wrong types"),
        (b'"KV_COUNT_RSP":{"cnt":2', b'"KV_COUNT_RSP":{"cnt":3', "kv count"),
        (b'"contains"', b'"found"', "kv contains"),
        (b'"SH_GET_RSP":{"keys":{"a":7}', b'"SH_GET_RSP":{"keys":{"a":8}', "128 requests that are sent together"),
        (b'"st":10', b'"st":13', "an unknown SH_ command is answered under its name"),
        (b'"ERR"', b"ERR", "proto two commands"),
    ],
)
async def test_a_fault_fails_what_is_required_and_the_difference_is_shown(
    right: bytes, wrong: bytes, case: str, clock: VirtualClock
) -> None:
    async with served(Faulty(wrong, right, clock)) as server:
        report = await reported(server, clock)
        assert not report.is_conforming
        assert "expected" in lines_of(report, case)
        assert "answered" in lines_of(report, case)


async def test_data_of_others_is_left_alone_unless_it_may_be_cleared(clock: VirtualClock) -> None:
    async with served(Engine(MemoryStore(clock=clock))) as server, NdbClient.connect(server.uri) as client:
        await client.kv_set({"a": "mine", "u": 1})
        tkn = (await client.sh_create_session()).tkn
        report = await reported(server, clock)
        assert report.is_conforming
        assert "--destructive" in lines_of(report, "kv clear")
        assert await client.kv_get(await client.kv_keys()) == {"a": "mine", "u": 1}
        assert await client.sh_session_exists([tkn]) == [tkn]
        cleared = await reported(server, clock, destructive=True)
        assert lines_of(cleared, "kv clear") == ""
        assert await client.kv_count() == 0


async def test_a_token_for_data_skips_what_is_for_admins(clock: VirtualClock) -> None:
    tokens = Tokens([(Role.DATA, DATA), (Role.ADMIN, ADMIN)])
    async with served(
        Engine(MemoryStore(clock=clock)), ServerOptions(port=0, max_payload=8192, tokens=tokens)
    ) as server:
        report = await reported(server, clock, token=DATA)
        assert report.is_conforming
        assert "status 14" in lines_of(report, "kv clear")
        with pytest.raises(ConnectError) as refused:
            await reported(server)
        assert "401" in str(refused.value)


async def test_without_the_limit_it_is_skipped_and_says_so(clock: VirtualClock) -> None:
    async with served(Engine(MemoryStore(clock=clock))) as server:

        async def sleep(seconds: float) -> None:
            clock.move(seconds)

        report = await run_conformance(Target(server.uri), sleep=sleep)
        assert "--max-payload" in lines_of(report, "a request over it")


@pytest.mark.parametrize("uri", ["memory://", "sqlite:///x.db", "http://127.0.0.1:1/"])
def test_what_is_no_server_is_refused(uri: str) -> None:
    with pytest.raises(InvalidArgumentError):
        Target(uri)


def test_the_report_is_json() -> None:
    assert json.loads(json.dumps(ConformanceReport("0.7.2").as_json()))["conforming"] is True


def test_the_shipped_steps_are_those_of_the_transcripts() -> None:
    checked = subprocess.run([sys.executable, str(ROOT / ".ci/conformance_steps.py"), "--check"], check=False)
    assert checked.returncode == 0, "run .ci/conformance_steps.py, and commit the file"


class Dying(Engine):
    """Has its server stop at a request, as one that crashes."""

    server: NdbServer

    def begin(self, frame: bytes, admin: bool = True, *others: Any) -> bytes | Coroutine[Any, Any, bytes]:
        if b"KV_ARR_APPEND" in frame:
            self.stopping = asyncio.get_running_loop().create_task(self.server.stop())
        return super().begin(frame, admin, *others)


async def test_a_server_that_dies_fails_the_cases_from_there_on(clock: VirtualClock) -> None:
    engine = Dying(MemoryStore(clock=clock))
    async with served(engine) as server:
        engine.server = server
        report = await reported(server, clock)
    await engine.stopping
    outcomes = {each.case: each.outcome for each in report.results}
    assert outcomes["kv update"] is Outcome.PASSED
    assert outcomes["sh set then get"] is Outcome.FAILED
    assert "cannot connect" in lines_of(report, "sh set then get")


class Silent(Engine):
    """Answers nothing to one command."""

    async def _never(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    def begin(self, frame: bytes, admin: bool = True, *others: Any) -> bytes | Coroutine[Any, Any, bytes]:
        return self._never() if b'"SH_SET"' in frame else super().begin(frame, admin, *others)


async def test_a_server_that_does_not_answer_is_not_waited_for_without_end(clock: VirtualClock) -> None:
    options = ServerOptions(port=0, max_payload=8192, stop_timeout=0.1, close_timeout=0.1)
    async with served(Silent(MemoryStore(clock=clock)), options) as server:

        async def sleep(seconds: float) -> None:
            clock.move(seconds)

        report = await run_conformance(Target(server.uri, answer_timeout=0.1), sleep=sleep)
    assert not report.is_conforming
    assert "no answer" in lines_of(report, "sh set then get")
    assert "no answer" in lines_of(report, "128 requests that are sent together")
