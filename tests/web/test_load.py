"""Browsers in a shop that is killed, or whose store is: no wrong user, nothing lost, nothing acknowledged in vain.

`NDB_WEB_LOAD` is how many seconds each of these tests loads the shop.
"""

from __future__ import annotations

import os

import pytest

pytest.importorskip("uvicorn")

from benchmarks.web_load import Report, shop_killed, store_killed

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

SECONDS = float(os.environ.get("NDB_WEB_LOAD", "2"))


def assert_all_answers_were_true(report: Report) -> None:
    assert report.faults == [], report
    assert report.kills, report
    assert report.reckoned == report.acknowledged > 0, report


async def test_a_store_that_is_killed_costs_no_item_and_logs_nobody_out() -> None:
    report = await store_killed(SECONDS)
    assert_all_answers_were_true(report)
    assert report.statuses["503"], report
    assert not report.unanswered, report


async def test_a_shop_that_is_killed_costs_no_item_and_logs_nobody_out() -> None:
    report = await shop_killed(SECONDS)
    assert_all_answers_were_true(report)
    assert report.unanswered, report
