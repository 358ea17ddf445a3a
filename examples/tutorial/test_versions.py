"""Tests of the shop. Run them: pytest test_versions.py."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from versions import app

from ndb_models.testing import MovableClock


@pytest.fixture
def shop(ndb_clock: MovableClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.chdir(tmp_path)  # each test has a sessions.db of its own
    with TestClient(app, base_url="http://localhost") as shop:
        shop.post("/login?user_id=7&username=Billy")
        yield shop


def test_a_user_is_greeted_by_name(shop: TestClient) -> None:
    assert shop.get("/").json() == "Hello, Billy!"


def test_a_logout_ends_the_session(shop: TestClient) -> None:
    cookie = shop.cookies["session"]
    shop.post("/logout")
    assert shop.get("/", headers={"cookie": f"session={cookie}"}).status_code == 401


def test_a_session_ends_after_half_an_hour_without_use(shop: TestClient, ndb_clock: MovableClock) -> None:
    ndb_clock.advance(timedelta(minutes=29))
    assert shop.get("/").status_code == 200
    ndb_clock.advance(timedelta(minutes=31))
    assert shop.get("/").status_code == 401


def test_the_cart_counts(shop: TestClient) -> None:
    shop.post("/cart/apple")
    assert shop.post("/cart/apple").json() == {"apple": 2}
