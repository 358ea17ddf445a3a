"""Run commands in this process, and the stores that they are tried on."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from ndb_models import NdbClient, Repository
from ndb_models.cli.main import main
from tests.cli.session_models import OneTime, Shopper

SECRET_CODE = SecretStr("hunter2")


class Run(NamedTuple):
    """What a command did: its status, and what it wrote to either stream."""

    status: int
    output: str
    errors: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.output)

    @property
    def lines(self) -> list[Any]:
        """The JSON lines on standard output."""
        return [json.loads(line) for line in self.output.splitlines()]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Run:
    """Run a command that needs no event loop of the test."""
    try:
        status = main(arguments)
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 0
    return Run(status, *capsys.readouterr())


@dataclass
class Place:
    """A store that commands are run on, and a client of it."""

    uri: str
    client: NdbClient
    capsys: pytest.CaptureFixture[str]

    async def run(self, *arguments: str) -> Run:
        """Run a command on the store, in a thread: it has an event loop of its own."""
        self.capsys.readouterr()
        return await asyncio.to_thread(run, self.capsys, *arguments, "--store", self.uri)

    async def fill(self) -> list[Shopper]:
        """Save three shoppers, two of them of the user 7, and a one-time code in a namespace; return the shoppers."""
        shoppers = Repository(self.client, Shopper)
        saved = [
            await shoppers.save(Shopper(user_id=7, device="phone", cart={"apple": 1}, code=SECRET_CODE)),
            await shoppers.save(Shopper(user_id=7, device="laptop", theme="light")),
            await shoppers.save(Shopper(user_id=8, device="tablet")),
        ]
        await Repository(self.client, OneTime, namespace="shop").save(OneTime(code="1234"))
        return saved
