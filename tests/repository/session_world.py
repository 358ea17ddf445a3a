"""What must be, kept in plain dictionaries: the sessions of an engine, as the verbs' docstrings have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from ndb_models import Expiry, NdbClient, SessionExpiredError, SessionGoneError
from ndb_models.client.in_process import InProcessTransport
from ndb_models.engine import Engine


class EngineClient(NdbClient):
    """A client of an engine that the test has made."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._use(InProcessTransport(engine))


@dataclass
class Known:
    """A session that lives: its fields, how it expires, when it will if it is not used, and when at the latest."""

    fields: dict[str, Any]
    expiry: Expiry | None
    ends: float = float("inf")
    deadline: float = float("inf")


@dataclass
class World:
    """All sessions, and the time."""

    now: float = 1000.0
    sessions: dict[int, Known] = field(default_factory=dict)

    def clock(self) -> float:
        return self.now

    def move(self, seconds: int) -> None:
        """Let time pass, and with it the sessions that nobody uses."""
        self.now += seconds
        self.sessions = {tkn: known for tkn, known in self.sessions.items() if self.now < known.ends}

    def create(self, tkn: int, fields: dict[str, Any], expiry: Expiry | None, deadline: float | None = None) -> None:
        assert tkn not in self.sessions
        known = Known(fields, expiry)
        if expiry is not None:
            known.ends = self.now + expiry.duration
            if deadline is None and expiry.absolute_seconds is not None:
                deadline = self.now + expiry.absolute_seconds
        known.deadline = float("inf") if deadline is None else deadline
        self.sessions[tkn] = known

    def read(self, tkn: int) -> None:
        known = self.sessions[tkn]
        if known.expiry is not None and known.expiry.extends_on_read:
            known.ends = self.now + known.expiry.duration

    def write(self, tkn: int) -> None:
        known = self.sessions[tkn]
        if known.expiry is not None and known.expiry.extends_on_write:
            known.ends = self.now + known.expiry.duration

    def lives(self, tkn: int) -> bool:
        """Tell whether a session lives. One whose absolute time is over is ended by whoever looks."""
        known = self.sessions.get(tkn)
        if known is not None and known.deadline <= self.now:
            del self.sessions[tkn]
            return False
        return known is not None

    @contextmanager
    def expected(self, tkn: int) -> Iterator[None]:
        """Whatever is asked of this session is answered if it lives, and else refused as it must be."""
        was_there = tkn in self.sessions
        if self.lives(tkn):
            yield
        else:
            with pytest.raises(SessionExpiredError if was_there else SessionGoneError):
                yield
