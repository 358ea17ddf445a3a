"""Mutated requests, to the engine alone: each is answered once, as the protocol says, and nothing in it fails."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from ndb_models.engine.requests import Request, parse
from ndb_models.engine.typed_requests import typed_request
from ndb_models.stores.memory import MemoryStore
from tests.fuzz.mutations import Mutator
from tests.fuzz.reference import expected_for
from tests.fuzz.requests import Requests
from tests.fuzz.seeds import keep, seeds
from tests.fuzz.sizes import REQUESTS, SEED, seeded
from tests.fuzz.subject import tree
from tests.fuzz.timing import TimedEngine

pytestmark = pytest.mark.unmeasured


def test_a_typed_request_is_the_one_that_the_parser_reads() -> None:
    rng = seeded("typed")
    mutator = Mutator(rng, Requests(rng), text_only=False)
    typed = 0
    for number in range(REQUESTS):
        frame = mutator.frame()
        call = typed_request(frame)
        if call is not None:
            typed += 1
            assert plain(call) == plain(parse(frame)), f"seed {SEED}, request {number}: {frame[:500]!r}"
    assert typed > REQUESTS / 20


def test_there_are_seeds_and_they_are_small() -> None:
    assert seeds()
    assert max(map(len, seeds())) <= 16 * 1024


def plain(call: Request) -> tuple[str, object, object]:
    """Return what a call says: names that were read at once are those of a list."""
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in call.body.items()}
    body = {name: value for name, value in given.items() if value is not None}
    return (
        f"{call.command.name} {call.tkn}",
        body,
        dict(call.values) if isinstance(call.values, Mapping) else call.values,
    )


@pytest.mark.slow
async def test_every_mutated_request_gets_the_answer_that_the_protocol_has_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    rng = seeded("engine")
    mutator = Mutator(rng, Requests(rng), text_only=False)
    persist_path = tmp_path / "persist"
    persist_path.mkdir()
    slow: list[str] = []
    engine = TimedEngine(
        MemoryStore(),
        persist_path=persist_path,
        tell=lambda frame, seconds: slow.append(f"{keep(frame)} held the loop for {seconds * 1e3:.0f} ms"),
    )
    for number, frame in enumerate(itertools.chain(seeds(), (mutator.frame() for _ in range(REQUESTS)))):
        answer = await engine.handle(frame)
        wrong = expected_for(frame).why_not(answer)
        assert wrong is None, (
            f"seed {SEED}, request {number}, kept as {keep(frame)}: {frame[:500]!r}"
            f" was answered {answer[:500]!r}: {wrong}"
        )
    assert not caplog.records
    assert slow == []
    assert tree(tmp_path) - tree(persist_path) == {persist_path}
