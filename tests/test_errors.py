"""Errors travel: between processes, and into copies."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import traceback

import pytest

from ndb_models import errors
from ndb_models.errors import NdbError

ERRORS: list[NdbError] = [
    NdbError("plain"),
    errors.ConnectError("ws://127.0.0.1/", "refused"),
    errors.ConnectionLostError("KV_SET", maybe_done=True),
    errors.RequestTimeoutError("KV_SET", 1.5, maybe_done=False),
    errors.PayloadTooLargeError("KV_SET", 10, 5, [("a", 4)]),
    errors.ResponseError("KV_SET", {"st": 41, "m": ""}, "status 41"),
    errors.UnsupportedError("get(extend=False)", "the server has no SH_PEEK"),
    errors.ServerUnavailableError("KV_SET", {"st": 140, "m": ""}, "status 140"),
    errors.UnsupportedServerError("SH_SET", {"st": 10, "m": ""}, "status 10"),
    errors.NotConnectedError("the client was closed"),
    errors.ProtocolError("the answer cannot be read"),
    errors.DataSetError("keys", "there is no data set of this name"),
    errors.SchemaError("User", "name", "no"),
    errors.UnstorableError("User", [("name", "no")]),
    errors.DuplicateError("User", "email"),
    errors.ConflictError("User", "balance"),
    errors.StoredDataError("User", 12345678, [("name", "no")]),
    errors.StoredConfigError("App", [errors.ConfigProblem("app:debug", "invalid", "no")]),
    errors.UpgradeError("User", 12345678, 1, "it raised KeyError"),
    errors.StoreError("sessions.db", "no"),
    errors.StoreFormatError("sessions.db", "no"),
    errors.StoreVersionError("sessions.db", 2, 1),
    errors.StoreReadOnlyError("sessions.db", "no"),
    errors.StoreLockedError("sessions.db", "no"),
    errors.StoreFullError("sessions.db", "no"),
    errors.NotSavedError("User"),
    errors.SessionGoneError("User", 12345678),
    errors.SessionExpiredError("User", 12345678),
    errors.WrongSchemaError("User", 12345678, "Otp"),
    errors.NewerVersionError("User", 12345678, 3, 1),
    errors.OlderVersionError("User", 12345678, 1, 2),
    errors.IncompleteSessionError("User", 12345678),
    errors.ForeignSessionError("User", 12345678),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_after_a_journey(error: NdbError) -> None:
    for arrived in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(arrived) is type(error)
        assert str(arrived) == str(error)
        assert vars(arrived) == vars(error)


UNAVAILABLE = {
    "NotConnectedError",
    "ConnectError",
    "ConnectionLostError",
    "RequestTimeoutError",
    "ProtocolError",
    "ServerUnavailableError",
    "StoreError",
    "StoreFormatError",
    "StoreVersionError",
    "StoreReadOnlyError",
    "StoreLockedError",
    "StoreFullError",
}
UNUSABLE = {
    "SessionGoneError",
    "SessionExpiredError",
    "WrongSchemaError",
    "NewerVersionError",
    "OlderVersionError",
    "IncompleteSessionError",
    "ForeignSessionError",
    "StoredDataError",
    "UpgradeError",
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_of_the_group_that_says_what_to_do(error: NdbError) -> None:
    name = type(error).__name__
    assert isinstance(error, errors.UnavailableError) == (name in UNAVAILABLE)
    assert isinstance(error, errors.UnusableSessionError) == (name in UNUSABLE)


def test_a_traceback_says_where_the_error_is_described_and_the_message_does_not() -> None:
    error = errors.SessionGoneError("User", 12345678)
    assert error.__notes__ == ["Explained by: ndb-models explain SessionGoneError"]
    assert traceback.format_exception_only(error)[-1] == "Explained by: ndb-models explain SessionGoneError\n"
    assert "explain" not in str(error)


def test_the_interpreter_shows_it_for_an_error_that_ends_a_program() -> None:
    program = "from ndb_models.errors import *; raise SessionGoneError('User', 1)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.endswith("\nExplained by: ndb-models explain SessionGoneError\n")


def test_pytest_matches_the_end_of_a_message_line_by_line() -> None:
    message = "User: it has no token yet: save it first"
    with pytest.raises(errors.NotSavedError, match=r"(?m)save it first$") as caught:
        raise errors.NotSavedError("User")
    assert str(caught.value) == message


def test_an_error_of_an_application_is_described_where_ours_is() -> None:
    class LoggedOutError(errors.SessionGoneError):
        pass

    assert LoggedOutError("User", 1).__notes__ == ["Explained by: ndb-models explain SessionGoneError"]
    assert LoggedOutError.__notes__ == ["Explained by: ndb-models explain SessionGoneError"]


def test_notes_that_are_added_are_those_of_one_error() -> None:
    error, other = NdbError("one"), NdbError("other")
    before = copy.copy(error)
    error.add_note("while testing")
    assert error.__notes__ == ["Explained by: ndb-models explain NdbError", "while testing"]
    for arrived in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        arrived.add_note("on the way")
        assert arrived.__notes__ == [*error.__notes__, "on the way"]
    for untouched in (other, before, NdbError("third")):
        assert untouched.__notes__ == ["Explained by: ndb-models explain NdbError"]


def test_an_error_holds_no_note_before_someone_reads_it() -> None:
    assert "__notes__" not in vars(NdbError("plain"))
