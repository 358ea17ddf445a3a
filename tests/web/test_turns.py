"""The verbs that one request calls at the same time take turns."""

from __future__ import annotations

import asyncio

import pytest

from ndb_models import SessionModel
from ndb_models.web.cookies import NO_COOKIE
from ndb_models.web.running_visit import RunningVisit
from ndb_models.web.visit import VisitRules


class Guest(SessionModel, schema="web.turns"):
    note: str = ""


@pytest.fixture
def visit() -> RunningVisit[Guest]:
    return RunningVisit(NO_COOKIE, VisitRules())


class Verbs:
    """Verbs that note when they have their turn, and end it when they are told."""

    def __init__(self, visit: RunningVisit[Guest]) -> None:
        self.log: list[str] = []
        self._visit = visit
        self._may_end = {name: asyncio.Event() for name in "abc"}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, *names: str) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._verb(name))

    async def _verb(self, name: str) -> None:
        async with self._visit.turn():
            self.log.append(f"{name} begins")
            try:
                await self._may_end[name].wait()
            finally:
                self.log.append(f"{name} ends")

    async def let_end(self, *names: str) -> None:
        for name in names:
            self._may_end[name].set()
        await settled()


async def settled() -> None:
    """Let all tasks run as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_each_waits_for_those_before(visit: RunningVisit[Guest]) -> None:
    verbs = Verbs(visit)
    verbs.start("a", "b", "c")
    await settled()
    assert verbs.log == ["a begins"]
    await verbs.let_end("b", "c", "a")
    assert verbs.log == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


async def test_who_comes_between_two_turns_waits_too(visit: RunningVisit[Guest]) -> None:
    verbs = Verbs(visit)
    verbs.start("a", "b")
    await settled()
    await verbs.let_end("a")
    verbs.start("c")
    await settled()
    assert verbs.log == ["a begins", "a ends", "b begins"]
    await verbs.let_end("b", "c")
    assert verbs.log[-2:] == ["c begins", "c ends"]


@pytest.mark.parametrize("cancelled", ["a", "b"])
async def test_a_cancelled_verb_holds_up_no_other(visit: RunningVisit[Guest], cancelled: str) -> None:
    verbs = Verbs(visit)
    verbs.start("a", "b", "c")
    await settled()
    verbs.tasks[cancelled].cancel()
    await settled()
    await verbs.let_end("a", "b", "c")
    assert verbs.log[-2:] == ["c begins", "c ends"]
    assert [name for name, task in verbs.tasks.items() if task.cancelled()] == [cancelled]


async def test_turns_one_after_the_other_wait_for_nothing(visit: RunningVisit[Guest]) -> None:
    for _ in range(3):
        assert visit.take_turn()
        assert not visit.take_turn()
        visit.end_turn()


async def test_after_a_wait_a_turn_is_free_again(visit: RunningVisit[Guest]) -> None:
    verbs = Verbs(visit)
    verbs.start("a", "b")
    await settled()
    await verbs.let_end("a", "b")
    verbs.start("c")
    await settled()
    assert verbs.log[-1] == "c begins"
    await verbs.let_end("c")
