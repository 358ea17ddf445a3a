"""When a session ends by itself: what may be said, and what is refused."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest

from ndb_models import Expiry, InvalidArgumentError


@pytest.mark.parametrize(
    ("idle", "seconds"),
    [(timedelta(minutes=30), 1800), (60, 60), (60.0, 60), (1, 1), (timedelta(days=365_000), 365_000 * 86_400)],
)
def test_idle_is_whole_seconds_or_a_timedelta_of_them(idle: timedelta | float, seconds: int) -> None:
    assert Expiry(idle=idle).duration == seconds
    assert Expiry(absolute=idle).absolute_seconds == seconds


def test_the_server_is_told_the_shorter_of_the_two_times() -> None:
    assert Expiry(idle=60, absolute=100).duration == 60
    assert Expiry(idle=timedelta(days=2), absolute=timedelta(days=1)).duration == 86_400
    assert Expiry(absolute=100).duration == 100
    assert Expiry(idle=60).absolute_seconds is None


def test_one_of_the_two_times_must_be_given() -> None:
    with pytest.raises(InvalidArgumentError, match="idle= or absolute=, or both"):
        Expiry()
    with pytest.raises(InvalidArgumentError, match="idle= or absolute=, or both"):
        Expiry(idle=None, absolute=None)


@pytest.mark.parametrize("on", ["read", "write", "both"])
def test_an_absolute_time_alone_is_extended_by_nothing(on: Literal["read", "write", "both"]) -> None:
    expiry = Expiry(absolute=60, on=on)
    assert (expiry.extends_on_read, expiry.extends_on_write) == (False, False)


@pytest.mark.parametrize(
    "idle",
    [0, 0.5, -1, 1.5, 2**53, float("nan"), float("inf"), timedelta(0), timedelta(seconds=-1), timedelta(seconds=1.5)],
)
def test_a_time_that_is_no_whole_second_is_refused_by_name(idle: timedelta | float) -> None:
    with pytest.raises(InvalidArgumentError, match=r"Expiry\(idle=\)"):
        Expiry(idle=idle)
    with pytest.raises(InvalidArgumentError, match=r"Expiry\(absolute=\)"):
        Expiry(idle=60, absolute=idle)


@pytest.mark.parametrize("idle", ["60", True, [60], {"minutes": 1}])
def test_a_time_of_another_type_is_refused_and_the_type_named(idle: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=type(idle).__name__):
        Expiry(idle=idle)
    with pytest.raises(InvalidArgumentError, match=type(idle).__name__):
        Expiry(absolute=idle)


@pytest.mark.parametrize("on", ["", "reads", "READ", None, True, ["read"]])
def test_use_is_reading_writing_or_both(on: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'read', 'write' or 'both'"):
        Expiry(idle=60, on=on)


def test_both_count_as_use_by_default() -> None:
    assert (Expiry(idle=60).extends_on_read, Expiry(idle=60).extends_on_write) == (True, True)


def test_only_what_is_named_counts_as_use() -> None:
    read, write = Expiry(idle=60, on="read"), Expiry(idle=60, on="write")
    assert (read.extends_on_read, read.extends_on_write) == (True, False)
    assert (write.extends_on_read, write.extends_on_write) == (False, True)


def test_expiries_that_say_the_same_are_equal_and_do_not_change() -> None:
    expiry = Expiry(idle=60)
    assert expiry == Expiry(idle=60, on="both")
    with pytest.raises(AttributeError):
        expiry.idle = 5  # type: ignore[misc]  # that it cannot be assigned is the point


def test_arguments_are_named() -> None:
    with pytest.raises(InvalidArgumentError, match=r"by name: Expiry\(idle=1800\)"):
        Expiry(60)  # type: ignore[call-arg]  # that it must be named is the point


def test_an_expiry_can_be_copied_and_pickled() -> None:
    expiry = Expiry(idle=60, absolute=3600, on="write")
    assert copy.deepcopy(expiry) == pickle.loads(pickle.dumps(expiry)) == replace(expiry, on="write") == expiry
