"""Servers that lose, repeat, swap and invent answers: whatever they do, no request gets what is not its own."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ndb_models.errors import ProtocolError
from ndb_models.protocol.pipeline import Pipeline, Request
from tests.transport.asking import answer_to, ask, frame_of, is_fence, key_of

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

PLACES = st.integers(0, 2**16)
"""Taken modulo the number of answers on their way."""


class FaultyServer(RuleBasedStateMachine):
    """One connection after the other, to a server that answers in order, and between them a fault now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 1
        self.pipeline: Pipeline[Request] = Pipeline(1)
        self.requests: dict[str, Request] = {}
        self.abandoned: set[str] = set()
        self.sent: set[str] = set()
        self.ended: Counter[str] = Counter()
        # Answers on their way to the client.
        self.coming: list[bytes] = []
        self.faults = 0
        self.invented = 0

    @initialize(limit=st.integers(1, 40))
    def connect(self, limit: int) -> None:
        self.limit = limit
        self.pipeline = Pipeline(limit)

    @rule(count=st.integers(1, 40))
    def push(self, count: int) -> None:
        for _ in range(count):
            key = f"key{len(self.requests)}"
            self.requests[key] = ask(key)
            self.pipeline.push(self.requests[key])

    @rule()
    def send(self) -> None:
        for frame in self.pipeline.take():
            answer = answer_to(frame)
            self.coming.append(answer)
            if not is_fence(frame):
                key = key_of(answer)
                assert key not in self.abandoned
                assert key not in self.sent
                self.sent.add(key)

    @precondition(lambda self: len(self.ended) < len(self.requests))
    @rule(place=PLACES)
    def abandon(self, place: int) -> None:
        waiting = [key for key in self.requests if not self.ended[key]]
        key = waiting[place % len(waiting)]
        self.requests[key].is_abandoned = True
        self.abandoned.add(key)

    @precondition(lambda self: self.coming)
    @rule(place=PLACES)
    def lose_an_answer(self, place: int) -> None:
        del self.coming[place % len(self.coming)]
        self.faults += 1

    @precondition(lambda self: self.coming)
    @rule(place=PLACES)
    def repeat_an_answer(self, place: int) -> None:
        place %= len(self.coming)
        self.coming.insert(place, self.coming[place])
        self.faults += 1

    @precondition(lambda self: len(self.coming) > 1)
    @rule(place=PLACES)
    def swap_two_answers(self, place: int) -> None:
        place %= len(self.coming) - 1
        self.coming[place : place + 2] = reversed(self.coming[place : place + 2])
        self.faults += 1

    @rule(place=PLACES)
    def invent_an_answer(self, place: int) -> None:
        # About a key that nobody asks for. One about nothing could not be told from the answer to a lone request.
        self.invented += 1
        answer = answer_to(frame_of(ask(f"invented{self.invented}")))
        self.coming.insert(place % (len(self.coming) + 1), answer)
        self.faults += 1

    @rule(count=st.integers(1, 40))
    def arrive(self, count: int) -> None:
        for _ in range(min(count, len(self.coming))):
            try:
                answered = self.pipeline.receive(self.coming.pop(0))
            except ProtocolError:
                assert self.faults
                self.lose_the_connection()
                return
            for request in answered:
                key = key_of(request.answer)
                assert self.requests[key] is request, "a request got the answer of another"
                assert key in self.sent
                self.ended[key] += 1

    @rule()
    def lose_the_connection(self) -> None:
        for request, sent in self.pipeline.drain():
            key = key_of(answer_to(frame_of(request)))
            assert sent is (key in self.sent)
            self.ended[key] += 1
        assert self.pipeline.idle
        self.connect(self.limit)
        self.coming.clear()
        self.faults = 0

    @invariant()
    def nothing_ends_twice(self) -> None:
        assert all(times == 1 for times in self.ended.values())

    def teardown(self) -> None:
        """Without a fault all that waits is answered; with one, the connection is lost at last."""
        if not self.faults:
            self.send()
            while self.coming:
                self.arrive(len(self.coming))
                self.send()
            assert self.pipeline.idle
        else:
            self.lose_the_connection()
        for key in self.requests:
            # Whoever gave up before the request was sent has nothing more to hear of it.
            assert self.ended[key] == 1 or (key in self.abandoned and key not in self.sent)


FaultyServer.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestFaultyServer = FaultyServer.TestCase


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.sets(st.integers(0, 24))), max_size=12))
def test_however_many_answers_are_lost_none_is_taken_for_another(rounds: list[tuple[int, set[int]]]) -> None:
    """With answers that have nothing in common with their requests but the name: fences alone tell."""
    pipeline: Pipeline[Request] = Pipeline(64)
    number = 0
    for count, lost in rounds:
        for _ in range(count):
            pipeline.push(ask(f"key{number}", trusting=True))
            number += 1
        answers = [answer_to(frame) for frame in pipeline.take()]
        try:
            arrive_intact(pipeline, [answer for place, answer in enumerate(answers) if place not in lost])
        except ProtocolError:
            return


@settings(deadline=None)
@given(st.integers(2, 15), st.lists(st.tuples(PLACES, st.booleans()), min_size=1, max_size=5))
def test_however_many_answers_come_too_many_none_is_taken_for_another(
    count: int, surplus: list[tuple[int, bool]]
) -> None:
    pipeline: Pipeline[Request] = Pipeline(64)
    for number in range(64):
        pipeline.push(ask(f"earlier{number}", trusting=True))
        arrive_intact(pipeline, [answer_to(frame) for frame in pipeline.take()])
    for number in range(count):
        pipeline.push(ask(f"key{number}", trusting=True))
    answers = [answer_to(frame) for frame in pipeline.take()]
    for place, repeated in surplus:
        place %= len(answers)
        answers.insert(place, answers[place] if repeated else answer_to(frame_of(ask("another's"))))
    with pytest.raises(ProtocolError):
        arrive_intact(pipeline, answers)


def arrive_intact(pipeline: Pipeline[Request], answers: list[bytes]) -> None:
    for answer in answers:
        for request in pipeline.receive(answer):
            assert key_of(request.answer) == key_of(answer_to(frame_of(request)))
