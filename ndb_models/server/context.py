"""The parts of a server that its connections share."""

from __future__ import annotations

import time

from ndb_models.engine import Engine
from ndb_models.server.fair_queue import Rounds
from ndb_models.server.missed_tokens import MissedTokens
from ndb_models.server.options import ServerOptions
from ndb_models.server.traffic import Traffic
from ndb_models.types import Clock


class ServerContext:
    """The engine, options and counters of a server. Stands in for the `Server` that websockets gives a connection."""

    def __init__(self, engine: Engine, options: ServerOptions, *, clock: Clock = time.monotonic) -> None:
        self.engine: Engine = engine
        self.options: ServerOptions = options
        self.traffic: Traffic = Traffic()
        self.misses: MissedTokens = MissedTokens(options, self.traffic, clock=clock)
        self.rounds: Rounds = Rounds()

    def is_serving(self) -> bool:
        """Return True: `Admission` refuses handshakes while the server is not ready."""
        return True
