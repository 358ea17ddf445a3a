"""Helps to test applications with sessions: docs/testing.md.

`pytest` finds the fixtures by itself. This package has their parts, for fixtures of your own and for other runners.
"""

from ndb_models.testing.client import open_client
from ndb_models.testing.clock import MovableClock
from ndb_models.testing.round_trips import assert_round_trips
from ndb_models.testing.server import RunningServer

__all__ = ["MovableClock", "RunningServer", "assert_round_trips", "open_client"]
