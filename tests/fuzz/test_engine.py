"""Mutated requests, to the engine alone: each is answered once, as the protocol says, and nothing in it fails."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from ndb_models.engine.requests import Call, parse
from ndb_models.engine.usual import usual_call
from ndb_models.stores.memory import MemoryStore
from tests.fuzz.mutations import Mutator
from tests.fuzz.reference import expected_for
from tests.fuzz.requests import Requests
from tests.fuzz.seeds import keep, seeds
from tests.fuzz.sizes import REQUESTS, SEED, seeded
from tests.fuzz.subject import tree
from tests.fuzz.timing import TimedEngine


def test_what_looks_usual_is_what_it_would_be_read_as_otherwise() -> None:
    rng = seeded("usual")
    mutator = Mutator(rng, Requests(rng), text_only=False)
    usual = 0
    for number in range(REQUESTS):
        frame = mutator.frame()
        call = usual_call(frame)
        if call is not None:
            usual += 1
            assert plain(call) == plain(parse(frame)), f"seed {SEED}, request {number}: {frame[:500]!r}"
    assert usual > REQUESTS / 100


def test_there_are_seeds_and_they_are_small() -> None:
    assert seeds()
    assert max(map(len, seeds())) <= 16 * 1024


def plain(call: Call) -> tuple[str, object, object]:
    """Return what a call says: names that were read at once are those of a list."""
    keys = call.body.get("keys")
    body = {**call.body, "keys": list(keys) if isinstance(keys, tuple) else keys}
    return call.command.name, body, dict(call.values) if isinstance(call.values, Mapping) else call.values


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
