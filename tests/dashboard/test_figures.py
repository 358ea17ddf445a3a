"""Readings become points, without a server."""

from __future__ import annotations

import math

import pytest

from ndb_models.dashboard.figures import History, Reading, quantile
from ndb_models.dashboard.session_ids import SessionIds
from ndb_models.engine.answer_counts import AnswerCounts
from ndb_models.protocol.statuses import Status
from ndb_models.server.generations import Generations
from ndb_models.server.shared_figures import SharedFigures
from ndb_models.server.traffic import Traffic


def test_gauges_stay_and_counters_become_rates() -> None:
    history = History()
    history.add(Reading(10, {"sessions": 3}, {"requests": 100}))
    history.add(Reading(12, {"sessions": 4}, {"requests": 150}))
    assert history.since(0) == {"times": [10, 12], "series": {"requests": [None, 25.0], "sessions": [3, 4]}}
    assert history.since(10)["times"] == [12]
    assert history.latest == 12


def test_what_is_not_known_is_none_and_a_counter_that_fell_begins_anew() -> None:
    history = History()
    for at, requests in ((2, 50), (4, None), (6, 60), (8, 10), (10, 12)):
        history.add(Reading(at, {"sessions": None}, {"requests": requests}))
    assert history.since(0)["series"] == {"requests": [None, None, None, None, 1.0], "sessions": [None] * 5}


def test_a_reading_that_is_not_later_changes_nothing() -> None:
    history = History()
    for at, requests in ((4, 50), (4, 70), (2, 90), (6, 60)):
        history.add(Reading(at, {}, {"requests": requests}))
    assert history.since(0) == {"times": [4, 6], "series": {"requests": [None, 5.0]}}


def test_ten_minutes_are_kept() -> None:
    history = History()
    for number in range(400):
        history.add(Reading(2.0 * number, {}, {}))
    assert history.since(-1)["times"][0] == 200


def test_latencies_are_those_since_the_reading_before() -> None:
    history = History((0.1, 1.0))
    history.add(Reading(2, {}, {}, (90, 10, 0)))
    history.add(Reading(4, {}, {}, (90, 20, 0)))
    history.add(Reading(6, {}, {}, (90, 20, 0)))
    assert history.since(2)["series"] == {"latency_median": [0.55, None], "latency_slow": [0.991, None]}


@pytest.mark.parametrize(
    ("counts", "part", "expected"),
    [((0, 0, 0), 0.5, None), ((4, 0, 0), 0.5, 0.5), ((2, 2, 0), 0.75, 1.5), ((0, 0, 9), 0.5, 2.0), ((), 0.5, None)],
)
def test_a_quantile_lies_within_its_range(counts: tuple[int, ...], part: float, expected: float | None) -> None:
    found = quantile((1.0, 2.0), counts, part)
    assert found is None if expected is None else math.isclose(found or 0, expected)


def counted(requests: int) -> tuple[Traffic, AnswerCounts, int]:
    traffic, answers = Traffic(admitted=2, opened=5, received=7), AnswerCounts()
    answers.succeeded["KV_GET"] = requests
    answers.note_refusal("KV_GET", Status.KEY_NOT_EXIST)
    answers.note_refusal("SH_FENCE", Status.COMMAND_NOT_EXIST)
    traffic.batches.note(0.00001)
    return traffic, answers, 3


def test_workers_are_added_up_and_one_that_died_leaves_its_counters_behind() -> None:
    generations, shared = Generations(2), SharedFigures(2)
    for number, state in enumerate(generations.workers):
        state.born()
        shared.of_worker(number).write(*counted(10))
    total = shared.total(generations.workers)
    assert total.gauges["connections"] == 4
    assert total.gauges["resident"] > 0
    # A fence, which the client sends by itself, is no request of anyone's.
    assert (total.counters["requests"], total.counters["refused"], total.counters["received"]) == (22, 2, 14)
    assert (total.counters["expired"], total.durations[0]) == (6, 2)
    generations.workers[0].died()
    assert shared.total(generations.workers).gauges["connections"] == 2
    assert shared.total(generations.workers).counters["requests"] == 22
    generations.workers[0].born()
    shared.of_worker(0).write(*counted(1))
    assert shared.total(generations.workers).counters["requests"] == 24


def test_a_session_has_one_name_under_one_key_and_others_have_none() -> None:
    ids, others = SessionIds(b"a" * 32), SessionIds(b"b" * 32)
    for tkn in (1, 2**63, 2**64 - 1):
        name = ids.seal(tkn)
        assert len(name) == 22
        assert ids.open(name) == tkn
        assert ids.seal(tkn) == name
        assert others.seal(tkn) != name
        assert others.open(name) is None
        changed = ("A" if name[0] != "A" else "B") + name[1:]
        assert ids.open(changed) is None
    for text in ("", "x" * 22, "ä" * 22, "=" * 22, ids.seal(1) + "="):
        assert ids.open(text) is None
