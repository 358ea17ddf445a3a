"""The statuses of the protocol: the number under `st` in every answer."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Status(IntEnum):
    """The outcome of a request. The names are NemesisDB's."""

    OK = 1
    OP_CODE_INVALID = 2
    JSON_INVALID = 3
    PATH_INVALID = 4
    NO_PATH = 5
    COMMAND_NOT_EXIST = 10
    COMMAND_MULTIPLE = 11
    COMMAND_TYPE = 12
    COMMAND_SYNTAX = 13
    COMMAND_DISABLED = 14
    KEY_NOT_EXIST = 22
    PARAM_MISSING = 26
    VALUE_MISSING = 40
    VALUE_TYPE_INVALID = 41
    VALUE_SIZE = 42
    SESSION_NOT_EXIST = 100
    SESSION_TOKEN_INVALID = 101
    SESSION_OPEN_FAIL = 102
    SESSION_NEW_FAIL = 103
    SAVE_START = 120
    SAVE_COMPLETE = 121
    SAVE_DIR_WRITE_FAIL = 122
    SAVE_ERROR = 123
    LOADING = 140
    LOAD_COMPLETE = 141
    LOAD_ERROR = 142
    UNKNOWN = 1000


OK_STATUS: Final = Status.OK
"""`Status.OK`, without a lookup in the class: the lookup takes twice as long as the use."""

UNAVAILABLE: Final = frozenset(
    {Status.SESSION_OPEN_FAIL, Status.SESSION_NEW_FAIL, Status.LOADING, Status.UNKNOWN},
)
"""The statuses of a request that is fine, but that the server cannot carry out now."""

_MEANINGS: dict[int, str] = {
    Status.OK: "done",
    Status.OP_CODE_INVALID: "requests are text frames; this one was binary",
    Status.JSON_INVALID: "the request is not JSON that can be kept as it is (RFC 8259)",
    Status.PATH_INVALID: "the JSONPath is not valid",
    Status.NO_PATH: "the JSONPath is missing",
    Status.COMMAND_NOT_EXIST: "the server does not know this command",
    Status.COMMAND_MULTIPLE: "a request holds exactly one command",
    Status.COMMAND_TYPE: "the command is not of a kind that the server takes",
    Status.COMMAND_SYNTAX: "the request does not have the form of this command",
    Status.COMMAND_DISABLED: "the server is not set up for this command, or the token does not allow it",
    Status.KEY_NOT_EXIST: "there is no such key",
    Status.PARAM_MISSING: "a parameter is missing",
    Status.VALUE_MISSING: "a value is missing",
    Status.VALUE_TYPE_INVALID: "a parameter has the wrong type",
    Status.VALUE_SIZE: "a parameter is empty or too large",
    Status.SESSION_NOT_EXIST: "there is no such session: it has ended or expired, or the token is wrong",
    Status.SESSION_TOKEN_INVALID: "the session token is not valid",
    Status.SESSION_OPEN_FAIL: "the session could not be opened",
    Status.SESSION_NEW_FAIL: "the session could not be created",
    Status.SAVE_START: "saving has started",
    Status.SAVE_COMPLETE: "saved",
    Status.SAVE_DIR_WRITE_FAIL: "the server cannot write to its persist path",
    Status.SAVE_ERROR: "saving failed",
    Status.LOADING: "loading",
    Status.LOAD_COMPLETE: "loaded",
    Status.LOAD_ERROR: "loading failed: there is no complete data set of this kind under that name",
    Status.UNKNOWN: "the server could not carry out the request",
}


def describe(status: int) -> str:
    """Return the name and the meaning of a status, for any number that a server may send."""
    try:
        name = Status(status).name
    except ValueError:
        return f"status {status}, which this version does not know"
    return f"status {status} {name}: {_MEANINGS[status]}"
