"""64 browsers in a shop whose store, or which itself, is killed again and again: what was answered must be true.

The browsers log in, read, add to their carts, change roles, and log out, several requests at a time, some of them slow.
Meanwhile the store (our server, in front of a file) or the shop itself (with the file) is killed with SIGKILL, and
started again. Each answer is compared with what the browser knows:

- It names the user that is logged in here.
- It shows each item that was acknowledged before the request was sent, and none that was never sent.
- A browser is logged out only by itself.
- While the store is away, answers are 503 with `Retry-After`. No other status comes that the browser does not ask for.

At the end, with everything running, each browser's session is reckoned up, and each former cookie must open nothing.

`python -m benchmarks.web_load` does both for a minute each; `python -m benchmarks.web_load 10` for ten seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.web_browser import Answer, Browser

BROWSERS = 64
ROLES = ("customer", "member", "manager")

# Seconds that the killed process runs at least, and is away at least.
_UNDISTURBED = 1.0
_AWAY = 0.5


@dataclass
class Report:
    """What a load test found: the faults, and how much happened."""

    faults: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    reckoned: int = 0
    kills: int = 0
    slowest_unavailable: float = 0.0

    @property
    def unanswered(self) -> int:
        """How many requests had no answer."""
        return sum(count for status, count in self.statuses.items() if status.startswith("without"))

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in sorted(self.statuses.items()))
        lines = [
            f"{self.kills} kills; answers: {counts}",
            f"{self.acknowledged} items acknowledged, {self.reckoned} reckoned up at the end of their sessions",
            f"the slowest 503 took {self.slowest_unavailable:.2f} s; {len(self.faults)} faults",
        ]
        return "\n".join([*lines, *self.faults[:20]])


class Shopper:
    """A user with one browser: sends requests, and compares the answers with what was acknowledged before."""

    def __init__(self, name: str, port: int, report: Report) -> None:
        self._name = name
        self._browser = Browser(port)
        self._report = report
        self._random = random.Random(name)
        self._user: str | None = None
        self._logins = 0
        self._items = 0
        self._acknowledged: set[str] = set()
        self._sent: set[str] = set()
        self._dead_cookies: list[dict[str, str]] = []

    async def run(self, over: asyncio.Event) -> None:
        """Go on until it is over, then wait for what is under way."""
        while not over.is_set():
            if self._user is None:
                await self._log_in()
            elif self._random.random() < 0.1:
                await self._log_out()
            else:
                await self._shop()

    async def _shop(self) -> None:
        """Send some requests at once, at most one of which changes the role."""
        adding = [self._add() for _ in range(self._random.randint(0, 3))]
        reading = [self._read() for _ in range(self._random.randint(1, 2))]
        changing = [self._change_role()] if self._random.random() < 0.2 else []
        answers = await asyncio.gather(*adding, *reading, *changing)
        await self._rest(answers)

    async def _rest(self, answers: Sequence[Answer]) -> None:
        if not all(answer.is_ok for answer in answers):
            await asyncio.sleep(self._random.uniform(0.05, 0.2))

    def _slow(self) -> str:
        return f"?slow={self._random.uniform(0.05, 0.4):.2f}" if self._random.random() < 0.1 else ""

    async def _log_in(self) -> None:
        self._logins += 1
        user = f"{self._name}-{self._logins}"
        cookies = dict(self._browser.cookies)
        answer = await self._ask("POST", f"/login/{user}", may_be_refused=True)
        if answer.is_ok:
            self._user, self._acknowledged, self._sent = user, set(), set()
            self._compare(answer, set())
        elif self._browser.cookies != cookies:
            self._fault(f"a login that failed with {answer.status} changed the cookie")
        await self._rest([answer])

    async def _log_out(self) -> None:
        before = await self._read()
        if not before.is_ok:
            return
        cookies = dict(self._browser.cookies)
        answer = await self._ask("POST", "/logout", may_be_refused=True)
        if answer.is_ok:
            self._user = None
            if self._browser.cookies:
                self._fault("a logout left a cookie")
        else:  # it may have been carried out, or not
            await self._find_out()
        if self._user is None:
            self._report.reckoned += len(self._acknowledged)  # they were all in what was read before
            self._dead_cookies.append(cookies)

    async def _find_out(self) -> None:
        """Find out whether the session lives, after a logout that failed."""
        while True:
            answer = await self._ask("GET", "/me", may_be_refused=True)
            if answer.status == 401:
                self._user = None
                self._browser.cookies.clear()
            if answer.status in (200, 401):
                return
            await self._rest([answer])

    async def _read(self) -> Answer:
        acknowledged = set(self._acknowledged)
        answer = await self._ask("GET", "/me" + self._slow())
        self._compare(answer, acknowledged)
        return answer

    async def _add(self) -> Answer:
        self._items += 1
        item = f"item{self._items}"
        self._sent.add(item)
        acknowledged = set(self._acknowledged)
        answer = await self._ask("POST", f"/cart/{item}" + self._slow())
        self._compare(answer, acknowledged | {item})
        if answer.is_ok:
            self._acknowledged.add(item)
            self._report.acknowledged += 1
        return answer

    async def _change_role(self) -> Answer:
        acknowledged = set(self._acknowledged)
        answer = await self._ask("POST", f"/role/{self._random.choice(ROLES)}" + self._slow())
        self._compare(answer, acknowledged)
        return answer

    async def _ask(self, method: str, path: str, *, may_be_refused: bool = False) -> Answer:
        answer = await self._browser.request(method, path)
        report, status = self._report, answer.status
        report.statuses[f"{status}" if status else f"without answer ({answer.body})"] += 1
        if status == 503:
            report.slowest_unavailable = max(report.slowest_unavailable, answer.seconds)
            if not answer.headers.get("retry-after", "").isdigit():
                self._fault(f"{method} {path}: a 503 without Retry-After")
        elif status == 401 and not may_be_refused:
            self._fault(f"{method} {path}: logged out")
        elif status not in (0, 200, 401):
            self._fault(f"{method} {path}: answered {status}")
        return answer

    def _compare(self, answer: Answer, acknowledged: set[str]) -> None:
        if not answer.is_ok:
            return
        user, cart = answer.body["user"], set(answer.body["cart"])
        if user != self._user:
            self._fault(f"{self._user} was answered as {user}")
        if lost := acknowledged - cart:
            self._fault(f"{self._user} lost {sorted(lost)}")
        if foreign := cart - self._sent:
            self._fault(f"{self._user} has got {sorted(foreign)}")

    def _fault(self, text: str) -> None:
        self._report.faults.append(f"{self._name}: {text}")

    async def reckon(self) -> None:
        """Compare the session with all that was acknowledged. Everything runs, so each request is answered."""
        if self._user is not None:
            answer = await self._read()
            if not answer.is_ok:
                self._fault(f"the last look was answered {answer.status}")
            self._report.reckoned += len(self._acknowledged)
        for cookies in self._dead_cookies:
            self._browser.cookies = cookies
            answer = await self._ask("GET", "/me", may_be_refused=True)
            if answer.status != 401:
                self._fault(f"a cookie was answered {answer.status} after its logout")
        await self._browser.close()


class Killed:
    """A process that is killed and started again while browsers use it."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self._command = command
        self._port = port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(sys.executable, *self._command, stdout=quiet)
        for _ in range(1500):
            if await _accepts(self._port):
                return
            await asyncio.sleep(0.02)
        raise SystemExit(f"{self._command[1]} did not start")

    async def kill(self) -> None:
        """Kill it, as a crash would."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Stop it."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await self._process.wait()


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def _running(command: Sequence[str], port: int) -> AsyncIterator[Killed]:
    process = Killed(command, port)
    try:
        await process.start()
        yield process
    finally:
        await process.stop()


async def _kill_again_and_again(victim: Killed, report: Report, seconds: float) -> None:
    """Kill again and again, for so long, each time after as many new items as there are browsers or more."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until or not report.kills:
        await asyncio.sleep(_UNDISTURBED)
        await _progress(report)
        await victim.kill()
        report.kills += 1
        await asyncio.sleep(_AWAY)
        await victim.start()
    await _progress(report)


async def _progress(report: Report) -> None:
    """Wait until some more items are acknowledged."""
    enough = report.acknowledged + BROWSERS
    async with asyncio.timeout(60):
        while report.acknowledged < enough:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)


async def _load(victim: Killed, port: int, seconds: float, browsers: int) -> Report:
    report = Report()
    shoppers = [Shopper(f"user{number}", port, report) for number in range(browsers)]
    over = asyncio.Event()
    shopping = [asyncio.create_task(shopper.run(over)) for shopper in shoppers]
    try:
        await _kill_again_and_again(victim, report, seconds)
    finally:
        over.set()
        await asyncio.gather(*shopping)
    await asyncio.gather(*(shopper.reckon() for shopper in shoppers))
    return report


async def store_killed(seconds: float, browsers: int = BROWSERS) -> Report:
    """Kill our server, which has its sessions in a file; the shop goes on. Return what was found."""
    with tempfile.TemporaryDirectory() as directory:
        store_port, shop_port = _free_port(), _free_port()
        store = f"sqlite:///{Path(directory, 'sessions.db')}"
        serve = ["-m", "ndb_models", "serve", "--port", str(store_port), "--store", store]
        shop = ["-m", "benchmarks.web_shop", str(shop_port), f"ws://127.0.0.1:{store_port}/"]
        async with _running(serve, store_port) as victim, _running(shop, shop_port):
            return await _load(victim, shop_port, seconds, browsers)


async def shop_killed(seconds: float, browsers: int = BROWSERS) -> Report:
    """Kill the shop itself, which has its sessions in a file. Return what was found."""
    with tempfile.TemporaryDirectory() as directory:
        port = _free_port()
        shop = ["-m", "benchmarks.web_shop", str(port), f"sqlite:///{Path(directory, 'sessions.db')}"]
        async with _running(shop, port) as victim:
            return await _load(victim, port, seconds, browsers)


def main() -> None:
    """Run both, and print what was found."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    failed = False
    for title, load in (("The store is killed", store_killed), ("The shop is killed", shop_killed)):
        report = asyncio.run(load(seconds))
        sys.stdout.write(f"{title}, {seconds:.0f} s, {BROWSERS} browsers\n{report}\n\n")
        failed = failed or bool(report.faults)
    sys.exit(failed)


if __name__ == "__main__":
    main()
