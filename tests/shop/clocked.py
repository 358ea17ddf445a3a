"""The shop with a clock that is moved by `POST /clock/<seconds>`: `uvicorn tests.shop.clocked:app`."""

from __future__ import annotations

from shop.app import app

from ndb_models.testing import MovableClock

clock = MovableClock()
clock.__enter__()  # for as long as this process lives


@app.get("/clock/{seconds}")
async def advance(seconds: float) -> float:
    """Move the clock, and return its time."""
    clock.advance(seconds)
    return clock()


__all__ = ["app"]
