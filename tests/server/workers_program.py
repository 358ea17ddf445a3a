"""A server of several workers, each on a store of its own: what is to be seen is who answers, and who ends.

`python -m tests.server.workers_program COUNT MODE`; MODE is `serve`, `age` for workers that seem to live long, or
`fail` for workers that cannot start.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import signal
import sys
import time

from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.server.workers import Supervisor, hold_port
from ndb_models.stores.memory import MemoryStore


def say(line: str) -> None:
    """Write a line in one piece, so that those of several processes do not mix."""
    os.write(1, f"{line}\n".encode())


async def serve(port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, say, f"reload {os.getpid()}")
    engine = Engine(MemoryStore())
    await engine.handle(b'{"KV_SET":{"keys":{"pid":%d}}}' % os.getpid())
    async with NdbServer(engine, ServerOptions(port=port, reuse_port=True)):
        say(f"worker {os.getpid()} {port}")
        await stopping.wait()


def work(port: int, mode: str) -> int:
    if mode == "fail":
        return 1
    asyncio.run(serve(port))
    return 0


def main() -> int:
    count, mode = int(sys.argv[1]), sys.argv[2]
    with hold_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        clock = functools.partial(next, itertools.count(step=10.0)) if mode == "age" else time.monotonic
        return Supervisor(count, lambda: work(port, mode), clock=clock).run()


if __name__ == "__main__":
    sys.exit(main())
