"""Requests that are decoded by their types: each is the one that the parser reads; the parser gets all others."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest

from ndb_models.engine.requests import RefusedError, parse
from ndb_models.engine.typed_requests import typed_request
from ndb_models.types import NEVER

TOKEN = b"18446744073709551615"
EXPIRY = b'{"duration":60,"deleteSession":true,"extendOnSetAdd":true,"extendOnGet":false}'

TYPED = [
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
    b'{"KV_GET":{"keys":["a"]}} ',
    b'{"KV_GET":{"keys":["a"],"keys":["b"]}}',
    b'{"SH_GET":{"keys":["a"],"tkn":5}}',
    b'{"SH_SET":{"tkn":5,"keys":{"a":1},"keys":{"b":1}}}',
    b'{"SH_RMV":{"tkn":5,"keys":["a"]}}',
    b'{"SH_NEW":{}}',
    b'{"SH_NEW":{"expiry":%b}}' % EXPIRY,
    b'{"SH_EXISTS":{"tkns":[1,"a",-1,1.5]}}',
    b'{"SH_SAVE":{"name":"x"}}',
    b'{"SH_SAVE":{"name":"x","tkns":[5]}}',
    b'{"KV_FIND":{"path":"$","rsp":"keys"}}',
    b'{"KV_UPDATE":{"key":"a","path":"$","value":{"b":[1,2]}}}',
    b'{"KV_ARR_APPEND":{"key":"a","items":[1,{}],"name":"b"}}',
    b'{"SH_INFO":{"tkn":5}}',
    b'{"SV_INFO":{}}',
]
OTHERS = [
    b"\xef\xbb\xbf" + TYPED[0],
    b" " + TYPED[0],
    TYPED[0] + TYPED[0],
    b'{"KV_SET":{"keys":["a"]}}',
    b'{"KV_GET":{"keys":{"a":1}}}',
    b'{"KV_GET":{"keys":["a",5]}}',
    b'{"KV_GET":{"keys":["a"]},"KV_SET":{"keys":["b"]}}',
    b'{"KV_GET":{"keys":["a"],"other":{}}}',
    b'{"KV_GET":{"tkn":5,"keys":["a"]}}',
    b'{"SH_GET":{"keys":["a"]}}',
    b'{"SH_GET":{"tkn":05,"keys":["a"]}}',
    b'{"SH_GET":{"tkn":5.0,"keys":["a"]}}',
    b'{"SH_GET":{"tkn":-5,"keys":["a"]}}',
    b'{"SH_GET":{"tkn":18446744073709551616,"keys":["a"]}}',
    b'{"SH_SET":{"tkn":5,"expiry":%b,"keys":{"a":1}}}' % EXPIRY,
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
    b'{"SH_RMV":{"tkn":5,"keys":[]}}',
    b'{"SH_SAVE":{"name":"x","tkns":[]}}',
    b'{"SH_SAVE":{"name":"x","tkns":[-1]}}',
    b'{"SH_SAVE":{"name":"x","tkns":null}}',
    b'{"KV_FIND":{"path":"","rsp":"keys"}}',
    b'{"KV_FIND":{"path":"$","rsp":"all"}}',
    b'{"KV_UPDATE":{"key":"a","path":"$","value":1e999}}',
    b'{"KV_ARR_APPEND":{"key":"a","items":{}}}',
    b'{"SH_INFO":{"tkn":5,"other":1}}',
    b'{"SV_INFO":[]}',
    b'{"SV_NOTHING":{}}',
    b'{"SV',
    b"",
    b'{"KV_SET":{"keys":{"a":%b1%b}}}' % (b"[" * 510, b"]" * 510),
    b'{"KV_GET":{"keys":%b1%b}}' % (b"[" * 5000, b"]" * 5000),
]


@pytest.mark.parametrize("frame", TYPED, ids=lambda frame: repr(frame[:60]))
def test_a_typed_request_is_read_as_the_parser_reads_it(frame: bytes) -> None:
    call, other = typed_request(frame), parse(frame)
    assert call is not None
    assert call.command is other.command
    assert given(call.body) == given(other.body)
    assert call.tkn == other.tkn
    if isinstance(call.values, Mapping):
        assert dict(call.values) == dict(other.values)
    else:
        assert call.values == other.values


def given(body: Mapping[str, Any]) -> dict[str, object]:
    """Return the parameters that were given, arrays as lists."""
    lists = {name: [*value] if isinstance(value, tuple) else value for name, value in body.items()}
    given = {name: value for name, value in lists.items() if value is not None}
    return {**given, "expiry": body.get("expiry", NEVER)}


@pytest.mark.parametrize("frame", OTHERS, ids=lambda frame: repr(frame[:60]))
def test_any_other_frame_is_left_to_the_parser(frame: bytes) -> None:
    assert typed_request(frame) is None
    with contextlib.suppress(RefusedError):
        parse(frame)
