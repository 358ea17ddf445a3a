"""A server that now and then loses, swaps, repeats, invents or delays an answer, as chance and a seed will have it.

Its answers are an engine's. It answers in order, as NemesisDB does, but for its faults.

What it invents and repeats are only answers that name keys. Where a request is alone in flight there is no fence, and
an answer of the right name that says nothing of what was asked (a `KV_SET`'s, or a `KV_GET`'s of a key that does not
exist) cannot be told from the true one: that is a limit of the protocol, and none that this package could mend.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore

LOSE: Final = "lose"
SWAP: Final = "swap"
REPEAT: Final = "repeat"
INVENT: Final = "invent"
STALL: Final = "stall"

_NAMES_KEYS: Final = (b'{"KV_GET_RSP":', b'{"KV_CONTAINS_RSP":')
# How long a swap waits for a second answer. A request that is alone gets its own, only later.
_PATIENCE: Final = 0.005


class FaultyServer:
    """`faults` says how often, of all answers, each fault befalls one; `longest_stall` is in seconds."""

    def __init__(self, *, seed: int, faults: Mapping[str, float], longest_stall: float) -> None:
        self.engine = Engine(MemoryStore())
        self.counts: Counter[str] = Counter()
        self.answered = 0
        self._random = random.Random(seed)
        self._faults = dict(faults)
        self._longest_stall = longest_stall
        self._server: Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    def calm(self) -> None:
        """From now on answer as it should be."""
        self._faults.clear()

    async def _serve(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                answer = await self._next_answer(connection)
                fault = self._fault(answer)
                if fault is None:
                    await connection.send(answer, text=True)
                else:
                    await self._spoil(fault, connection, answer)

    async def _next_answer(self, connection: ServerConnection) -> bytes:
        request = await connection.recv(decode=False)
        self.answered += 1
        return await self.engine.handle(request)

    def _fault(self, answer: bytes) -> str | None:
        point = self._random.random()
        for fault, often in self._faults.items():
            if point < often:
                fits = fault not in (REPEAT, INVENT) or answer.startswith(_NAMES_KEYS)
                return fault if fits else None
            point -= often
        return None

    async def _spoil(self, fault: str, connection: ServerConnection, answer: bytes) -> None:
        answers = [answer]
        match fault:
            case "lose":
                answers.clear()
            case "swap":
                try:
                    async with asyncio.timeout(_PATIENCE):
                        answers.insert(0, await self._next_answer(connection))
                except TimeoutError:
                    self.counts[SWAP] -= 1  # there was nothing to swap it with
            case "repeat":
                answers.append(answer)
            case "invent":
                answers.insert(self._random.randrange(2), _invented(answer))
            case "stall":
                await asyncio.sleep(self._random.uniform(0, self._longest_stall))
        self.counts[fault] += 1
        for each in answers:
            await connection.send(each, text=True)

    async def __aenter__(self) -> FaultyServer:
        self._server = await serve(self._serve, "127.0.0.1", 0, compression=None, ping_interval=None)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


def _invented(answer: bytes) -> bytes:
    """Return an answer of the same name about a key that nobody asks for."""
    ((name, _),) = json.loads(answer).items()
    body = {"keys": {"nobody's": "nobody's"}} if name == "KV_GET_RSP" else {"contains": ["nobody's"]}
    return json.dumps({name: {"st": 1, **body}}, separators=(",", ":")).encode()
