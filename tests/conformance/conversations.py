"""One stream of bytes to a server, in chunks, and all that the server says to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from websockets.asyncio.server import ServerConnection, serve

from ndb_models.engine import Engine
from ndb_models.engine.engine import BINARY_FRAME
from ndb_models.stores.memory import MemoryStore
from tests.conformance.websocket_cases import MAX_PAYLOAD, NORMAL, Case
from tests.server.raw_connection import Opcode, RawConnection, frame, raw

GUARD: Final = 60
_BYTE_BY_BYTE: Final = 1200
_END: Final = frame(NORMAL.to_bytes(2), opcode=Opcode.CLOSE)

Chunking: TypeAlias = Callable[[bytes], Iterable[bytes]]


def byte_by_byte(stream: bytes) -> Iterator[bytes]:
    """Cut a stream into bytes; of a long one, only its begin and its end."""
    if len(stream) <= _BYTE_BY_BYTE:
        edges = list(range(len(stream) + 1))
    else:
        edges = [*range(40), *range(len(stream) - 40, len(stream) + 1)]
    yield from (stream[start:end] for start, end in itertools.pairwise(edges))


def at_random(seed: int) -> Chunking:
    """Cut a stream into up to a dozen chunks, at places that follow from the seed."""

    def cut(stream: bytes) -> Iterator[bytes]:
        rng = random.Random(seed * 1_000_003 + len(stream))
        places = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(1, 12)))
        edges = [0, *places, len(stream)]
        yield from (stream[start:end] for start, end in itertools.pairwise(edges) if start < end)

    return cut


CHUNKINGS: Final[dict[str, Chunking]] = {
    "whole": lambda stream: [stream],
    "byte by byte": byte_by_byte,
    **{f"at random, seed {seed}": at_random(seed) for seed in (1, 2)},
}


@dataclass
class Said:
    """What a server said: frames as (opcode, payload), and the code that it closed with, None without a close frame."""

    frames: list[tuple[int, bytes]] = field(default_factory=list)
    close: int | None = None

    @property
    def answers(self) -> list[bytes]:
        return [payload for opcode, payload in self.frames if opcode == Opcode.TEXT]

    @property
    def pongs(self) -> list[bytes]:
        return [payload for opcode, payload in self.frames if opcode == Opcode.PONG]


WITH_THE_HANDSHAKE: Final = "in one segment with the handshake"


async def converse(port: int, case: Case, chunking: Chunking | None) -> Said:
    """Send a case's stream; return what was said until the end. Where the case does not end it, this does.

    Without a chunking, the stream comes in one segment with the handshake.

    Raises:
        TimeoutError: less was said than the case expects, or the server did not end the connection.
    """
    said = Said()
    async with asyncio.timeout(GUARD), raw(port) as connection:
        if chunking is None:
            sending = asyncio.ensure_future(connection.open(case.stream))
            await asyncio.wait([sending])
        else:
            await connection.open()
            sending = asyncio.ensure_future(_send(connection, chunking(case.stream)))
        try:
            await _listen(connection, case, said, sending)
        finally:
            sending.cancel()
            await asyncio.wait([sending])
    return said


async def _send(connection: RawConnection, chunks: Iterable[bytes]) -> None:
    with contextlib.suppress(ConnectionError):
        for chunk in chunks:
            await connection.send(chunk)
            # The server, which is on this loop, reads each chunk by itself.
            await asyncio.sleep(0)
            await asyncio.sleep(0)


async def _listen(connection: RawConnection, case: Case, said: Said, sending: asyncio.Future[None]) -> None:
    ended = case.close is not None
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            if not ended and len(said.frames) == case.answers + len(case.pongs):
                await asyncio.wait([sending])
                if case.at_end is None:
                    connection.writer.write_eof()
                else:
                    await connection.send(_END)
                ended = True
            opcode, payload = await connection.receive()
            if opcode == Opcode.CLOSE:
                said.close = int.from_bytes(payload[:2]) if payload else 1005
                assert await connection.rest() == b"", "nothing comes after a close frame"
                return
            said.frames.append((opcode, payload))


@contextlib.asynccontextmanager
async def websockets_server(engine: Engine) -> AsyncIterator[int]:
    """Start the library's own server, which answers as this engine does; yield its port."""

    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            answered = await engine.handle(message.encode()) if isinstance(message, str) else BINARY_FRAME
            await connection.send(answered, text=True)

    async with serve(answer, "127.0.0.1", 0, max_size=MAX_PAYLOAD, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def empty_engine() -> Engine:
    return Engine(MemoryStore())
