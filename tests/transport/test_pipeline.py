"""What goes out together, and whose answer is whose."""

from __future__ import annotations

import itertools

import pytest

from ndb_models.errors import ProtocolError
from ndb_models.protocol.pipeline import Pipeline, Request
from tests.transport.asking import (
    answer_to,
    answers_to,
    ask,
    burst,
    deliver,
    frame_of,
    is_fence,
    key_of,
    keys,
    opened,
)


def test_a_lone_request_goes_out_without_a_fence_and_is_answered_at_once() -> None:
    pipeline: Pipeline[Request] = Pipeline(64)
    request = ask("a")
    pipeline.push(request)
    assert pipeline.take() == [frame_of(request)]
    answer = answer_to(frame_of(request))
    assert pipeline.receive(answer) == [request]
    assert request.answer == answer
    assert pipeline.idle


def test_requests_one_after_the_other_never_need_a_fence() -> None:
    pipeline: Pipeline[Request] = Pipeline(64)
    for number in range(100):
        pipeline.push(ask(str(number)))
        (frame,) = pipeline.take()
        assert deliver(pipeline, [answer_to(frame)]) == [str(number)]


@pytest.mark.parametrize("count", [2, 3, 15, 16, 17, 40])
def test_a_burst_goes_out_in_order_and_a_fence_comes_behind_every_two_requests_that_overlap(count: int) -> None:
    pipeline = opened(64)
    frames = burst(pipeline, count)
    assert [frame for frame in frames if not is_fence(frame)] == [frame_of(ask(key)) for key in keys(count)]
    assert is_fence(frames[-1]) or is_fence(frames[-2])
    assert deliver(pipeline, answers_to(frames)) == keys(count)


@pytest.mark.parametrize(
    ("count", "groups"), [(16, [16]), (18, [18]), (23, [23]), (24, [16, 8]), (40, [16, 16, 8]), (50, [16, 16, 18])]
)
def test_a_long_burst_has_a_fence_for_every_few_requests_but_for_a_small_rest(count: int, groups: list[int]) -> None:
    fences = [place for place, frame in enumerate(burst(opened(64), count)) if is_fence(frame)]
    ends = [place - number for number, place in enumerate(fences)]  # how many requests there are before each
    assert [end - start for start, end in itertools.pairwise([0, *ends])] == groups


def test_nothing_of_a_burst_is_handed_over_before_its_fence_is_back() -> None:
    pipeline = opened(8)
    *requests, fence = burst(pipeline, 8)
    assert deliver(pipeline, answers_to(requests)) == []
    assert not pipeline.idle
    assert deliver(pipeline, [answer_to(fence)]) == keys(8)
    assert pipeline.idle


def test_the_first_answers_of_a_long_burst_do_not_wait_for_its_last() -> None:
    pipeline = opened(64)
    answers = answers_to(burst(pipeline, 64))
    assert deliver(pipeline, answers[: len(answers) // 2])


def test_a_request_that_joins_one_in_flight_puts_a_fence_behind_both() -> None:
    pipeline = opened(8)
    pipeline.push(ask("a"))
    (first,) = pipeline.take()
    pipeline.push(ask("b"))
    second, fence = pipeline.take()
    assert is_fence(fence)
    assert deliver(pipeline, [answer_to(first)]) == []
    assert deliver(pipeline, answers_to([second, fence])) == ["a", "b"]


def test_a_request_alone_behind_a_fence_is_answered_without_another() -> None:
    pipeline = opened(8)
    frames = burst(pipeline, 2)
    pipeline.push(ask("late"))
    (late,) = pipeline.take()
    assert deliver(pipeline, answers_to(frames)) == keys(2)
    assert deliver(pipeline, [answer_to(late)]) == ["late"]


def test_fences_are_unknown_session_commands_and_none_is_used_twice() -> None:
    fences: set[bytes] = set()
    for _ in range(3):
        pipeline = opened(8)
        for _ in range(5):
            frames = burst(pipeline, 4)
            fences.add(frames[-1])
            deliver(pipeline, answers_to(frames))
    assert len(fences) == 15
    # NemesisDB keeps the first unknown name of any other prefix, and answers all later ones by it.
    assert all(fence.startswith(b'{"SH_') for fence in fences)


@pytest.mark.parametrize("missing", range(8))
def test_a_missing_answer_fails_the_burst(missing: int) -> None:
    pipeline = opened(8)
    answers = answers_to(trusting_burst(pipeline, 8))
    del answers[missing]
    with pytest.raises(ProtocolError):
        deliver(pipeline, answers)


@pytest.mark.parametrize("doubled", range(9))
def test_an_answer_that_comes_twice_fails_the_burst(doubled: int) -> None:
    pipeline = opened(8)
    answers = answers_to(trusting_burst(pipeline, 8))
    answers.insert(doubled, answers[doubled])
    require_failure(pipeline, answers)


@pytest.mark.parametrize("place", range(9))
def test_an_answer_to_nothing_fails_the_burst_that_it_falls_into(place: int) -> None:
    pipeline = opened(8)
    answers = answers_to(trusting_burst(pipeline, 8))
    answers.insert(place, answer_to(frame_of(ask("another's"))))
    require_failure(pipeline, answers)


@pytest.mark.parametrize("place", range(8))
def test_answers_that_change_places_fail_the_burst_where_they_tell_what_was_asked(place: int) -> None:
    pipeline = opened(8)
    answers = answers_to(burst(pipeline, 8))
    answers[place], answers[place + 1] = answers[place + 1], answers[place]
    require_failure(pipeline, answers)


def trusting_burst(pipeline: Pipeline[Request], count: int) -> list[bytes]:
    for key in keys(count):
        pipeline.push(ask(key, trusting=True))
    return pipeline.take()


def require_failure(pipeline: Pipeline[Request], answers: list[bytes]) -> None:
    """The answers must be refused; `deliver` fails if one that is handed over before is not the request's own."""
    with pytest.raises(ProtocolError):
        assert deliver(pipeline, answers) == []


def test_an_answer_although_nothing_was_asked_is_refused() -> None:
    pipeline = opened(8)
    with pytest.raises(ProtocolError, match="nothing was asked"):
        pipeline.receive(answer_to(frame_of(ask("a"))))


@pytest.mark.parametrize(
    "answer",
    [b"", b"no JSON", b"[]", b"{}", b'{"KV_SET_RSP":{"st":1,"keys":{"a":1}}}', b'{"KV_GET":{"st":1,"keys":{"a":1}}}'],
)
def test_an_answer_of_another_name_is_refused(answer: bytes) -> None:
    pipeline: Pipeline[Request] = Pipeline(1)
    pipeline.push(ask("a"))
    pipeline.take()
    with pytest.raises(ProtocolError, match="KV_GET"):
        pipeline.receive(answer)


def test_an_answer_about_something_else_is_refused() -> None:
    pipeline: Pipeline[Request] = Pipeline(1)
    pipeline.push(ask("a"))
    pipeline.take()
    with pytest.raises(ProtocolError, match="KV_GET"):
        pipeline.receive(answer_to(frame_of(ask("b"))))


@pytest.mark.parametrize("answer", [b' {\n"KV_GET_RSP" : {"st":1,"keys":{"a":1}} }', b'{"ERR":{"st":3,"m":"\\"a\\""}}'])
def test_how_an_answer_is_written_does_not_matter_and_an_unnamed_refusal_is_one(answer: bytes) -> None:
    request = ask("a", trusting=True)
    pipeline: Pipeline[Request] = Pipeline(1)
    pipeline.push(request)
    pipeline.take()
    assert pipeline.receive(answer) == [request]
    assert request.answer == answer


def test_an_abandoned_request_keeps_its_place_and_its_answer_goes_to_nobody() -> None:
    pipeline = opened(8)
    requests = [ask(key) for key in keys(4)]
    for request in requests:
        pipeline.push(request)
    answers = answers_to(pipeline.take())
    requests[1].is_abandoned = True
    answered = [request for answer in answers for request in pipeline.receive(answer)]
    assert [key_of(request.answer) for request in answered if not request.is_abandoned] == ["key0", "key2", "key3"]


def test_a_request_abandoned_before_it_was_sent_is_never_sent() -> None:
    pipeline: Pipeline[Request] = Pipeline(1)
    requests = [ask(key) for key in keys(3)]
    for request in requests:
        pipeline.push(request)
    requests[0].is_abandoned = True
    requests[1].is_abandoned = True
    assert pipeline.take() == [frame_of(requests[2])]
    assert deliver(pipeline, [answer_to(frame_of(requests[2]))]) == ["key2"]


def test_what_does_not_fit_the_window_waits_until_there_is_room() -> None:
    pipeline: Pipeline[Request] = Pipeline(64)
    first = burst(pipeline, 10)
    assert len(first) == 1
    assert pipeline.take() == []
    sent = list(first)
    answered: list[str] = []
    while sent:
        answered += deliver(pipeline, answers_to(sent))
        sent = pipeline.take()
    assert answered == keys(10)


def test_draining_returns_all_in_order_and_whether_each_was_sent() -> None:
    pipeline = opened(4)
    frames = burst(pipeline, 7)
    deliver(pipeline, answers_to(frames[:2]))
    drained = [(key_of(answer_to(frame_of(request))), sent) for request, sent in pipeline.drain()]
    assert drained == [(key, number < 4) for number, key in enumerate(keys(7))]
    assert pipeline.idle
    assert list(pipeline.drain()) == []
    assert pipeline.take() == []


def test_what_has_been_answered_is_not_drained() -> None:
    pipeline = opened(4)
    frames = burst(pipeline, 2)
    assert deliver(pipeline, answers_to(frames)) == keys(2)
    assert list(pipeline.drain()) == []


def test_the_most_urgent_request_is_the_first_that_has_no_believed_answer() -> None:
    assert opened(2).most_urgent is None
    pipeline = opened(2)
    requests = [ask(key) for key in keys(3)]
    for request in requests:
        pipeline.push(request)
    assert pipeline.most_urgent is requests[0]
    frames = pipeline.take()
    assert pipeline.most_urgent is requests[0]
    first, second, fence = answers_to(frames)
    deliver(pipeline, [first])
    assert pipeline.most_urgent is requests[0], "its answer is here, but not believed"
    deliver(pipeline, [second, fence])
    assert pipeline.most_urgent is requests[2], "it has not been sent"
    deliver(pipeline, answers_to(pipeline.take()))
    assert pipeline.most_urgent is None


def test_what_is_overdue_first_is_most_urgent_wherever_it_stands_if_an_answer_must_come() -> None:
    pipeline = opened(2)
    requests = [ask(key, deadline=deadline) for key, deadline in zip(keys(4), (3.0, 4.0, 1.0, 2.0), strict=True)]
    for request in requests:
        pipeline.push(request)
    pipeline.take()
    assert pipeline.most_urgent is requests[2], "it has not been sent"
    requests[2].is_abandoned = True
    assert pipeline.most_urgent is requests[3], "nobody waits for the one before, and it was not sent"
    requests[3].is_abandoned = True
    requests[0].is_abandoned = True
    assert pipeline.most_urgent is requests[0], "nobody waits for it, but it was sent"
