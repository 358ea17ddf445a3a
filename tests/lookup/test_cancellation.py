"""Whoever stops waiting, at whatever command, leaves an index that says the truth."""

from __future__ import annotations

import asyncio

import pytest

from ndb_models.index.entries import PENDING_SECONDS
from tests.lookup.models import Login
from tests.lookup.test_crashes import CHANGES, DOING, TWINS
from tests.lookup.truth import Scene
from tests.lookup.turns import SteppedTransport, TransportClient

pytestmark = pytest.mark.slow


async def cancelled_after(verb: str, steps: int, *, carried_out: bool) -> tuple[Scene, bool]:
    """Cancel a verb while it waits for its next command; `carried_out` is whether the server carries that out."""
    scene = Scene()
    session = await scene.logins.save(Login(user_id=7, email="a"))
    transport = SteppedTransport(scene.engine)
    repo = scene.repository(TransportClient(transport, max_payload=1024))
    task: asyncio.Future[object] = asyncio.ensure_future(DOING[verb](repo, session.tkn))
    waiting = False
    while not task.done():
        await asyncio.sleep(0)
        waiting = bool(transport.waiting)
        if waiting and steps == 0:
            if carried_out:
                transport.step()
            task.cancel()
            break
        if waiting:
            transport.step()
            steps -= 1
    await asyncio.gather(task, return_exceptions=True)
    for _ in range(200):  # what is done for one who has gone
        await asyncio.sleep(0)
        if transport.waiting:
            transport.step()
    return scene, task.cancelled()


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("verb", DOING)
async def test_cancelled_at_any_command_it_loses_nothing_and_takes_nothing(verb: str, carried_out: bool) -> None:
    steps, cancelled = 0, True
    while cancelled:
        scene, cancelled = await cancelled_after(verb, steps, carried_out=carried_out)
        await scene.check(twins=verb in TWINS)
        if verb in CHANGES:
            scene.clock.move(PENDING_SECONDS)
        await scene.check_free()
        steps += 1
    assert steps > 1
