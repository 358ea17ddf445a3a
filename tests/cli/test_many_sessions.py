"""Any number of sessions is listed and exported in memory that does not grow with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndb_models.cli.main import main
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.types import NEVER

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

# Two times the memory that is allowed, if half of what is stored of each session were kept.
MANY = 20_000
BYTES = 3 * 1024 * 1024


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("many") / "sessions.db"
    asyncio.run(fill(path))
    return f"sqlite:///{path}"


async def fill(path: Path) -> None:
    """Create typed sessions, as a repository would, many in one commit."""
    async with SqliteStore(path) as store:
        for start in range(1, MANY, 10_000):
            await asyncio.gather(*(store.create(tkn, NEVER, keys_of(tkn)) for tkn in range(start, start + 10_000)))


def keys_of(tkn: int) -> dict[str, bytes]:
    reserved = {"schema": "many", "version": 1, "tkn": tkn}
    return {"user_id": b"%d" % (tkn % 100), "text": b'"%b"' % (b"x" * 100), "__ndb__": json.dumps(reserved).encode()}


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Check that the block takes no more than so many bytes at a time."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BYTES, f"{peak / 1024 / 1024:.1f} MiB"


@pytest.mark.parametrize("flags", [("--json",), ("--json", "--where", "user_id=7")])
def test_a_list_is_printed_while_it_is_read(uri: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    main(["sessions", "ls", "--limit", "1", "--store", uri])  # what is imported once is no part of it
    path = tmp_path / "list"
    with path.open("w") as output, contextlib.redirect_stdout(output), bounded():
        assert main(["sessions", "ls", *flags, "--store", uri]) == 0
    with path.open() as printed:
        lines = sum(1 for _ in printed)
    assert lines == (MANY // 100 if "--where" in flags else MANY)


def test_an_export_is_written_while_it_is_read(uri: str, tmp_path: Path) -> None:
    path = tmp_path / "sessions.jsonl"
    with bounded():
        assert main(["sessions", "export", "--to", str(path), "--store", uri]) == 0
    with path.open() as file:
        assert sum(1 for _ in file) == MANY
    assert path.stat().st_size > MANY * 200
