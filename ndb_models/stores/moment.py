"""The sessions of a store in memory as of one moment, read in turns while others change them.

A session is noted as it was at the moment, just before it changes. A session that was not noted is still as it was.
A session's keys are never changed, only replaced, so that a note need not copy them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from ndb_models.stores.contract import ExpirySettings, SessionRecord
from ndb_models.stores.expiry import expiry_state
from ndb_models.stores.kept_keys import Kept
from ndb_models.turns import Work
from ndb_models.types import SessionToken

_TOGETHER: Final = 256


class KeptSession(Protocol):
    """A session as it is stored."""

    keys: Kept
    expiry: ExpirySettings
    deadline: float


class Moment:
    """Sessions as they are now, when this is made.

    Args:
        sessions: all sessions, by their tokens.
        tokens: the tokens of the sessions to read; None for all.
        now: the time on the store's clock.
    """

    def __init__(
        self, sessions: Mapping[SessionToken, KeptSession], tokens: Iterable[SessionToken] | None, now: float
    ) -> None:
        self.sessions = sessions
        self._tokens: list[SessionToken] = list(sessions if tokens is None else dict.fromkeys(tokens))
        self._now = now
        self._noted: dict[SessionToken, SessionRecord | None] = {}

    def note(self, token: SessionToken, session: KeptSession | None) -> None:
        """Note a session just before it changes, or a token just before it gets a session."""
        if token not in self._noted:
            self._noted[token] = None if session is None else self._record(token, session)

    def _record(self, token: SessionToken, session: KeptSession) -> SessionRecord | None:
        state = expiry_state(session.expiry, session.deadline, self._now)
        return None if state is None else SessionRecord(token, session.expiry, {} if state.emptied else session.keys)

    def batches(self) -> Iterator[list[SessionRecord] | None]:
        """Yield the sessions in batches, and None wherever others may go on."""
        batch: list[SessionRecord] = []
        for token in self._tokens:
            if token in self._noted:
                record = self._noted[token]
            else:
                session = self.sessions.get(token)
                record = None if session is None else self._record(token, session)
            if record is not None:
                batch.append(record)
            if len(batch) == _TOGETHER:
                yield batch
                batch = []
            yield None
        yield batch


def next_batch(batches: Iterator[list[SessionRecord] | None]) -> Work[list[SessionRecord] | None]:
    """Return the next batch; None if there are no more."""
    for batch in batches:
        if batch is not None:
            return batch
        yield
    return None
