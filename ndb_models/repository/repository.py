"""`Repository`: stores the models of one class as sessions, and gives them back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import (
    ConnectionLostError,
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    NdbError,
    RequestTimeoutError,
    ResponseError,
    SessionGoneError,
    WrongSchemaError,
)
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.envelope import RESERVED_KEY, read_envelope, write_envelope
from ndb_models.schema.model import SessionModel, Stored, set_stored, stored_of
from ndb_models.types import SessionToken
from ndb_models.wire.codec import decode_answer
from ndb_models.wire.commands import COMMANDS, Command, is_token
from ndb_models.wire.exchange import Exchange
from ndb_models.wire.session_frames import join_keys, keys_answer, read_request, write_request
from ndb_models.wire.statuses import Status

M = TypeVar("M", bound=SessionModel)

_SH_GET: Final = COMMANDS["SH_GET"]
_SH_SET: Final = COMMANDS["SH_SET"]
_SH_ADD: Final = COMMANDS["SH_ADD"]

# What holds another session's token is read again: an answer that went astray does not come twice, a session whose keys
# were copied by hand does.
_READS: Final = 2


class Repository(Generic[M]):
    """Stores models of one class as sessions.

        repo = Repository(client, UserSession)
        session = await repo.save(UserSession(username="billy"))
        session = await repo.get(session.tkn)

    It may be used by many tasks at once. Besides the errors that are named below, every method raises the connection
    errors of `NdbClient`, and `ResponseError` where the server refuses.

    Args:
        client: an open client, which stays yours to close.
        model: the class; what is read is of this class.
    """

    def __init__(self, client: NdbClient, model: type[M]) -> None:
        owner: object = client
        if not isinstance(owner, NdbClient):
            raise InvalidArgumentError("a Repository needs an open NdbClient: Repository(client, UserSession)")
        candidate: object = model
        if not (isinstance(candidate, type) and issubclass(candidate, SessionModel)):
            raise InvalidArgumentError(
                "a Repository stores a subclass of SessionModel: Repository(client, UserSession)"
            )
        self._client = client
        self._model = model
        self._name = model.__name__
        self._codec: ModelCodec[M] = ModelCodec(model)
        self._names = (*self._codec.names, RESERVED_KEY)

    async def save(self, session: M) -> M:
        """Store a model, and return it.

        A model without a token becomes a new session, and has its token from then on. Of one with a token, the fields
        that changed since it was read or saved are written, and no others; a session that has ended stays ended. If
        this is cancelled or fails half-way, a new session is ended again; of an existing one, either all changes are
        written or none.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal. Nothing was stored.
            SessionGoneError: the session has ended or expired since it was read.
        """
        if type(session) is not self._model:
            raise InvalidArgumentError(f"this repository stores {self._name}, not {type(session).__name__}")
        keys = self._codec.dump(session)
        stored = stored_of(session)
        tkn = await self._create(keys) if stored is None else await self._update(stored, keys)
        set_stored(session, Stored(tkn, join_keys(keys)))
        return session

    async def _create(self, keys: Mapping[str, bytes]) -> SessionToken:
        expiry = self._model.session_options.expiry
        if expiry is None:
            new = await self._client.sh_create_session()
        else:
            new = await self._client.sh_create_session(
                expiry.seconds, True, expiry.extends_on_write, expiry.extends_on_read
            )
        try:
            await self._write(_SH_SET, new.tkn, {**keys, RESERVED_KEY: self._envelope(new.tkn)})
        except (asyncio.CancelledError, ConnectionLostError, RequestTimeoutError):
            self._client.end_soon(new.tkn)  # whoever cancels, or has lost the connection, is not kept waiting
            raise
        except BaseException:
            with contextlib.suppress(NdbError):  # what went wrong first is what the caller has to know
                await self._client.sh_end(new.tkn)
            raise
        return new.tkn

    async def _update(self, stored: Stored, keys: Mapping[str, bytes]) -> SessionToken:
        changes = self._codec.changes(keys, stored.keys)
        if changes:
            await self._write(_SH_SET, stored.tkn, changes)
        else:
            # Counts as a write and finds out whether the session lives, and changes nothing.
            await self._write(_SH_ADD, stored.tkn, {RESERVED_KEY: self._envelope(stored.tkn)})
        return stored.tkn

    async def get(self, tkn: SessionToken) -> M:
        """Return the session of this token. Extends its expiry where the class says so.

        Raises:
            SessionGoneError: it has ended or expired, or never was.
            WrongSchemaError: it is a session of another model.
            IncompleteSessionError: it has no keys.
            ForeignSessionError: it was not written by a repository.
            StoredDataError: what is stored does not fit the model.
        """
        keys = await self._read(tkn, self._names)
        session, text = self._codec.load(keys, tkn)
        set_stored(session, Stored(tkn, text))
        return session

    async def get_or_none(self, tkn: SessionToken) -> M | None:
        """Return the session of this token, or None if it has ended or expired, or never was. Else as `get`."""
        try:
            return await self.get(tkn)
        except SessionGoneError:
            return None

    async def exists(self, tkn: SessionToken) -> bool:
        """Tell whether there is a session of this model under this token.

        A session of another model, a foreign one and one without keys do not count. It is a read, and extends the
        expiry like one.
        """
        try:
            await self._read(tkn, (RESERVED_KEY,))
        except (SessionGoneError, WrongSchemaError, IncompleteSessionError, ForeignSessionError):
            return False
        return True

    async def delete(self, tkn: SessionToken) -> bool:
        """End a session. Return False if there is none any more: ending twice does no harm.

        One whose creation was cut short is ended too.

        Raises:
            WrongSchemaError: it is a session of another model; it is left alone.
            ForeignSessionError: it was not written by a repository; it is left alone.
        """
        try:
            with contextlib.suppress(IncompleteSessionError):
                await self._read(tkn, self._names)
            return await self._client.sh_end(tkn)
        except SessionGoneError:
            return False
        except ResponseError as exc:
            if exc.status == Status.SESSION_NOT_EXIST:
                return False
            raise

    def _envelope(self, tkn: SessionToken) -> bytes:
        return write_envelope(self._model.session_options.schema, tkn)

    async def _write(self, command: Command, tkn: SessionToken, keys: Mapping[str, bytes]) -> None:
        answer = decode_answer(await self._client.request(Exchange(command, write_request(command, tkn, keys))))
        if answer["st"] == Status.SESSION_NOT_EXIST:
            raise SessionGoneError(self._name, tkn)
        if answer["st"] != command.success:
            raise failure(command, answer)

    async def _read(self, tkn: SessionToken, names: tuple[str, ...]) -> dict[str, bytes]:
        """Return a session's keys without the reserved one, which must say that it is the session asked for."""
        if not is_token(tkn):
            raise InvalidArgumentError(f"a token is an unsigned 64-bit integer; this is a {type(tkn).__name__}")
        for _ in range(_READS):
            keys = await self._read_once(tkn, names)
            reserved = keys.pop(RESERVED_KEY, None)
            if reserved is None and not keys and await self._is_empty(tkn):
                raise IncompleteSessionError(self._name, tkn)
            envelope = None if reserved is None else read_envelope(reserved)
            if envelope is None:
                break
            if envelope.tkn == tkn:
                if envelope.schema != self._model.session_options.schema:
                    raise WrongSchemaError(self._name, tkn, envelope.schema)
                return keys
        raise ForeignSessionError(self._name, tkn)

    async def _read_once(self, tkn: SessionToken, names: tuple[str, ...]) -> dict[str, bytes]:
        frame = await self._client.request(Exchange(_SH_GET, read_request(_SH_GET, tkn, names)))
        answer = keys_answer(frame)
        if answer.status == Status.SESSION_NOT_EXIST:
            raise SessionGoneError(self._name, tkn)
        if answer.status != Status.OK:
            raise failure(_SH_GET, decode_answer(frame))
        return dict(answer.keys)

    async def _is_empty(self, tkn: SessionToken) -> bool:
        """Tell whether a session that has none of our keys has none at all: another client's may have others."""
        try:
            return await self._client.sh_count(tkn) == 0
        except ResponseError as exc:
            if exc.status == Status.SESSION_NOT_EXIST:
                raise SessionGoneError(self._name, tkn) from exc
            raise
