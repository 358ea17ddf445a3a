"""A server in a process of its own, for tests that look at its memory: it is patient for a short time only.

Prints its URI when it is ready; logs to stderr what it should not have to. `python -m tests.fuzz.serve PERSIST_PATH`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Final

from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.fuzz.seeds import keep
from tests.fuzz.timing import TimedEngine

MAX_PAYLOAD: Final = 64 * 1024
PATIENCE: Final = 2.0
"""Seconds: for a handshake, for a message to come in whole, for answers to be read, and for the end of a connection."""


def _is_expected(record: logging.LogRecord) -> bool:
    """Whoever fails at the handshake is written down by websockets; all else would be a fault of the server's."""
    return record.getMessage() not in ("opening handshake failed", "connection rejected (403 Forbidden)")


def _complain_of(frame: bytes, seconds: float) -> None:
    logging.getLogger(__name__).error("%s held the loop for %.0f ms: %r", keep(frame), seconds * 1e3, frame[:200])


async def _serve(persist_path: Path) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    options = ServerOptions(
        port=0,
        max_payload=MAX_PAYLOAD,
        open_timeout=PATIENCE,
        receive_timeout=PATIENCE,
        send_timeout=PATIENCE,
        close_timeout=PATIENCE,
    )
    engine = TimedEngine(MemoryStore(), persist_path=persist_path, tell=_complain_of)
    async with NdbServer(engine, options) as server:
        sys.stdout.write(f"{server.uri}\n")
        sys.stdout.flush()
        await stopping.wait()
    sys.stdout.write(f"{engine.longest}\n")


if __name__ == "__main__":
    complaints = logging.StreamHandler()
    complaints.setLevel(logging.WARNING)
    complaints.addFilter(_is_expected)
    logging.basicConfig(handlers=[complaints])
    asyncio.run(_serve(Path(sys.argv[1])))
