"""Mutated requests, to the engine alone: each is answered once, as the protocol says, and nothing in it fails."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore
from tests.fuzz.mutations import Mutator
from tests.fuzz.reference import expected_for
from tests.fuzz.requests import Requests
from tests.fuzz.sizes import REQUESTS, SEED, seeded
from tests.fuzz.subject import tree


async def test_every_mutated_request_gets_the_answer_that_the_protocol_has_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    rng = seeded("engine")
    mutator = Mutator(rng, Requests(rng), text_only=False)
    persist_path = tmp_path / "persist"
    persist_path.mkdir()
    engine = Engine(MemoryStore(), persist_path=persist_path)
    for number in range(REQUESTS):
        frame = mutator.frame()
        answer = await engine.handle(frame)
        wrong = expected_for(frame).why_not(answer)
        assert wrong is None, f"seed {SEED}, request {number}: {frame[:500]!r} was answered {answer[:500]!r}: {wrong}"
    assert not caplog.records
    assert tree(tmp_path) - tree(persist_path) == {persist_path}
