"""How many requests are in flight: few enough that no answer is dropped by a server that keeps 128 KiB at the most."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ndb_models.protocol.framing import text_frame
from ndb_models.protocol.pipeline import Pipeline, Request, Window
from tests.transport.asking import SMALL, answer_to, answers_to, ask, burst, deliver, frame_of, is_fence, keys, opened

UNREAD_AT_MOST = 128 * 1024


def note(window: Window, size: int) -> None:
    """Take note of one answer."""
    window.note_size(size)
    window.note_answers(1)


def test_a_window_starts_at_one_and_grows_with_each_small_answer_up_to_its_limit() -> None:
    window = Window(64)
    sizes = [window.size]
    for _ in range(70):
        note(window, SMALL)
        sizes.append(window.size)
    assert sizes == [min(size, 64) for size in range(1, 72)]


@pytest.mark.parametrize("size", [3_000, 40_000, 65_536, 131_072, 131_073, 1_000_000])
def test_a_large_answer_shrinks_the_window_at_once_so_that_as_many_of_its_size_fit(size: int) -> None:
    window = Window(64)
    for _ in range(64):
        note(window, SMALL)
    note(window, size)
    # A little less than would just fit is right too: there are fences and headers between the answers.
    assert max(1, UNREAD_AT_MOST * 9 // 10 // size) <= window.size <= max(1, UNREAD_AT_MOST // size)


@settings(deadline=None)
@given(st.lists(st.integers(1, 2_000_000), min_size=1, max_size=50), st.integers(1, 256))
@example([33_000] * 8, 64)
@example([33_000, 100] * 8, 64)
def test_as_many_answers_as_the_largest_of_late_always_fit(sizes: list[int], limit: int) -> None:
    window = Window(limit)
    for number, size in enumerate(sizes, 1):
        note(window, size)
        assert 1 <= window.size <= limit
        assert window.size == 1 or window.size * max(sizes[:number]) <= UNREAD_AT_MOST


def test_a_large_answer_is_forgotten_slowly_and_not_forever() -> None:
    window = Window(64)
    note(window, 1_000_000)
    answers = 0
    while window.size < 64:
        note(window, SMALL)
        answers += 1
        assert answers < 2_000
    assert answers > 100


def test_a_pipeline_sends_one_request_first_and_then_as_many_as_its_window_takes() -> None:
    pipeline: Pipeline[Request] = Pipeline(4)
    assert burst(pipeline, 10) == [frame_of(ask("key0"))]
    in_flight = []
    answered: list[str] = []
    frames = [frame_of(ask("key0"))]
    while frames:
        answered += deliver(pipeline, answers_to(frames))
        frames = pipeline.take()
        in_flight.append(sum(not is_fence(frame) for frame in frames))
    assert in_flight == [2, 4, 3, 0]
    assert answered == keys(10)


def test_a_pipeline_that_got_a_large_answer_sends_no_more_than_fits() -> None:
    pipeline = opened(64)
    pipeline.push(ask("large"))
    deliver(pipeline, [answer_to(frame, size=40_000) for frame in pipeline.take()])
    assert 1 < sum(not is_fence(frame) for frame in burst(pipeline, 64)) <= UNREAD_AT_MOST // 40_000


@pytest.mark.slow
@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 20), max_size=30), st.integers(1, 1000), st.integers(SMALL, 20_000), st.booleans())
@example([1] * 64, 64, 2048, False)
@example([1] * 400, 1000, SMALL, False)
def test_there_is_never_more_in_flight_than_was_allowed_nor_more_to_come_than_a_server_keeps(
    bursts: list[int], limit: int, size: int, reading: bool
) -> None:
    pipeline = learnt(limit, size)
    # What will come for each request and each fence that has been sent, with its header.
    to_come: list[tuple[bytes, int]] = []
    number = 0
    for count in bursts:
        for _ in range(count):
            pipeline.push(ask(f"key{number}"))
            number += 1
        for frame in pipeline.take():
            answer = answer_to(frame, size=size)
            to_come.append((answer, len(text_frame(answer))))
        assert sum(len(answer) >= size for answer, _ in to_come) <= limit
        assert sum(length for _, length in to_come) <= UNREAD_AT_MOST
        if reading:
            half = len(to_come) // 2
            deliver(pipeline, [answer for answer, _ in to_come[:half]])
            del to_come[:half]


def learnt(limit: int, size: int) -> Pipeline[Request]:
    """Return a pipeline that had so many answers of this size that its window will not grow any more."""
    pipeline: Pipeline[Request] = Pipeline(limit)
    for _ in range(limit):
        pipeline.push(ask("earlier"))
        deliver(pipeline, answers_to(pipeline.take(), size=size))
    return pipeline
