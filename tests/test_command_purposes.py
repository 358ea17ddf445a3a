"""Errors say what a request was for, since users of a repository know its verbs and not its commands."""

from __future__ import annotations

from ndb_models.command_purposes import PURPOSES, described_request
from ndb_models.errors import ConnectionLostError, PayloadTooLargeError, RequestTimeoutError, ResponseError
from ndb_models.protocol.commands import COMMANDS


def test_each_command_has_a_purpose() -> None:
    assert PURPOSES.keys() == COMMANDS.keys()


def test_what_is_no_command_stays_as_it_is() -> None:
    assert described_request("UserSession.cart") == "UserSession.cart"


def test_errors_name_the_purpose_before_the_command() -> None:
    lost = ConnectionLostError("SH_PEEK", maybe_done=False)
    assert str(lost) == "the connection was lost; the request to read a session (SH_PEEK) was not sent"
    late = RequestTimeoutError("SH_SET", 2, maybe_done=True)
    assert str(late) == (
        "no answer to the request to write to a session (SH_SET) within 2 s; it may or may not have been carried out"
    )
    assert str(PayloadTooLargeError("SH_SET", 9, 8, [])).startswith("the request to write to a session (SH_SET) has 9")
    assert str(ResponseError("SH_END", {"st": 100}, "status 100")).startswith("the request to end a session (SH_END)")
    assert lost.command == "SH_PEEK"
