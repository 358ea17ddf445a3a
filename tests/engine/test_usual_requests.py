"""The requests that are known by how they begin: what is one of them, and that all others are read with care."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ndb_models.engine.requests import RefusedError, parse
from ndb_models.engine.usual import usual_call

TOKEN = b"18446744073709551615"
EXPIRY = b'{"duration":60,"deleteSession":true,"extendOnSetAdd":true,"extendOnGet":false}'

USUAL = [
    b'{"KV_GET":{"keys":["a","b"]}}',
    b'{"KV_GET":{"keys":[]}}',
    b'{"KV_SET":{"keys":{"a":1}}}',
    b'{"KV_SET":{"keys":{}}}',
    b'{"SH_NEW_SET":{"tkn":5,"keys":{}}}',
    b'{"SH_GET":{"tkn":0,"keys":["a","\\u00e9","\xc3\xa9"]}}',
    b'{"SH_GET":{"tkn":%b,"keys":["a"]}}' % TOKEN,
    b'{"SH_SET":{"tkn":5,"keys":{"a":[1e3,-0.0],"a":"again","b": {"}}":"}}"}}}}',
    b'{"SH_SET": {"tkn": 5, "keys": {"a": 1, "b": null}}}',
    b'{"SH_NEW_SET":{"tkn":5,"keys":{"a":1}}}',
    b'{"SH_NEW_SET":{"tkn":5,"expiry":%b,"keys":{"a":1}}}' % EXPIRY,
    b'{"KV_SET":{"keys":{"a":%b1%b}}}' % (b"[" * 509, b"]" * 509),
]
UNUSUAL = [
    b"\xef\xbb\xbf" + USUAL[0],
    b" " + USUAL[0],
    USUAL[0] + b" ",
    USUAL[0] + USUAL[0],
    b'{"KV_SET":{"keys":["a"]}}',
    b'{"KV_GET":{"keys":{"a":1}}}',
    b'{"KV_GET":{"keys":["a",5]}}',
    b'{"KV_GET":{"keys":["a"],"keys":["b"]}}',
    b'{"KV_GET":{"keys":["a"]},"KV_SET":{"keys":["b"]}}',
    b'{"KV_GET":{"keys":["a"],"other":{}}}',
    b'{"KV_GET":{"tkn":5,"keys":["a"]}}',
    b'{"SH_GET":{"keys":["a"]}}',
    b'{"SH_GET":{"keys":["a"],"tkn":5}}',
    b'{"SH_GET":{"tkn":05,"keys":["a"]}}',
    b'{"SH_GET":{"tkn":5.0,"keys":["a"]}}',
    b'{"SH_GET":{"tkn":-5,"keys":["a"]}}',
    b'{"SH_GET":{"tkn":18446744073709551616,"keys":["a"]}}',
    b'{"SH_SET":{"tkn":5,"expiry":%b,"keys":{"a":1}}}' % EXPIRY,
    b'{"SH_SET":{"tkn":5,"keys":{"a":1},"keys":{"b":1}}}',
    b'{"SH_SET":{"tkn":5,"keys":{"a":1e999}}}',
    b'{"SH_SET":{"tkn":5,"keys":{"a":"\\ud800"}}}',
    b'{"SH_SET":{"tkn":5,"keys":{"a":"\xff"}}}',
    b'{"SH_SET":{"tkn":5,"keys":{"a":"\x01"}}}',
    b'{"SH_SET":{"tkn":5,"keys":{"a":NaN}}}',
    b'{"SH_SET":{"tkn":5,"keys":{"a":1}}',
    b'{"SH_NEW_SET":{"tkn":5,"expiry":{},"keys":{"a":1}}}',
    b'{"SH_NEW_SET":{"tkn":5,"expiry":{"duration":-1},"keys":{"a":1}}}',
    b'{"SH_NEW_SET":{"tkn":5,"expiry":{"duration":1,},"keys":{"a":1}}}',
    b'{"SH_NEW_SET":{"tkn":5,"expiry":{"duration":1,"deleteSession":1},"keys":{"a":1}}}',
    b'{"SH_NEW_SET":{"tkn":5,"expiry":{"duration":1,"x":"\xff"},"keys":{"a":1}}}',
    b'{"SH_END":{"tkn":5,"keys":["a"]}}',
    b'{"KV_SET":{"keys":{"a":%b1%b}}}' % (b"[" * 510, b"]" * 510),
    b'{"KV_GET":{"keys":%b1%b}}' % (b"[" * 5000, b"]" * 5000),
]


@pytest.mark.parametrize("frame", USUAL, ids=lambda frame: repr(frame[:60]))
def test_a_usual_request_is_read_as_any_other(frame: bytes) -> None:
    call, other = usual_call(frame), parse(frame)
    assert call is not None
    assert call.command is other.command
    assert {**call.body, "keys": None} == {**other.body, "keys": None}
    assert [*call.body.get("keys", ())] == [*other.body.get("keys", ())]
    if isinstance(call.values, Mapping):
        assert dict(call.values) == dict(other.values)
    else:
        assert call.values is other.values is None


@pytest.mark.parametrize("frame", UNUSUAL, ids=lambda frame: repr(frame[:60]))
def test_what_is_not_just_so_is_left_to_others(frame: bytes) -> None:
    assert usual_call(frame) is None
    try:
        parse(frame)
    except RefusedError:
        return
