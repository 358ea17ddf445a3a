"""Runs commands in this process, on stores with data, for the tests of single commands."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ndb_models import NdbClient
from ndb_models.cli.main import main
from ndb_models.testing import RunningServer
from tests.redis_uris import redis_uri


class Ran(NamedTuple):
    """A command that has run: its exit status, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class Shell:
    """Runs commands in a directory, with modules of models."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def write(self, module: str, text: str) -> None:
        """Write a module, and have it imported anew."""
        (self.directory / f"{module}.py").write_text(textwrap.dedent(text), "utf-8")
        sys.modules.pop(module, None)

    def environ(self, name: str, value: str) -> None:
        """Set a variable of the environment."""
        self._monkeypatch.setenv(name, value)

    def run(self, *arguments: str, stdin: str | None = None) -> Ran:
        """Run a command."""
        if stdin is not None:
            self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self._capsys.readouterr()
        status = main(arguments)
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        return Ran(status, captured.out, captured.err)

    def refused(self, *arguments: str) -> str:
        """Run a command that is called wrongly; return its one line."""
        ran = self.run(*arguments)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.count("\n") == 1
        return ran.err


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """A shell in an empty directory, without variables of ours."""
    for name in [name for name in os.environ if name.startswith("NDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = {*sys.modules}
    yield Shell(tmp_path, capsys, monkeypatch)
    for name in {*sys.modules} - before:
        if name.startswith("app_"):
            del sys.modules[name]


@pytest.fixture(params=["sqlite", "ws", pytest.param("redis", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URI of an empty store of each kind that a command line reaches."""
    if request.param == "ws":
        with RunningServer() as server:
            yield server.uri
        return
    uri = f"sqlite:///{tmp_path}/sessions.db" if request.param == "sqlite" else redis_uri()
    do(uri, lambda client: client.kv_count())
    yield uri


def do(uri: str, action: Callable[[NdbClient], Awaitable[Any]]) -> Any:
    """Open a store, call a coroutine function with its client, and return the result."""

    async def run() -> Any:
        async with NdbClient.connect(uri) as client:
            return await action(client)

    return asyncio.run(run())
