"""What a session middleware adds to a request: ours on each store, and those that people use today.

The middlewares and their endpoints are in `benchmarks/web_sides.py`. Requests go through the ASGI interface, in one
event loop, a millisecond or more of one side after the other. The time of the bare application is subtracted from the
time for a request. The figures are the least of many slices, since a shared machine only ever adds to a time. Sides
without a store are measured apart from those with one, whose clients would push their code out of the caches.

Run `python -m benchmarks.web` for these tables alone; `python -m benchmarks.web 20` measures four times as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Message, Scope

from benchmarks.harness import loop_factories, table
from benchmarks.servers import measured_server, valkey_server
from benchmarks.web_sides import BARE, COOKIE, MODELS, WebSide, ours, rivals_on_redis

SLICE: Final = 0.001
"""Seconds for which one side is measured at a time: shorter than a time slice of the system."""

_SLICES: Final = 12
"""Slices of each side in a round."""

CONCURRENT: Final = 50

_HEADERS: Final = [
    (b"host", b"shop.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-GB,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"origin", b"https://shop.example"),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-site", b"same-origin"),
]


@dataclass(frozen=True)
class Case:
    """A request that is measured, and how many of them are under way at a time."""

    title: str
    method: str
    path: str
    size: int = 6
    tasks: int = 1
    with_cookie: bool = True


CASES: Final = (
    Case("No cookie, session not touched", "GET", "/untouched", with_cookie=False),
    Case("Session not touched", "GET", "/untouched"),
    *(
        Case(f"Session of {size} fields, {what}, {how}", method, path, size, tasks)
        for tasks, how in ((1, "one at a time"), (CONCURRENT, f"{CONCURRENT} at a time"))
        for size in MODELS
        for what, method, path in (("read", "GET", "/read"), ("one field changed", "POST", "/change"))
    ),
)


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


class Browser:
    """Sends requests to an application, with the cookie that it got at login."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._cookies: list[tuple[bytes, bytes]] = []
        self._started: Message = {}

    async def request(self, method: str, path: str, *, with_cookie: bool = True) -> None:
        """Send a request; assert that it is answered by 200."""
        headers = [*_HEADERS, *self._cookies] if with_cookie else [*_HEADERS]
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50000),
            "server": ("shop.example", 443),
            "state": {},
        }
        await self._app(scope, _receive, self._send)
        assert self._started["status"] == 200

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = message

    async def login(self) -> None:
        """Begin a session, and keep its cookie."""
        await self.request("POST", "/login")
        set_cookies = [text for name, text in self._started["headers"] if name.lower() == b"set-cookie"]
        self._cookies = [(b"cookie", text.partition(b";")[0]) for text in set_cookies]


class MeasuredSide:
    """One side in one case: its browsers, and the microseconds for a request in each slice."""

    def __init__(self, name: str, browsers: Sequence[Browser], case: Case) -> None:
        self.name = name
        self.times: list[float] = []
        self._browsers = browsers[: case.tasks]
        self._case = case
        self._requests = 1

    async def measure(self, *, counts: bool = True) -> None:
        """Measure a slice. The number of requests in it follows from the time that the ones before took."""
        started = time.perf_counter()
        if len(self._browsers) == 1:
            await self._send(self._browsers[0])
        else:
            await asyncio.gather(*map(self._send, self._browsers))
        taken = (time.perf_counter() - started) / (self._requests * len(self._browsers))
        self._requests = max(1, int(SLICE / taken / len(self._browsers)))
        if counts:
            self.times.append(taken * 1e6)

    async def _send(self, browser: Browser) -> None:
        case = self._case
        for _ in range(self._requests):
            await browser.request(case.method, case.path, with_cookie=case.with_cookie)


async def _measured(case: Case, sides: dict[str, Sequence[Browser]], slices: int) -> list[MeasuredSide]:
    measured = [MeasuredSide(name, browsers, case) for name, browsers in sides.items()]
    for number in range(-2, slices):
        for side in measured:
            await side.measure(counts=number >= 0)
    return measured


def _rows(measured: Sequence[MeasuredSide]) -> list[tuple[str, ...]]:
    """Return the rows of a table. The first side is bare, and the second one what others are compared with."""
    bare, compared = (min(side.times) for side in measured[:2])
    rows: list[tuple[str, ...]] = []
    for side in measured:
        over = min(side.times) - bare
        ratio = f"{over / (compared - bare):.2f}" if side is not measured[0] else ""
        rows.append((side.name, f"{min(side.times):.1f}", f"{statistics.median(side.times):.1f}", f"{over:.1f}", ratio))
    return rows


async def _bench(sides: Sequence[WebSide], loop_name: str, slices: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        browsers: dict[int, dict[str, Sequence[Browser]]] = {}
        for size in MODELS:
            browsers[size] = {}
            for side in sides:
                app = await stack.enter_async_context(side.opened(size))
                browsers[size][side.name] = [Browser(app) for _ in range(CONCURRENT)]
                await asyncio.gather(*(browser.login() for browser in browsers[size][side.name]))
        head = ("side", "least, us", "median, us", "over bare, us", f"times {sides[1].name}")
        for case in CASES:
            measured = await _measured(case, browsers[case.size], slices)
            table(f"{case.title} ({loop_name})", head, _rows(measured))


def bench(*, scale: float, rounds: int) -> None:
    """Measure all sides in all cases."""
    with tempfile.TemporaryDirectory() as directory, measured_server() as server, valkey_server() as redis:
        file, slices = f"sqlite:///{Path(directory, 'sessions.db')}", int(_SLICES * rounds * scale) or 1
        normal = f"sqlite:///{Path(directory, 'normal.db')}?synchronous=normal"
        in_process = [BARE, COOKIE, ours("ours, memory", "memory://")]
        stored = [ours("ours, sqlite", file), ours("ours, sqlite, normal", normal), ours("ours, ws", server.uri)]
        if redis is not None:
            stored = [*rivals_on_redis(redis), *stored, ours("ours, redis", redis)]
        for loop_name, factory in loop_factories().items():
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(_bench(in_process, loop_name, 4 * slices))
                runner.run(_bench([BARE, *stored], loop_name, slices))


if __name__ == "__main__":
    bench(scale=1.0, rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 5)
