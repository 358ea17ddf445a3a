"""Every error that this package raises on purpose.

    NdbError (also importable as NdbException, its name in NemesisDB's own Python API)
    |-- UnavailableError                           the server or the store is unavailable: try again later
    |   |-- NotConnectedError (ConnectionError)    the client was never opened, or was closed
    |   |-- ConnectError (ConnectionError)         no connection could be made
    |   |-- ConnectionLostError (ConnectionError)  the connection failed while requests were waiting
    |   |-- RequestTimeoutError (TimeoutError)     no answer in time
    |   |-- ProtocolError                          the server sent an invalid answer
    |   |-- ServerUnavailableError (ResponseError) the server answered that it is unavailable
    |   `-- StoreError                             a store could not be opened, or failed a request
    |       |-- StoreFormatError                   the file is not a store, or is damaged
    |       |   `-- StoreVersionError              a newer version of this package wrote the store
    |       |-- StoreReadOnlyError                 the store cannot be written to
    |       |-- StoreLockedError (TimeoutError)    others kept the store locked for too long
    |       |-- StoreUnreachableError (TimeoutError) a store elsewhere did not answer in time
    |       |-- StoreNotReplicatedError            too few replicas confirmed a write
    |       `-- StoreFullError                     there is no room left
    |-- SessionError                               the session cannot be used like that
    |   |-- NotSavedError                          the model has no token yet
    |   |-- NotFreshError                          the last login is too long ago: log in again
    |   `-- UnusableSessionError                   the session cannot be used at all: log in again
    |       |-- SessionGoneError                   it has ended, has expired or never existed
    |       |   `-- SessionExpiredError            it is known to have expired
    |       |-- WrongSchemaError                   the token belongs to a session of another model
    |       |-- NewerVersionError                  newer code wrote the session
    |       |-- OlderVersionError                  the session's version is no longer upgraded
    |       |-- IncompleteSessionError             its creation was cut short, or it was emptied
    |       |-- ForeignSessionError                no repository wrote the session
    |       `-- StoredDataError                    the stored data does not fit the model
    |           `-- UpgradeError                   a step of an upgrade failed
    |-- ResponseError                              the server refused or failed the request
    |   `-- UnsupportedServerError                 a NemesisDB without the session commands
    |-- UnsupportedError                           the server has no command for it
    |-- InvalidArgumentError (ValueError)          a call was wrong; it sent no request
    |   `-- NotCopyableError (TypeError)           it cannot be copied or pickled (in ndb_models.uncopyable)
    |-- PayloadTooLargeError (ValueError)          a request is larger than the server takes
    |-- DataSetError                               a server cannot load a data set at its start
    |-- SchemaError (TypeError)                    a model cannot be stored as it is declared
    |-- UnstorableError (ValueError)               a model's values would not come back equal
    |-- DuplicateError (ValueError)                another session has this value of a unique field
    |-- ConflictError                              another request changed the same field meanwhile
    |-- StoredConfigError                          a stored configuration does not fit the model
    |-- NotLoggedInError, CrossSiteError           a web request is refused: 401, 403 (in ndb_models.web, with
    |                                              LoginTooOldError and others, each below the error that it is)
    |
    |   Between the layers. Each is answered below the public methods, and stands in the module that raises it:
    |-- UnknownSessionError                        a store has no session of this token (stores.contract)
    |-- LimitError, TooLargeError                  a change exceeds a limit of a store, a read one of its caller
    |-- RefusedError, CallRefusedError             a request or a call is refused (engine.requests, dashboard.refusals)
    |-- PathError (ValueError)                     no JSONPath, or a search over its budget (engine.paths)
    |-- SnapshotError                              a data set cannot be written or read (engine.snapshots)
    |-- RequestLostError, ServerRefusedError,      a Redis gives no reply, or cannot be used, or has only some of the
    |   DividedSlotError                           keys of a request (stores.redis)
    |-- MissingSetError                            a set of index entries has ended (index.catalogue)
    `-- BackupStoppedError                         the caller stopped a backup (stores.sqlite.backup)

An application needs two: `except UnavailableError` answers 503, `except UnusableSessionError` asks for a new login.
Messages are built from the fields. They name fields, keys and statuses, never values, and at most four digits of a
token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ndb_models.command_purposes import described_request
from ndb_models.error_root import NdbError as NdbError
from ndb_models.error_root import UnavailableError as UnavailableError
from ndb_models.error_root import listed
from ndb_models.session_errors import (
    ForeignSessionError as ForeignSessionError,
    IncompleteSessionError as IncompleteSessionError,
    NewerVersionError as NewerVersionError,
    NotFreshError as NotFreshError,
    NotSavedError as NotSavedError,
    OlderVersionError as OlderVersionError,
    SessionError as SessionError,
    SessionExpiredError as SessionExpiredError,
    SessionGoneError as SessionGoneError,
    StoredDataError as StoredDataError,
    UnusableSessionError as UnusableSessionError,
    UpgradeError as UpgradeError,
    WrongSchemaError as WrongSchemaError,
)
from ndb_models.store_errors import (
    StoreError as StoreError,
    StoreFormatError as StoreFormatError,
    StoreFullError as StoreFullError,
    StoreLockedError as StoreLockedError,
    StoreNotReplicatedError as StoreNotReplicatedError,
    StoreReadOnlyError as StoreReadOnlyError,
    StoreUnreachableError as StoreUnreachableError,
    StoreVersionError as StoreVersionError,
)
from ndb_models.types import JsonValue

NdbException = NdbError


class InvalidArgumentError(NdbError, ValueError):
    """A call was wrong. It sent no request and changed no data."""


class NotConnectedError(UnavailableError, ConnectionError):
    """The client has no connection: `open` was not called or failed, or `close` was called."""


class ConnectError(UnavailableError, ConnectionError):
    """No connection could be made; the cause says why. Attribute: `uri`, without user and password."""

    def __init__(self, uri: str, reason: str) -> None:
        self.uri = uri
        super().__init__(f"cannot connect to {uri}: {reason}")


class ConnectionLostError(UnavailableError, ConnectionError):
    """The connection failed, with no new one in time. The message says why. Attributes: `command`, `maybe_done`.

    `maybe_done` is False if the request was never sent, True if the server may have carried it out.
    """

    def __init__(self, command: str, *, maybe_done: bool, reason: str | None = None) -> None:
        self.command = command
        self.maybe_done = maybe_done
        super().__init__(f"{reason or 'the connection was lost'}; {described_request(command)} {_fate(maybe_done)}")


def _fate(maybe_done: bool) -> str:
    return "may or may not have been carried out" if maybe_done else "was not sent"


class RequestTimeoutError(UnavailableError, TimeoutError):
    """No answer came in time. Attributes: `command`; `timeout`, in s; `maybe_done`, as for `ConnectionLostError`."""

    def __init__(self, command: str, timeout: float, *, maybe_done: bool, reason: str | None = None) -> None:
        self.command = command
        self.timeout = timeout
        self.maybe_done = maybe_done
        timeout_text = f"{timeout:g} s" + (f" ({reason})" if reason else "")
        super().__init__(f"no answer to {described_request(command)} within {timeout_text}; it {_fate(maybe_done)}")


class PayloadTooLargeError(NdbError, ValueError):
    """A request is larger than the server takes. It was not sent.

    Attributes: `command`; `size` and `limit` in bytes; `largest`: its largest keys, as (name, bytes).
    """

    def __init__(self, command: str, size: int, limit: int, largest: Sequence[tuple[str, int]]) -> None:
        self.command = command
        self.size = size
        self.limit = limit
        self.largest: tuple[tuple[str, int], ...] = tuple(largest)
        keys = ", ".join(f"{name!r} ({count} bytes)" for name, count in largest)
        super().__init__(
            f"{described_request(command)} has {size} bytes, and the server takes {limit}"
            + (f"; the largest keys are {keys}" if keys else "")
            + "; store less, write in several calls, or raise max_payload here and on the server"
        )


class ProtocolError(UnavailableError):
    """The server sent a frame that cannot be the answer to the request. The frame was discarded."""


class ResponseError(NdbError):
    """The server refused or failed a request.

    Attributes: `command`, its name; `status`, the number (see `ndb_models.protocol.statuses.Status`); `rsp`, the status
    and message of the answer, without values and tokens.
    """

    def __init__(self, command: str, rsp: Mapping[str, JsonValue], meaning: str) -> None:
        self.command = command
        self.rsp: dict[str, JsonValue] = dict(rsp)
        status = rsp.get("st")
        self.status: int = status if isinstance(status, int) else 0
        detail = rsp.get("m")
        super().__init__(f"{described_request(command)} failed with {meaning}" + (f" ({detail})" if detail else ""))


class ServerUnavailableError(ResponseError, UnavailableError):
    """The server answered that it is unavailable: it is loading, it is full, or its store failed.

    It is raised for the statuses 102, 103, 140 and 1000. The exception is 1000 from `kv_arr_append`, which raises a
    plain `ResponseError`: the value is no array. Attributes: as of `ResponseError`; `maybe_done`, True if a server of
    this package says that its store may have carried out the request.
    """

    def __init__(self, command: str, rsp: Mapping[str, JsonValue], meaning: str) -> None:
        super().__init__(command, rsp, meaning)
        self.maybe_done: bool = rsp.get("maybeDone") is True


class UnsupportedServerError(ResponseError):
    """The server is a NemesisDB before 0.7 or after 0.8, without the session commands."""


class UnsupportedError(NdbError):
    """The server cannot do this. No data has changed. Attributes: `what`, the operation; `why`, the reason."""

    def __init__(self, what: str, why: str) -> None:
        self.what = what
        self.why = why
        super().__init__(f"{what} is not supported here: {why}")


class DataSetError(NdbError):
    """A data set cannot be loaded, not even in part. Attributes: `name`, `reason`."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"the data set {name!r} cannot be loaded: {reason}")


class SchemaError(NdbError, TypeError):
    """A model cannot be stored as it is declared. Attributes: `model`, the class name; `field`, or None."""

    def __init__(self, model: str, field: str | None, problem: str) -> None:
        self.model = model
        self.field = field
        super().__init__(f"{model}{f'.{field}' if field else ''}: {problem}")


class UnstorableError(NdbError, ValueError):
    """A model holds values that do not fit it, or would not come back equal. The model was not stored.

    Attributes: `model`, the class name; `problems`: (field, reason), without values.
    """

    def __init__(self, model: str, problems: Sequence[tuple[str, str]]) -> None:
        self.model = model
        self.problems: tuple[tuple[str, str], ...] = tuple(problems)
        super().__init__(f"{model} cannot be stored: {listed(problems)}")


class DuplicateError(NdbError, ValueError):
    """Another session has this value of a unique field, or is taking or releasing it. The model was not stored.

    The claim of a process that died meanwhile holds for up to two minutes more. Attributes: `model`, its name; `field`.
    """

    def __init__(self, model: str, field: str) -> None:
        self.model = model
        self.field = field
        super().__init__(
            f"{model}.{field}: another session has this value, or is taking or leaving it;"
            f" find_one({field}=...) returns the one that has it, if there is one"
        )


class ConflictError(NdbError):
    """Others changed a session since it was read, and the change cannot be merged with theirs. Nothing was stored.

    Attributes:
        model: the class name.
        field: the field that is marked `Merge.conflict`, or that holds what is marked. If no mark is the reason, it is
            one of the changed fields.
        attempts: None for a marked field, else how often the change was tried before it was given up.
    """

    def __init__(self, model: str, field: str, attempts: int | None = None) -> None:
        self.model = model
        self.field = field
        self.attempts = attempts
        if attempts is None:
            reason = "another request changed it since it was read, and it is marked Merge.conflict"
            advice = "read the session again, and decide whether the change is still wanted"
        else:
            reason = f"others changed the session each of the {attempts} times that a change was tried"
            advice = "try again later, or change it less often at once"
        super().__init__(f"{model}.{field}: {reason}; {advice}")


class ConfigProblem(NamedTuple):
    """One problem of a stored configuration.

    `key` is the stored key, or `(model)` if each key fits and the whole does not. `kind` is `"missing"` for a required
    key, `"invalid"` for a value, and `"unknown"` for a key in the namespace that belongs to no field. `reason` never
    holds the value.
    """

    key: str
    kind: Literal["missing", "invalid", "unknown"]
    reason: str


class StoredConfigError(NdbError):
    """A stored configuration does not fit the model. No key was written. Attributes: `model`; `problems`, one or more.

    The cause is Pydantic's `ValidationError`, with reasons in the place of values.
    """

    def __init__(self, model: str, problems: Sequence[ConfigProblem]) -> None:
        self.model = model
        self.problems: tuple[ConfigProblem, ...] = tuple(problems)
        text = listed([(problem.key, problem.reason) for problem in problems])
        super().__init__(
            f"the stored configuration does not fit {model}: {text}; repair these keys with the raw client"
            " (kv_set, kv_rmv), or write over them with save(config, replace_invalid=True)"
        )
