"""Every verb of a repository on a store in memory, in multiples of Pydantic's own round trip of the same six fields.

The round trip is `model_dump_json()` and `model_validate_json()`. The session expires when idle, and was saved in parts
before. Everything runs in turn in one process, a few hundred operations each time. Processor time is measured.

Run `python -m benchmarks.verbs` for this table alone.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import BaseModel

from benchmarks.harness import table
from benchmarks.repository import IDLE, Measured, measured
from ndb_models import Expiry, Lookup, NdbClient, Repository, SessionModel

BATCH = 200
FOUND = 10


class Named(BaseModel):
    """A view of two fields."""

    username: str
    visits: int


class Owned(SessionModel, expiry=Expiry(idle=IDLE), schema="benchmark-owned"):
    """A session with one lookup field."""

    user_id: Annotated[int, Lookup()]
    visits: int = 0


class Plain(SessionModel, expiry=Expiry(idle=IDLE), schema="benchmark-plain"):
    """The same without the lookup."""

    user_id: int
    visits: int = 0


class Verbs:
    """The verbs that are measured, on one session."""

    def __init__(self, client: NdbClient, session: Measured) -> None:
        self._repo = Repository(client, Measured)
        self._owned = Repository(client, Owned)
        self._plain = Repository(client, Plain)
        self._session = session
        self._number = FOUND
        self._models: list[Measured] = []

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def create(self) -> None:
        """Create a session, without the time to make the model."""
        await self._repo.create(self._models.pop())

    def prepare(self) -> None:
        """Make the models that `create` stores."""
        self._models = [measured(number) for number in range(BATCH)]

    async def get(self) -> None:
        """Get the session."""
        await self._repo.get(self._session.tkn)

    async def save_one_field(self) -> None:
        """Change one field, and save the model."""
        self._session.visits = self._next()
        await self._repo.save(self._session)

    async def save_nothing(self) -> None:
        """Save the model unchanged."""
        await self._repo.save(self._session)

    async def get_change_save(self) -> None:
        """Get the session, change one field, and save it."""
        session = await self._repo.get(self._session.tkn)
        session.visits = self._next()
        await self._repo.save(session)

    async def edit(self) -> None:
        """Do the same by `edit`."""
        async with self._repo.edit(self._session.tkn) as session:
            session.visits = self._next()

    async def update(self) -> None:
        """Do the same by `update`."""
        await self._repo.update(self._session.tkn, visits=self._next())

    async def project(self) -> None:
        """Get two fields as a view."""
        await self._repo.project(self._session.tkn, Named)

    async def touch(self) -> None:
        """Extend the expiry."""
        await self._repo.touch(self._session.tkn)

    async def exists(self) -> None:
        """Look whether the session exists."""
        await self._repo.exists(self._session.tkn)

    async def create_plain(self) -> None:
        """Create a session of the class without a lookup field."""
        await self._plain.create(Plain(user_id=self._next()))

    async def create_owned(self) -> None:
        """Create a session with a new lookup value."""
        await self._owned.create(Owned(user_id=self._next()))

    async def find_ten(self) -> None:
        """Find ten sessions by one value."""
        await self._owned.find(user_id=0)

    async def fill(self) -> None:
        """Create the sessions that are found."""
        for _ in range(FOUND):
            await self._owned.create(Owned(user_id=0))


MEASURED = (
    "create",
    "get",
    "save_one_field",
    "save_nothing",
    "get_change_save",
    "edit",
    "update",
    "project",
    "touch",
    "exists",
    "create_plain",
    "create_owned",
    "find_ten",
)


def bench(*, scale: float, rounds: int) -> None:
    """Measure all verbs."""
    asyncio.run(_measure(int(rounds * 5 * scale) or 1))


async def _measure(batches: int) -> None:
    async with NdbClient.connect("memory://") as client:
        session = await Repository(client, Measured).save(measured(0))
        for visits in range(3):
            session.visits = visits + 1
            await Repository(client, Measured).save(session)
        verbs = Verbs(client, session)
        await verbs.fill()
        times: dict[str, list[float]] = {}
        for _ in range(batches):
            base = _round_trips(session)
            times.setdefault("pydantic", []).append(base)
            for name in MEASURED:
                verbs.prepare()
                taken = await _timed(getattr(verbs, name))
                times.setdefault(name, []).append(taken)
    rows: list[tuple[str, str, str]] = []
    for name, taken_each in times.items():
        ratios = [taken / base for taken, base in zip(taken_each, times["pydantic"], strict=True)]
        microseconds = 1e6 * statistics.median(taken_each)
        rows.append((name.replace("_", " "), f"{microseconds:.1f}", f"{statistics.median(ratios):.2f}"))
    table("Verbs on memory:// (asyncio)", ("verb", "microseconds", "times Pydantic"), rows)


def _round_trips(session: Measured) -> float:
    """Return the processor time of one round trip by Pydantic alone."""
    started = time.process_time()
    for _ in range(BATCH):
        Measured.model_validate_json(session.model_dump_json())
    return (time.process_time() - started) / BATCH


async def _timed(verb: Callable[[], Awaitable[None]]) -> float:
    """Return the processor time of one call."""
    started = time.process_time()
    for _ in range(BATCH):
        await verb()
    return (time.process_time() - started) / BATCH


if __name__ == "__main__":
    bench(scale=1.0, rounds=5)
