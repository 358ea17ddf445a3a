"""What limits count by: addresses, and budgets that fill again."""

from __future__ import annotations

import logging

import pytest

from ndb_models.server.connection_registry import address_of
from ndb_models.server.log_limits import LogLimit
from ndb_models.server.rate_limits import AddressRateLimit, RateLimit
from tests.conftest import VirtualClock


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("?", "?"),
    ],
)
def test_an_ipv6_address_counts_by_its_site(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_a_budget_holds_ten_seconds_and_fills_again(clock: VirtualClock) -> None:
    limit = RateLimit(2, clock)
    assert [limit.take() for _ in range(21)] == [True] * 20 + [False]
    clock.move(1)
    assert [limit.take() for _ in range(3)] == [True, True, False]
    clock.move(1000)
    assert limit.take(20)
    assert not limit.take(1)


def test_what_is_asked_for_beyond_a_budget_empties_it(clock: VirtualClock) -> None:
    limit = RateLimit(1, clock)
    assert not limit.take(11)
    assert not limit.take(1)


def test_addresses_have_budgets_of_their_own_and_no_number_of_them_takes_much_memory(clock: VirtualClock) -> None:
    limit = AddressRateLimit(0.1, clock)
    assert limit.take("a")
    assert not limit.take("a")
    assert all(limit.take(str(number)) for number in range(20_000))
    assert limit.take("a")  # which was forgotten, and the others were not
    assert not limit.take("19999")


def test_a_warning_is_written_once_a_minute_and_says_how_many_were_left_out(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    limit = LogLimit(logging.getLogger("ndb_models.server.test"), clock)
    for _ in range(1000):
        limit.warn("flood")
    clock.move(60)
    limit.warn("flood")
    assert [record.__dict__["fields"]["left_out"] for record in caplog.records] == [0, 999]
