"""A read of keys that do not prove whose they are."""

from __future__ import annotations

from typing import ClassVar

from ndb_models.errors import ProtocolError
from ndb_models.protocol.commands import Command
from ndb_models.protocol.prepared import Parameters, Prepared, reading_answer
from ndb_models.protocol.statuses import OK_STATUS
from ndb_models.types import SessionToken


class _KeysRead(Prepared):
    """A read whose answer is recognised by the names of its keys: it holds only keys that were asked for."""

    is_checked: ClassVar[bool] = True

    def fits(self, answer: bytes) -> bool:
        """Return True if an answer holds only keys that were asked for."""
        try:
            body = self.read(answer)
            with reading_answer(self.command):
                return body["st"] != OK_STATUS or frozenset(self.body["keys"]).issuperset(body["keys"])
        except ProtocolError:
            return True  # reading the answer raises the error


def keys_read(command: Command, names: tuple[str, ...], tkn: SessionToken | None = None) -> Prepared:
    """Return a read whose answer is recognised by the names of its keys: it holds only keys that were asked for."""
    return _KeysRead(command, tkn, Parameters(keys=names))
