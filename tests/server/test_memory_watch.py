"""Where a process takes too much memory, freed memory is given back, and then those who hold most are ended."""

from __future__ import annotations

import platform

import pytest

from ndb_models.server.memory_limit import memory_used
from ndb_models.server.memory_watch import MemoryWatch, give_back_freed_memory
from tests.conftest import VirtualClock

MIB = 1024 * 1024


class Process:
    """A process of connections that hold memory, and of memory that was freed and kept."""

    def __init__(self, freed: int, *held: int) -> None:
        self.freed = freed
        self.connections = [Connection(size) for size in held]
        self.given_back = 0

    def resident(self) -> int:
        return self.freed + sum(each.held for each in self.connections)

    def give_back(self) -> None:
        self.freed = 0
        self.given_back += 1


class Connection:
    def __init__(self, held: int) -> None:
        self.held = held

    def free(self) -> None:
        self.held = 0


def looked(process: Process, most: int, clock: VirtualClock, times: int = 1) -> list[int]:
    """Let a watch look; return what connections then hold."""
    watch = MemoryWatch(most, process.resident, lambda: process.connections, give_back=process.give_back, clock=clock)
    for _ in range(times):
        watch.look()
    return [each.held for each in process.connections]


def test_nothing_is_done_while_there_is_enough(clock: VirtualClock) -> None:
    process = Process(20 * MIB, 10 * MIB, 50 * MIB)
    assert looked(process, 100 * MIB, clock) == [10 * MIB, 50 * MIB]
    assert process.given_back == 0


def test_freed_memory_is_given_back_before_anyone_is_ended(clock: VirtualClock) -> None:
    process = Process(40 * MIB, 10 * MIB, 50 * MIB)
    assert looked(process, 100 * MIB, clock) == [10 * MIB, 50 * MIB]
    assert process.given_back == 1


def test_those_who_hold_most_are_ended_and_no_more_than_need_be(clock: VirtualClock) -> None:
    process = Process(0, 10 * MIB, 50 * MIB, 30 * MIB, 9 * MIB)
    assert looked(process, 100 * MIB, clock) == [10 * MIB, 0, 30 * MIB, 9 * MIB]


def test_those_who_hold_next_to_nothing_are_not_ended(clock: VirtualClock) -> None:
    process = Process(99 * MIB, 1000, 2000)
    process.give_back = lambda: None  # type: ignore[method-assign]  # it is the store's
    assert looked(process, 100 * MIB, clock) == [1000, 2000]


def test_memory_that_stays_high_is_not_looked_through_all_the_time(clock: VirtualClock) -> None:
    process = Process(0, 90 * MIB)
    looked(process, 100 * MIB, clock, times=10)
    assert process.given_back == 1


def test_where_ending_all_is_not_enough_all_are_ended(clock: VirtualClock) -> None:
    process = Process(0, 10 * MIB, 50 * MIB)
    store = 120 * MIB
    watch = MemoryWatch(
        100 * MIB,
        lambda: store + process.resident(),
        lambda: process.connections,
        give_back=process.give_back,
        clock=clock,
    )
    watch.look()
    assert [each.held for each in process.connections] == [0, 0]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to give memory back")
def test_memory_between_what_is_in_use_is_given_back_to_the_system() -> None:
    blocks = [bytes(2000) for _ in range(20_000)]
    del blocks[:-1]  # what lies before the last stays with the allocator
    before = memory_used().resident
    give_back_freed_memory()
    assert memory_used().resident < before - 20 * MIB
    assert len(blocks) == 1
