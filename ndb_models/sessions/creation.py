"""Creates sessions: by one request if the server has it and one frame holds the keys, otherwise in parts.

If a creation is cut short at any point, it leaves no session behind that looks whole.
"""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, Protocol

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.client.sessions import LONGEST_DURATION
from ndb_models.errors import (
    ConnectionLostError,
    NdbError,
    ProtocolError,
    RequestTimeoutError,
    SessionGoneError,
    StoreUnreachableError,
    UnavailableError,
)
from ndb_models.json_text import NO_KEYS, ObjectText
from ndb_models.protocol.commands import COMMANDS, MAX_TOKEN, MAYBE_DONE, TOKEN, is_token
from ndb_models.protocol.prepared import NO_PARAMETERS, Prepared, expiring
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.schema.envelope import RESERVED_KEY, with_envelope, write_envelope
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.lifetime import Lifetime, envelope_of
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.bulk import perform_together
from ndb_models.sessions.splitting import fits, split_by_size
from ndb_models.tokens import draw_token
from ndb_models.types import SessionToken

_SH_NEW: Final = COMMANDS["SH_NEW"]
_SH_NEW_SET: Final = COMMANDS["SH_NEW_SET"]
_SH_SET: Final = COMMANDS["SH_SET"]

# A caller that gets one of these has waited long already.
_AWAY: Final = (ConnectionLostError, RequestTimeoutError, StoreUnreachableError)


class Entries(Protocol):
    """The index entries of a session that is being created.

    Attributes:
        contested: True if others may refuse the creation, see `SessionAccess.refuse`.
    """

    contested: bool

    def along(self, tkn: SessionToken) -> Sequence[Prepared]:
        """Return the requests that create other sessions along with the session of this token."""

    async def enter(self, tkn: SessionToken, *, along: bool) -> None:
        """Enter the session of this token, before any of its keys is written.

        `along` is True if the sessions of the method `along` were created for this token. Otherwise none of them is
        left.
        """


class SessionCreation:
    """Creates the sessions of one schema.

    Args:
        client: an open client.
        access: the access to its sessions.
        model: the name of the class, for errors.
        schema: the name under which its sessions are stored.
        version: the version of new sessions, unless another is given.
    """

    def __init__(self, client: NdbClient, access: SessionAccess, model: str, schema: str, version: int) -> None:
        self._client = client
        self._access = access
        self._name = model
        self._schema = schema
        self._version = version

    async def create(
        self,
        keys: ObjectText,
        lifetime: Lifetime,
        version: int | None = None,
        by: str | None = None,
    ) -> SessionToken:
        """Create a session with these keys, and return its token.

        Unless `version` and `by` say otherwise, the keys are of the class's version, written by this form of the class.
        Keys that cannot be written are refused before there is a session. A session that cannot be completed is ended
        again.

        Raises:
            SessionGoneError: the session was ended before it was whole, or its creation was refused.
        """
        version, by = version or self._version, by or self._access.by
        client = self._client
        in_one_frame = client.max_payload is None or fits(keys, client.max_payload)
        if in_one_frame and client.may_know(_SH_NEW_SET):
            tkn = draw_token()
            parameters = expiring(lifetime.expiry.settings) if lifetime.expiry is not None else NO_PARAMETERS
            whole = self._with_envelope(keys, tkn, lifetime, version, by)
            connection = client.connection_number if client.is_remote else None
            try:
                begun = client.begin(Prepared(_SH_NEW_SET, tkn, parameters, whole))
                answer = begun if isinstance(begun, dict) else await begun
            except (asyncio.CancelledError, UnavailableError):
                client.end_soon(tkn)  # a caller that cancels, or lost the connection, is not kept waiting
                raise
            if answer["st"] == OK_STATUS:
                return tkn
            if answer.get(MAYBE_DONE):
                client.end_soon(tkn)
            if answer["st"] == Status.COMMAND_NOT_EXIST:
                client.note_unknown(_SH_NEW_SET, connection)
            elif answer["st"] != Status.SESSION_NEW_FAIL:  # another session has this token
                raise self._access.refusal(_SH_NEW_SET, tkn, answer)
        return await self.create_in_parts(keys, lifetime, version, by)

    def _with_envelope(
        self, keys: ObjectText, tkn: SessionToken, lifetime: Lifetime, version: int, by: str
    ) -> ObjectText:
        if lifetime.tracking is None and not lifetime.own and version == self._version and by == self._access.by:
            return self._access.common_envelope.append_to(keys, tkn, lifetime.deadline)
        return with_envelope(keys, envelope_of(self._schema, version, tkn, lifetime, by))

    async def create_in_parts(
        self,
        keys: ObjectText,
        lifetime: Lifetime,
        version: int | None = None,
        by: str | None = None,
        entries: Entries | None = None,
    ) -> SessionToken:
        """Work as `create`: create a session first, enter it, and then write its keys, the reserved key last."""
        version, by = version or self._version, by or self._access.by
        limit = self._client.max_payload
        parts: list[dict[str, bytes]] = []
        if limit is not None and not fits(keys, limit):
            pending = write_envelope(envelope_of(self._schema, version, None, lifetime))
            widest = write_envelope(envelope_of(self._schema, version, MAX_TOKEN, lifetime, by))
            # In a contested creation this mark would mean a refusal.
            marked = () if entries is not None and entries.contested else ((RESERVED_KEY, pending),)
            *parts, last = split_by_size(self._name, _SH_SET, (*marked, *keys.items(), (RESERVED_KEY, widest)), limit)
            del last[RESERVED_KEY]
            keys = ObjectText.joined(last)
        expiry, tkn = lifetime.expiry, draw_token()
        parameters = expiring(expiry.settings) if expiry is not None else NO_PARAMETERS
        new = Prepared(_SH_NEW_SET, tkn, parameters, NO_KEYS)
        along = await create_together(self._client, [new] if entries is None else [new, *entries.along(tkn)])
        if not along:
            tkn = await self._created_alone(expiry)
        whole = self._with_envelope(keys, tkn, lifetime, version, by)
        try:
            if entries is not None:
                await entries.enter(tkn, along=along)
            for part in parts:
                await self._access.set(tkn, part)
            if entries is None or not entries.contested:
                await self._access.set(tkn, whole)
            elif not await self._access.commit(tkn, whole):
                raise SessionGoneError(self._name, tkn)
        except (asyncio.CancelledError, *_AWAY):
            self._client.end_soon(tkn)
            raise
        except BaseException:
            with contextlib.suppress(NdbError):  # the caller needs the first error
                await self._client.to_the_end(self._client.end_surely(tkn))
            raise
        return tkn

    async def _created_alone(self, expiry: Expiry | None) -> SessionToken:
        """Create a session without keys, on any server, and return its token."""
        parameters = expiring(expiry.settings) if expiry is not None else NO_PARAMETERS
        if expiry is not None and (expiry.duration > LONGEST_DURATION or expiry.touch_every is not None):
            settings = expiry.settings._replace(duration=await self._client.duration_there(expiry.duration))
            if not await self._client.keeps_values():  # a NemesisDB, which extends at every use
                settings = settings._replace(touch_every=0)
            parameters = expiring(settings)
        answer = await self._client.perform(self._client.ending_orphans(Prepared(_SH_NEW, None, parameters)))
        if answer["st"] != OK_STATUS:
            raise await self._client.identified(failure(_SH_NEW, answer))
        new = answer.get(TOKEN)
        if type(new) is not int or not is_token(new):
            raise ProtocolError("the server's answer to SH_NEW has no token")
        return new


async def create_together(client: NdbClient, requests: Sequence[Prepared]) -> bool:
    """Create sessions, by `SH_NEW_SET` requests that are sent at once. Return True if they were created.

    Return False if the server does not know such requests, has no room, or has a session of one of the tokens. In this
    case, and if this is cut short, no new session is left.

    Raises:
        ResponseError: the server refuses a request.
    """
    if not client.may_know(_SH_NEW_SET):
        return False
    connection = client.connection_number if client.is_remote else None
    try:
        begun = perform_together(client, requests)
        answers = begun if isinstance(begun, list) else await begun
    except BaseException:
        for request in requests:
            client.end_soon(request.tkn or 0)
        raise
    for answer in answers:
        if answer["st"] != OK_STATUS:
            break
    else:
        return True
    for request, answer in zip(requests, answers, strict=True):
        if answer["st"] == OK_STATUS or answer.get(MAYBE_DONE):
            client.end_soon(request.tkn or 0)
    for answer in answers:
        if answer["st"] == OK_STATUS:
            continue
        if answer["st"] == Status.COMMAND_NOT_EXIST:
            client.note_unknown(_SH_NEW_SET, connection)
        elif answer["st"] != Status.SESSION_NEW_FAIL:
            raise failure(_SH_NEW_SET, answer)
    return False
