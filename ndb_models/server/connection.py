"""One client's connection: frames in, their answers out, in order.

If the engine need not wait, the callback that reads a frame from the socket also answers it. All answers of one
callback go out in one write. While the engine waits (saving, loading), later frames wait too.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from time import perf_counter
from typing import Any

from websockets.asyncio.server import Server
from websockets.frames import CloseCode
from websockets.server import ServerProtocol

from ndb_models.engine import Engine
from ndb_models.engine.engine import BINARY_FRAME, OnMiss
from ndb_models.server.coroutines import resumed
from ndb_models.server.misses import TOO_MANY_MISSES, MissWatch
from ndb_models.server.options import ServerOptions
from ndb_models.server.pacing import PacedConnection
from ndb_models.server.rounds import Rounds
from ndb_models.server.tokens import Grant
from ndb_models.server.traffic import Ending, Traffic

_logger = logging.getLogger(__name__)


class NdbServerConnection(PacedConnection):
    """A connection that answers requests with the engine.

    A client that was not admitted as an admin may only work on data.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        engine: Engine,
        options: ServerOptions,
        traffic: Traffic,
        misses: MissWatch,
        rounds: Rounds,
        **more: Any,
    ) -> None:
        super().__init__(protocol, server, options=options, traffic=traffic, rounds=rounds, **more)
        self._engine = engine
        self._is_admin = False
        self._on_miss: OnMiss | None = None
        self._misses = misses
        self._admitted = False
        self.grant: Grant | None = None
        # Stays True after the connection has ended. Probes and refused handshakes never become clients.
        self.is_client: bool = False

    def admit(self, *, admin: bool) -> None:
        """Let a client in; an `admin` may also use the commands for admins."""
        self._is_admin = admin
        self._on_miss = self._misses.of_connection(self.address, self.peer, self._end_guessing)
        self._admitted = True
        self.is_client = True
        self._traffic.admitted += 1

    def _end_guessing(self) -> None:
        """End the connection once the answers to the requests that came with the last guess are written."""
        self._ended(Ending.GUESSING)
        self.loop.call_soon(self._fail, CloseCode.POLICY_VIOLATION, TOO_MANY_MISSES)

    async def stay(self) -> None:
        """Answer until the connection ends."""
        self._traffic.opened += 1
        self._watch_idleness()
        await self.wait_closed()

    def _ended(self, reason: Ending) -> None:
        self._traffic.ended[reason] += 1
        _logger.info("connection ended", extra={"fields": {"reason": reason.value, "peer": self.peer}})

    def _answer(self, message: bytes, *, binary: bool) -> None:
        if not self._is_open:
            return
        if binary:
            self._put(BINARY_FRAME)
            return
        if not (message.isascii() or _is_utf8(message)):
            self._fail(CloseCode.INVALID_DATA, "a text message must be UTF-8")
            return
        answering = self._engine.begin(message, self._is_admin, self._on_miss)
        if isinstance(answering, bytes):
            self._put(answering)
            return
        try:
            waits_for = answering.send(None)
        except StopIteration as done:
            self._put(done.value)
        else:
            self._answering = self.loop.create_task(self._finish(answering, waits_for))

    async def _finish(self, answering: Coroutine[Any, Any, bytes], waits_for: Any) -> None:
        started = perf_counter()
        try:
            answer = await resumed(answering, waits_for)
        finally:
            self._answering = None
            self._traffic.waits.note(perf_counter() - started)
        try:
            self._put(answer)
            self._go_on()
            self._write()
        except MemoryError:
            self.free()

    def revoke(self) -> None:
        """Stop answering, and close the connection (code 1008)."""
        self._leaving = True
        self._ended(Ending.REVOKED)
        if self._is_open:
            self._fail(CloseCode.POLICY_VIOLATION, "the token was revoked")
        else:  # admitted, but the handshake has not been answered yet
            self.transport.abort()

    def cut(self) -> None:
        """End at once, with requests unanswered and answers unread."""
        self._leaving = True
        if self._admitted:
            self._ended(Ending.STOPPING)
        if self._answering is not None:
            self._answering.cancel()
        self.evict()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the requests that wait, and stop counting the client."""
        if self._admitted:
            self._admitted = False
            self._traffic.admitted -= 1
        super().connection_lost(exc)


def _is_utf8(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True
