"""A server of several workers, each on a store of its own: what is to be seen is who answers, and who ends.

`python -m tests.server.workers_program COUNT MODE`. A MODE is one of these:

- serve: all is well
- gate: each worker waits for a byte on standard input before it handles signals
- fail: no worker can start
- one-fails: the second worker can never start
- first-fails: the first worker can never start
- hang: a worker that is told to stop does not
"""

from __future__ import annotations

import asyncio
import os
import sys

from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.server.generations import Generations, WorkerState
from ndb_models.server.signals import handling_signals
from ndb_models.server.workers import Supervisor, hold_port
from ndb_models.stores.memory import MemoryStore


def say(line: str) -> None:
    """Write a line in one piece, so that those of several processes do not mix."""
    os.write(1, f"{line}\n".encode())


async def serve(port: int, mode: str, state: WorkerState) -> None:
    stopping = asyncio.Event()

    def reload() -> None:
        state.note_served(state.generations.asked)
        say(f"reload {os.getpid()} {state.served}")

    def stop() -> None:
        say(f"stop {os.getpid()} 0")
        if mode != "hang":
            stopping.set()

    if mode == "gate":
        say(f"begun {os.getpid()} {port}")
        os.read(0, 1)
    with handling_signals(stop=stop, reload=reload):
        engine = Engine(MemoryStore())
        await engine.handle(b'{"KV_SET":{"keys":{"pid":%d}}}' % os.getpid())
        async with NdbServer(engine, ServerOptions(port=port, reuse_port=True), state=state):
            say(f"worker {os.getpid()} {port}")
            state.note_ready()
            await stopping.wait()


def work(port: int, mode: str, state: WorkerState) -> int:
    number = state.generations.workers.index(state)
    if mode == "fail" or (mode, number) in (("one-fails", 1), ("first-fails", 0)):
        say(f"fail {os.getpid()} {number}")
        return 1
    asyncio.run(serve(port, mode, state))
    return 0


def main() -> int:
    count, mode = int(sys.argv[1]), sys.argv[2]
    with hold_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        # Long enough to write down what coverage has measured.
        stop_within = 0.5 if mode == "hang" else 10
        return Supervisor(Generations(count), lambda state: work(port, mode, state), stop_within=stop_within).run()


if __name__ == "__main__":
    sys.exit(main())
