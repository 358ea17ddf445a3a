"""Extends the expiry of a session without reading or writing its data."""

from __future__ import annotations

from ndb_models.client import NdbClient
from ndb_models.errors import UnavailableError
from ndb_models.json_text import NO_KEYS
from ndb_models.protocol.prepared import Conditions, Prepared
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.writing import SH_CHANGE, check_token
from ndb_models.types import SessionToken


async def touch(client: NdbClient, access: SessionAccess, tkn: SessionToken) -> None:
    """Let a session count as read and as written. Raises as `SessionAccess.read`.

    For most sessions one request is enough: an empty write, on the condition that the reserved key is the one that most
    sessions of the class have. A read and a write follow if the key is another one, if writes do not extend as reads
    do, if the server cannot compare, or if the outcome of the first request is unknown.
    """
    check_token(tkn)
    reserved = access.common_envelope.text_for(tkn) if access.is_extended_by_writes else None
    if reserved is not None and client.may_know(SH_CHANGE):
        asked_on = client.connection_number if client.is_remote else None
        try:
            begun = client.begin(Prepared(SH_CHANGE, tkn, Conditions({RESERVED_KEY: reserved}), NO_KEYS))
            answer = begun if isinstance(begun, dict) else await begun
        except UnavailableError as exc:
            if not exc.maybe_done:
                raise
        else:
            if answer["st"] == OK_STATUS and answer["done"]:
                return
            if answer["st"] == Status.COMMAND_NOT_EXIST:
                client.note_unknown(SH_CHANGE, asked_on)
    await access.read(tkn, ())
    await access.change(tkn, NO_KEYS, ())
