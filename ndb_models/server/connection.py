"""One client's connection: frames in, their answers out, in order.

If the engine need not wait, the callback that reads a frame from the socket also answers it. All answers of one
callback go out in one write. While the engine waits (saving, loading), later frames wait too.
"""

from __future__ import annotations

from collections.abc import Coroutine
from time import perf_counter
from typing import Any

from websockets.frames import CloseCode
from websockets.server import ServerProtocol

from ndb_models.engine.engine import BINARY_FRAME, OnMiss
from ndb_models.protocol.messages import is_utf8
from ndb_models.server.context import ServerContext
from ndb_models.server.fair_queue import charged
from ndb_models.server.missed_tokens import TOO_MANY_MISSES
from ndb_models.server.tokens import Grant
from ndb_models.server.traffic import Ending
from ndb_models.server.turn_budget import PacedConnection
from ndb_models.turns import turn_giver


class NdbServerConnection(PacedConnection):
    """A connection that answers requests with the engine.

    A client that was not admitted as an admin may only work on data.
    """

    def __init__(self, protocol: ServerProtocol, context: ServerContext, *, peer: str, only_probes: bool) -> None:
        super().__init__(protocol, context, peer=peer, only_probes=only_probes)
        self._engine = context.engine
        self._misses = context.misses
        self._is_admin = False
        self._on_miss: OnMiss | None = None
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
        self._note_ending(Ending.GUESSING)
        self.loop.call_soon(self._fail, CloseCode.POLICY_VIOLATION, TOO_MANY_MISSES)

    async def stay(self) -> None:
        """Answer until the connection ends."""
        self._traffic.opened += 1
        self._watch_idleness()
        await self.wait_closed()

    def _answer(self, message: bytes, *, binary: bool) -> None:
        if not self._is_open:
            return
        if binary:
            self._put(BINARY_FRAME)
            return
        if not (message.isascii() or is_utf8(message)):
            self._fail(CloseCode.INVALID_DATA, "a text message must be UTF-8")
            return
        answering = self._engine.begin(message, self._is_admin, self._on_miss)
        if isinstance(answering, bytes):
            self._put(answering)
        else:
            self._answering = self.loop.create_task(self._finish(answering))

    async def _finish(self, answering: Coroutine[Any, Any, bytes]) -> None:
        turn_giver.set(self._turn)
        started = perf_counter()
        try:
            answer = await charged(answering, self._charge)
        finally:
            self._answering = None
            self._traffic.waits.note(perf_counter() - started)
        try:
            self._put(answer)
            self._go_on()
            self._write()
        except MemoryError:
            self.free()

    async def _turn(self) -> None:
        await self._rounds.turn(self.account)

    def _charge(self, spent: float) -> None:
        self._rounds.charge(self.account, spent)

    def revoke(self) -> None:
        """Stop answering, and close the connection (code 1008)."""
        self._leaving = True
        self._note_ending(Ending.REVOKED)
        if self._is_open:
            self._fail(CloseCode.POLICY_VIOLATION, "the token was revoked")
        else:  # it is about to end: memory was short
            self.transport.abort()

    def cut(self) -> None:
        """End at once, with requests unanswered and answers unread."""
        self._leaving = True
        if self._admitted:
            self._note_ending(Ending.STOPPING)
        if self._answering is not None:
            # One turn later: a task that is cancelled before its first step never begins what it was to wait for.
            self.loop.call_soon(self._answering.cancel)
        self.evict()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the requests that wait, and stop counting the client."""
        if self._admitted:
            self._admitted = False
            self._traffic.admitted -= 1
        super().connection_lost(exc)
