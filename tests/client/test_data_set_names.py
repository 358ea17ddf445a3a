"""Names of data sets: one rule, by which the client refuses before it sends, and the engine before it writes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ndb_models import InvalidArgumentError, NdbClient
from ndb_models.engine import Engine
from ndb_models.moving import copy
from ndb_models.server.configuration import configure
from ndb_models.stores.memory import MemoryStore
from tests.transport.servers import Host

WRONG: dict[str, str] = {
    "nothing": "",
    "this folder": ".",
    "the folder above": "..",
    "a path upward": "../keys",
    "a path downward": "keys/../../etc",
    "a path": "a/b",
    "an absolute path": "/etc/keys",
    "a path of Windows": "..\\keys",
    "a share of Windows": "\\\\host\\share",
    "a drive": "C:keys",
    "a stream of NTFS": "keys:stream",
    "a hidden name": ".keys",
    "a NUL": "keys\0",
    "a line break": "keys\n",
    "an escape": "\x1b[2J",
    "a deletion": "\x7f",
    "a lone surrogate": "\ud800",
    "a line separator": "\u2028",
    "a reversal": "\u202esyek",
    "256 bytes": "x" * 256,
    "86 characters of 3 bytes": "\u65e5" * 86,
}
RIGHT = [
    "keys",
    "2026-11-28",
    "a b",
    "~",
    "%2e%2e%2f",
    "a..b",
    "x" * 255,
    "\u65e5" * 85,
    "\u00e9",
    "\U0001f600",
    "-rf",
    "a.",
]
NOT_STRINGS: list[object] = [None, 5, b"keys", Path("keys"), ["keys"], True]

Call = Callable[[NdbClient, str], Awaitable[object]]
CALLS: dict[str, Call] = {
    "kv_save": lambda client, name: client.kv_save(name),
    "kv_load": lambda client, name: client.kv_load(name),
    "sh_save": lambda client, name: client.sh_save(name),
    "sh_save of some": lambda client, name: client.sh_save(name, [1]),
    "sh_load": lambda client, name: client.sh_load(name),
}

calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
wrong = pytest.mark.parametrize("name", WRONG.values(), ids=WRONG)


@calls
async def test_a_name_that_is_no_path_segment_is_refused_before_it_is_sent(call: Call) -> None:
    async with Host() as host, NdbClient.connect(host.uri) as client:
        for name in (*WRONG.values(), *NOT_STRINGS):
            with pytest.raises(InvalidArgumentError) as refused:
                await call(client, name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is the test
            assert isinstance(refused.value, ValueError)
            assert not isinstance(name, str) or len(name) < 4 or name not in str(refused.value)
        assert host.requests == []


@calls
async def test_it_is_refused_in_process_too(client: NdbClient, call: Call) -> None:
    for name in WRONG.values():
        with pytest.raises(InvalidArgumentError):
            await call(client, name)


@pytest.mark.parametrize("name", RIGHT)
async def test_any_other_name_is_taken(client: NdbClient, name: str) -> None:
    await client.kv_set({"a": 1})
    session = await client.sh_create_session()
    assert await client.kv_save(name) is True
    assert await client.kv_load(name) == 1
    assert await client.sh_save(name, [session.tkn]) is True
    assert (await client.sh_load(name))["name"] == name


@wrong
@pytest.mark.parametrize(
    ("command", "status"), [("KV_SAVE", 123), ("SH_SAVE", 123), ("KV_LOAD", 142), ("SH_LOAD", 142)]
)
async def test_an_engine_refuses_what_comes_all_the_same(tmp_path: Path, command: str, status: int, name: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    engine = Engine(MemoryStore(), persist_path=folder)
    answer = json.loads(await engine.handle(json.dumps({command: {"name": name}}).encode()))
    if name == "\ud800":  # which is no text that could be taken
        assert answer["ERR"]["st"] == 3
    else:
        assert answer[f"{command}_RSP"]["st"] == status
    assert list(tmp_path.rglob("*")) == [folder]


@wrong
def test_a_server_is_not_started_with_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="--load-name: the name of a data set"):
        configure({"load_name": ["keys", name], "persist_path": str(tmp_path)}, {})


@wrong
@pytest.mark.parametrize("kind", ["keys", "sessions"])
async def test_nothing_is_copied_from_or_to_it(tmp_path: Path, kind: str, name: str) -> None:
    if name in ("", "\ud800"):  # a URI holds neither
        return
    escaped = "".join(f"%{byte:02x}" for byte in name.encode())
    uri, other = f"snapshot:///{tmp_path}?{kind}={escaped}", f"sqlite:///{tmp_path}/store.db"
    for source, target in ((uri, other), (other, uri)):
        if target == uri:
            async with NdbClient.connect(other):
                pass
        with pytest.raises(InvalidArgumentError, match=f"{kind}=: the name of a data set"):
            await copy(source, target, report=lambda _: None)
