"""Count the functions of this package that one request enters: on `memory://`, and on the client's side over `ws://`.

Also those of one request of a browser to an application whose sessions are on `memory://`: `benchmarks.web` has it.

Run `python -m benchmarks.calls` for the table alone, or with `--trace` for every function by name, in order. `make
bench` prints the table too. To count another tree's functions, put it first in PYTHONPATH.

The requests are `Repository.get` of a session, and `save` of a session with one changed field. The session expires when
idle, and was saved in parts before. Each request runs a few times first, so that work that is done once does not count.
A coroutine counts again each time it resumes. A comprehension counts before Python 3.12, which makes no function of it.
Functions of other packages do not count.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import ndb_models
from benchmarks.harness import loop_factories, table
from benchmarks.repository import Measured, measured
from benchmarks.servers import MeasuredServer, measured_server
from benchmarks.web import Browser
from benchmarks.web_sides import MODELS, ours
from ndb_models import NdbClient, Repository

_PACKAGE: Final = str(Path(ndb_models.__file__).parent)
_WARM_UP: Final = 20

Function = tuple[str, int]
"""The name of a function, after its module's, and its depth in the stack."""


async def functions_entered(request: Callable[[], Awaitable[object]]) -> list[Function]:
    """Return the functions of this package that a request enters, in order."""
    entered: list[Function] = []

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_PACKAGE):
            module = code.co_filename[len(_PACKAGE) + 1 : -len(".py")].replace("/", ".")
            entered.append((f"{module}: {getattr(code, 'co_qualname', code.co_name)}", _depth(frame)))

    sys.setprofile(note)
    try:
        await request()
    finally:
        sys.setprofile(None)
    return entered


def _depth(frame: FrameType) -> int:
    """Return the number of functions of this package in which a function runs."""
    depth, outer = 0, frame.f_back
    while outer is not None:
        depth += outer.f_code.co_filename.startswith(_PACKAGE)
        outer = outer.f_back
    return depth


async def count(uri: str) -> dict[str, list[Function]]:
    """Return the functions that each request enters on a server."""
    async with NdbClient.connect(uri) as client:
        repo = Repository(client, Measured)
        session = await repo.create(measured(0))
        tkn = session.tkn

        async def get() -> None:
            await repo.get(tkn)

        async def save() -> None:
            await repo.save(session)

        for visits in range(1, _WARM_UP):
            session.visits = visits
            await save()
            await get()
        session.visits = _WARM_UP
        return {"save of one changed field": await functions_entered(save), "get": await functions_entered(get)}


async def count_web(size: int) -> dict[str, list[Function]]:
    """Return the functions that a browser's request enters, for a session of so many fields."""
    async with ours("ours", "memory://").opened(size) as app:
        browser = Browser(app)
        await browser.login()
        for _ in range(_WARM_UP):
            await browser.request("GET", "/read")
            await browser.request("POST", "/change")
        return {
            "read": await functions_entered(partial(browser.request, "GET", "/read")),
            "change": await functions_entered(partial(browser.request, "POST", "/change")),
        }


def bench(server: MeasuredServer, *, trace: bool = False) -> None:
    """Count, and print tables; with `trace`, also every function."""
    counts = {"memory://": asyncio.run(count("memory://"))}
    for loop_name, factory in loop_factories().items():
        with asyncio.Runner(loop_factory=factory) as runner:
            counts[f"ws://, the client alone ({loop_name})"] = runner.run(count(server.uri))
    table(
        "Functions of this package that one request enters",
        ("where", "get", "save of one changed field"),
        [
            (where, str(len(entered["get"])), str(len(entered["save of one changed field"])))
            for where, entered in counts.items()
        ],
    )
    of_web = {f"memory://, {size} fields": asyncio.run(count_web(size)) for size in MODELS}
    table(
        "Functions of this package that one request of a browser enters",
        ("where", "read", "change"),
        [(where, str(len(entered["read"])), str(len(entered["change"]))) for where, entered in of_web.items()],
    )
    if trace:
        for where, requests in (counts | of_web).items():
            for name, entered in requests.items():
                lines = [f"{'  ' * depth}{function}" for function, depth in entered]
                sys.stdout.write("\n".join([f"\n{name}, {where}", *lines]) + "\n")


def main() -> None:
    """Count on a server of its own, or on the one that `NDB_URI` names."""
    parser = argparse.ArgumentParser(prog="benchmarks.calls")
    parser.add_argument("--trace", action="store_true", help="print every function by name")
    options = parser.parse_args()
    with measured_server() as server:
        bench(server, trace=options.trace)


if __name__ == "__main__":
    main()
