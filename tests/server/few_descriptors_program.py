"""A server that believes it may have many clients, in a process that may open few files.

`python -m tests.server.few_descriptors_program LOOP`; it writes its port, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import resource
import sys

from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.server.logs import log_to
from ndb_models.stores.memory import MemoryStore

FREE = 40
"""How many files it may open beyond those that it has open when it is ready."""


async def serve() -> None:
    log_to(sys.stderr, level="warning", style="text")
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + FREE, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    new_loop = importlib.import_module("uvloop").new_event_loop if sys.argv[1] == "uvloop" else None
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())
