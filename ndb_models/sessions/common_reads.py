"""The model of a read that takes no more than loading it, as nearly all reads do."""

from __future__ import annotations

from typing import Generic, TypeVar

from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.model import SessionModel, Stored, set_stored
from ndb_models.sessions.lifetimes import Lifetimes
from ndb_models.sessions.reading import Read
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)


class CommonReads(Generic[M]):
    """Makes models of common reads: of this form of the class, and as its expiry allows.

    Args:
        codec: the codec of the class.
        lifetimes: the lifetimes of its sessions.
        are_examined: True if every read of the class takes more than loading it.
    """

    def __init__(self, codec: ModelCodec[M], lifetimes: Lifetimes, *, are_examined: bool) -> None:
        self.codec: ModelCodec[M] = codec
        self._lifetimes = lifetimes
        self._are_examined = are_examined

    def model(self, tkn: SessionToken, read: Read) -> M | None:
        """Return the model of a read, or None if it is no common one.

        Raises:
            StoredDataError: the keys do not fit the class.
        """
        envelope = read.envelope
        if self._are_examined or not read.is_common or envelope is None:
            return None
        deadline = envelope.deadline
        if deadline is not None and not self._lifetimes.is_timely(deadline):
            return None
        session = self.codec.load(read.text, tkn)
        by_field = self.codec.by_field
        values = None if by_field is None else by_field.values_read(session)
        set_stored(session, Stored(tkn, read.text, deadline, values))
        return session
