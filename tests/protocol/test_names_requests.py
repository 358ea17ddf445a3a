"""Requests that are answered with the names of keys, and requests that name keys and get none."""

from __future__ import annotations

import pytest

from ndb_models.errors import ProtocolError
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import NamesRequest, Prepared, naming

REQUEST = NamesRequest(COMMANDS["SH_KEYS"], 7)


def test_the_request_is_the_command_with_the_token() -> None:
    assert REQUEST.to_frame().frame == b'{"SH_KEYS":{"tkn":7}}'


def test_the_names_are_read_in_their_order() -> None:
    body = REQUEST.read(b'{"SH_KEYS_RSP":{"st":1,"keys":["b","a","\\u00e9"]}}')
    assert (body["st"], body["keys"]) == (1, ("b", "a", "\u00e9"))


def test_a_session_without_keys_has_no_names() -> None:
    assert REQUEST.read(b'{"SH_KEYS_RSP":{"keys":[],"st":1}}')["keys"] == ()


def test_a_refusal_needs_no_names() -> None:
    body = REQUEST.read(b'{"SH_KEYS_RSP":{"m":"why","st":100,"tkn":null}}')
    assert (body["st"], body["m"]) == (100, "why")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"SH_KEYS_RSP":{"st":1}}',
        b'{"SH_KEYS_RSP":{"keys":["a"]}}',
        b'{"SH_KEYS_RSP":{"st":1,"keys":{"a":1}}}',
        b'{"SH_KEYS_RSP":{"st":1,"keys":["a",7]}}',
        b'{"SH_KEYS_RSP":{"st":1,"keys":[]},"MORE_RSP":{"st":1}}',
        b'{"SH_KEYS_RSP":{"st":1,"keys":[],"more":' + b"[" * 20_000 + b"]" * 20_000 + b"}}",
    ],
)
def test_an_answer_of_another_form_is_refused(answer: bytes) -> None:
    with pytest.raises(ProtocolError, match="SH_KEYS"):
        REQUEST.read(answer)


def test_a_request_that_only_names_keys_is_answered_without_them() -> None:
    request = Prepared(COMMANDS["SH_RMV"], 7, naming(("a", "b")))
    assert request.to_frame().frame == b'{"SH_RMV":{"tkn":7,"keys":["a","b"]}}'
    assert request.read(b'{"SH_RMV_RSP":{"st":1}}')["st"] == 1
    assert request.read(b'{"SH_RMV_RSP":{"m":"","st":100,"tkn":null}}')["st"] == 100
