"""Typed sessions: declared as Pydantic models, stored in NemesisDB or in the engine that ships with this package.

class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
    username: str

async with NdbClient.connect("memory://") as client:
    repo = Repository(client, UserSession)
    session = await repo.save(UserSession(username="billy"))
    session = await repo.get(session.tkn)
"""

from ndb_models.client import NdbClient, Session
from ndb_models.config import ConfigChange, ConfigDifference, ConfigRepository, ConfigWatch
from ndb_models.credentials import Credential
from ndb_models.errors import (
    ConfigProblem,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    DuplicateError,
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    NdbError,
    NdbException,
    NewerVersionError,
    NotConnectedError,
    NotFreshError,
    NotSavedError,
    OlderVersionError,
    PayloadTooLargeError,
    ProtocolError,
    RequestTimeoutError,
    ResponseError,
    SchemaError,
    ServerUnavailableError,
    SessionError,
    SessionExpiredError,
    SessionGoneError,
    StoredConfigError,
    StoredDataError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreLockedError,
    StoreReadOnlyError,
    StoreVersionError,
    UnavailableError,
    UnstorableError,
    UnsupportedError,
    UnsupportedServerError,
    UnusableSessionError,
    UpgradeError,
    WrongSchemaError,
)
from ndb_models.repository import EndReason, Reindexed, Repository, SessionDescription, SessionEnd
from ndb_models.schema import Expiry, Lookup, Merge, SessionModel, UnstableFieldWarning, ZonedDatetime
from ndb_models.tokens import format_token, parse_token
from ndb_models.types import Clock, JsonInput, JsonValue, SessionToken
from ndb_models.uncopyable import NotCopyableError
from ndb_models.version import __version__

__all__ = [
    "Clock",
    "ConfigChange",
    "ConfigDifference",
    "ConfigProblem",
    "ConfigRepository",
    "ConfigWatch",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Credential",
    "DuplicateError",
    "EndReason",
    "Expiry",
    "ForeignSessionError",
    "IncompleteSessionError",
    "InvalidArgumentError",
    "JsonInput",
    "JsonValue",
    "Lookup",
    "Merge",
    "NdbClient",
    "NdbError",
    "NdbException",
    "NewerVersionError",
    "NotConnectedError",
    "NotCopyableError",
    "NotFreshError",
    "NotSavedError",
    "OlderVersionError",
    "PayloadTooLargeError",
    "ProtocolError",
    "Reindexed",
    "Repository",
    "RequestTimeoutError",
    "ResponseError",
    "SchemaError",
    "ServerUnavailableError",
    "Session",
    "SessionDescription",
    "SessionEnd",
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
    "StoredConfigError",
    "StoredDataError",
    "UnavailableError",
    "UnstableFieldWarning",
    "UnstorableError",
    "UnsupportedError",
    "UnsupportedServerError",
    "UnusableSessionError",
    "UpgradeError",
    "WrongSchemaError",
    "ZonedDatetime",
    "__version__",
    "format_token",
    "parse_token",
]
