"""A client of an engine in this process. A test refuses some of its requests, or acts before one is carried out."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from ndb_models import NdbClient
from ndb_models.client.transport import Transport
from ndb_models.engine import Engine
from ndb_models.engine.engine import refusal
from ndb_models.protocol.exchange import Exchange
from ndb_models.protocol.prepared import Prepared
from ndb_models.protocol.statuses import Status
from ndb_models.stores.memory import MemoryStore

Act: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]
"""Takes the frame of a request. Returns the answer to it; None if the engine is to carry it out."""


class InterposedTransport(Transport):
    """Asks the test first what becomes of a request, and then the engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.planned: dict[str, deque[Act]] = defaultdict(deque)
        self.always: dict[str, Act] = {}
        self.asked: list[str] = []

    async def _request(self, exchange: Exchange) -> bytes:
        name = exchange.command.name
        self.asked.append(name)
        act = self.planned[name].popleft() if self.planned[name] else self.always.get(name)
        answer = None if act is None else await act(exchange.frame)
        return await self.engine.handle(exchange.frame) if answer is None else answer

    def request(self, exchange: Exchange) -> Awaitable[bytes]:
        return self._request(exchange)

    def perform(self, prepared: Prepared) -> Awaitable[dict[str, Any]]:
        return self._perform(prepared)

    async def _perform(self, prepared: Prepared) -> dict[str, Any]:
        return prepared.read(await self._request(prepared.to_frame()))

    async def aclose(self) -> None:
        pass

    def abandon(self) -> bool:
        return False


class InterposedClient(NdbClient):
    """A client whose requests a test may refuse, or act before.

    Args:
        engine: what carries out all other requests; by default one on an empty store in memory.
        max_payload: as of `NdbClient`.
    """

    def __init__(self, engine: Engine | None = None, max_payload: int | None = None) -> None:
        super().__init__()
        self.wire = InterposedTransport(engine or Engine(MemoryStore()))
        self._use(self.wire)
        self.max_payload = max_payload

    @property
    def asked(self) -> list[str]:
        """The commands of all requests so far."""
        return self.wire.asked

    def refuse(self, command: str, *statuses: Status | None) -> None:
        """Answer the next requests of a command with these statuses; None carries one out."""
        self.wire.planned[command].extend(_refusing(command, status) for status in statuses)

    def refuse_all(self, command: str, status: Status) -> None:
        """Answer all requests of a command with this status from now on."""
        self.wire.always[command] = _refusing(command, status)

    def answer(self, command: str, *answers: bytes) -> None:
        """Answer the next requests of a command with these frames."""
        self.wire.planned[command].extend(_answering(answer) for answer in answers)

    def before(self, command: str, act: Callable[[], Awaitable[object]], *, times: int = 1, skipped: int = 0) -> None:
        """Act before the next requests of a command are carried out, after so many of them."""
        doing = _doing(act)
        self.wire.planned[command].extend([_nothing] * skipped + [doing] * times)


def _refusing(command: str, status: Status | None) -> Act:
    async def act(_: bytes) -> bytes | None:
        return None if status is None else refusal(command, status)

    return act


def _answering(answer: bytes) -> Act:
    async def act(_: bytes) -> bytes | None:
        return answer

    return act


def _doing(act: Callable[[], Awaitable[object]]) -> Act:
    async def done(_: bytes) -> bytes | None:
        await act()
        return None

    return done


async def _nothing(_: bytes) -> bytes | None:
    return None
