"""Typed sessions: declared as Pydantic models, stored in NemesisDB or in the engine that ships with this package.

class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
    username: str

async with NdbClient.connect("memory://") as client:
    repo = Repository(client, UserSession)
    session = await repo.save(UserSession(username="billy"))
    session = await repo.get(session.tkn)
"""

from ndb_models.client import NdbClient, Session
from ndb_models.errors import (
    ConnectError,
    ConnectionLostError,
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    NdbError,
    NdbException,
    NotConnectedError,
    NotSavedError,
    PayloadTooLargeError,
    ProtocolError,
    RequestTimeoutError,
    ResponseError,
    SchemaError,
    SessionError,
    SessionExpiredError,
    SessionGoneError,
    StoredDataError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreLockedError,
    StoreReadOnlyError,
    StoreVersionError,
    UnstorableError,
    WrongSchemaError,
)
from ndb_models.repository import Repository
from ndb_models.schema import Expiry, SessionModel
from ndb_models.types import Clock, JsonInput, JsonValue, SessionToken
from ndb_models.version import __version__

__all__ = [
    "Clock",
    "ConnectError",
    "ConnectionLostError",
    "Expiry",
    "ForeignSessionError",
    "IncompleteSessionError",
    "InvalidArgumentError",
    "JsonInput",
    "JsonValue",
    "NdbClient",
    "NdbError",
    "NdbException",
    "NotConnectedError",
    "NotSavedError",
    "PayloadTooLargeError",
    "ProtocolError",
    "Repository",
    "RequestTimeoutError",
    "ResponseError",
    "SchemaError",
    "Session",
    "SessionError",
    "SessionExpiredError",
    "SessionGoneError",
    "SessionModel",
    "SessionToken",
    "StoreError",
    "StoreFormatError",
    "StoreFullError",
    "StoreLockedError",
    "StoreReadOnlyError",
    "StoreVersionError",
    "StoredDataError",
    "UnstorableError",
    "WrongSchemaError",
    "__version__",
]
