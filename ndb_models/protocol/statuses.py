"""The statuses of the protocol: the number under `st` in every answer."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Self


class Status(IntEnum):
    """The outcome of a request, with its `meaning` for people. The names are NemesisDB's."""

    meaning: str

    def __new__(cls, number: int, meaning: str = "") -> Self:
        """Make a member. `Status(number)` looks one up."""
        status = int.__new__(cls, number)
        status._value_ = number
        status.meaning = meaning
        return status

    OK = 1, "done"
    OP_CODE_INVALID = 2, "requests are text frames; this one was binary"
    JSON_INVALID = 3, "the request is not JSON that can be kept as it is (RFC 8259)"
    PATH_INVALID = 4, "the JSONPath is not valid"
    NO_PATH = 5, "the JSONPath is missing"
    COMMAND_NOT_EXIST = 10, "the server does not know this command"
    COMMAND_MULTIPLE = 11, "a request holds exactly one command"
    COMMAND_TYPE = 12, "the command is not of a kind that the server takes"
    COMMAND_SYNTAX = 13, "the request does not have the form of this command"
    COMMAND_DISABLED = 14, "the server is not set up for this command, or the token does not allow it"
    KEY_NOT_EXIST = 22, "there is no such key"
    PARAM_MISSING = 26, "a parameter is missing"
    VALUE_MISSING = 40, "a value is missing"
    VALUE_TYPE_INVALID = 41, "a parameter has the wrong type"
    VALUE_SIZE = 42, "a parameter is empty or too large"
    SESSION_NOT_EXIST = 100, "there is no such session: it has ended or expired, or the token is wrong"
    SESSION_TOKEN_INVALID = 101, "the session token is not valid"
    SESSION_OPEN_FAIL = 102, "the session could not be opened"
    SESSION_NEW_FAIL = 103, "the session could not be created"
    SAVE_START = 120, "saving has started"
    SAVE_COMPLETE = 121, "saved"
    SAVE_DIR_WRITE_FAIL = 122, "the server cannot write to its persist path"
    SAVE_ERROR = 123, "saving failed"
    LOADING = 140, "loading"
    LOAD_COMPLETE = 141, "loaded"
    LOAD_ERROR = 142, "loading failed: there is no complete data set of this kind under that name"
    UNKNOWN = 1000, "the server could not carry out the request"


OK_STATUS: Final = Status.OK
"""`Status.OK`, without a lookup in the class: the lookup takes twice as long as the use."""

UNAVAILABLE: Final = frozenset(
    {Status.SESSION_OPEN_FAIL, Status.SESSION_NEW_FAIL, Status.LOADING, Status.UNKNOWN},
)
"""The statuses of a request that is fine, but that the server cannot carry out now."""


def describe(status: int) -> str:
    """Return the name and the meaning of a status, for any number that a server may send."""
    try:
        known = Status(status)
    except ValueError:
        return f"status {status}, which this version does not know"
    return f"status {status} {known.name}: {known.meaning}"
