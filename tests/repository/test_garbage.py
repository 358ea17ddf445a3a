"""Answers with keys that are no JSON: every verb that reads a session says so, usual as the rest of the answer is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import from_json
from websockets.asyncio.server import ServerConnection

from ndb_models import NdbClient, Repository, SessionModel
from ndb_models.errors import ConnectionLostError, ProtocolError
from ndb_models.json_text import UNREADABLE, ObjectText, names_in
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Parameters, Prepared, reading_answer
from ndb_models.strict_json import MAX_NESTING
from tests.client.scripted_server import answering, scripted


class Note(SessionModel):
    text: str = ""
    weight: float = 0.0
    more: str = ""


class TextView(SessionModel):
    text: str = ""


TKN: Final = 77
ENVELOPE: Final = '"__ndb__":{"schema":"Note","version":1,"tkn":77}'

VERBS: dict[str, Callable[[Repository[Note]], Awaitable[object]]] = {
    "get": lambda repo: repo.get(TKN),
    "get_many": lambda repo: repo.get_many([TKN]),
    "project": lambda repo: repo.project(TKN, TextView),
    "exists": lambda repo: repo.exists(TKN),
    "delete": lambda repo: repo.delete(TKN),
    "update": lambda repo: repo.update(TKN, text="x"),
    "touch": lambda repo: repo.touch(TKN),
    "raw": lambda repo: repo.raw(TKN),
}

GARBAGE = {
    "nothing before a comma": "",
    "half a member": '"text"',
    "no value": '"text":',
    "an unknown word": '"text":yes',
    "a string that never ends": '"text":"x',
    "two commas": '"text":"x",',
    "a brace too many": '"text":"x"},"more":{"a":1}',
    "a bracket too few": '"text":["x"',
    "a control character": '"text":"\u0001"',
    "an escape that is none": r'"text":"\x"',
    "half a surrogate pair": r'"text":"\ud800"',
    "not a number": '"text":"x","weight":NaN',
    "infinity": '"text":"x","weight":Infinity',
    "a number with a plus": '"text":"x","weight":+1',
    "a number with a zero": '"text":"x","weight":01',
    "too deep": '"text":' + "[" * 3000 + "]" * 3000,
    "deeper by one": '"text":' + "[" * (MAX_NESTING - 2) + "]" * (MAX_NESTING - 2),
    "deep objects": '"more":' + '{"a":' * 600 + "1" + "}" * 600,
    "twice an object": '"text":"x"},"keys":{"text":"y"',
}


async def require_protocol_error(verb: str, client: NdbClient) -> None:
    (end,) = await asyncio.gather(VERBS[verb](Repository(client, Note)), return_exceptions=True)
    if isinstance(end, list):  # get_many returns its errors
        (end,) = end
    assert isinstance(end, (ProtocolError, ConnectionLostError))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_keys_that_are_no_json_are_an_error_of_the_protocol(garbage: str, verb: str) -> None:
    answer = f'{{"SH_GET_RSP":{{"keys":{{{GARBAGE[garbage]},{ENVELOPE}}},"st":1}}}}'
    async with scripted(answering(answer)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        await require_protocol_error(verb, client)


@pytest.mark.parametrize("brackets", ["[]", "{}"])
async def test_brackets_in_a_string_are_no_nesting(brackets: str) -> None:
    text = brackets[0] * 2000
    answer = f'{{"SH_GET_RSP":{{"keys":{{"text":"{text}",{ENVELOPE}}},"st":1}}}}'
    async with scripted(answering(answer)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        assert (await Repository(client, Note).get(TKN)).text == text


async def test_the_raw_client_refuses_an_answer_that_is_nested_too_deep() -> None:
    value = "[" * (MAX_NESTING - 2) + "]" * (MAX_NESTING - 2)
    answer = f'{{"KV_GET_RSP":{{"keys":{{"a":{value}}},"st":1}}}}'
    async with scripted(answering(answer)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        with pytest.raises((ProtocolError, ConnectionLostError)):
            await client.kv_get(("a",))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("version", [1, 2])
async def test_nothing_before_a_comma_is_no_session_of_another_version_either(version: int, verb: str) -> None:
    envelope = f'"__ndb__":{{"schema":"Note","version":{version},"tkn":77,"deadline":99999999999999}}'
    answer = f'{{"SH_GET_RSP":{{"keys":{{,{envelope}}},"st":1}}}}'
    async with scripted(answering(answer)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        await require_protocol_error(verb, client)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("answer", ['{"SH_GET_RSP":{"st":1}}', '{"SH_GET_RSP": {"st": 1}}'])
async def test_success_without_keys_is_an_error_of_the_protocol(answer: str, verb: str) -> None:
    async with scripted(answering(answer)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        await require_protocol_error(verb, client)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("place", ["value", "name", "schema"])
async def test_text_that_is_not_utf8_is_an_error_of_the_protocol(place: str, verb: str) -> None:
    parts = {each: b"\xff" if each == place else b"" for each in ("value", "name", "schema")}
    answer = b'{"SH_GET_RSP":{"keys":{"text%(name)b":"x%(value)b","__ndb__":{"schema":"Note%(schema)b","version":1,' % {
        each.encode(): text for each, text in parts.items()
    }

    async def script(connection: ServerConnection) -> None:
        async for _ in connection:
            connection.protocol.send_text(answer + b'"tkn":77}},"st":1}}')
            connection.transport.write(b"".join(connection.protocol.data_to_send()))

    async with scripted(script) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        await require_protocol_error(verb, client)


@given(
    st.text(alphabet='{}[]":,\\u01nulltrefasNI .-+eE\x01\x7f\ud83dé', max_size=40)
    .map(lambda text: text.encode("utf-8", "surrogatepass"))
    .map(lambda text: b'{"a":' + text + b"}")
)
@example(b'{"a":1.}')
@example(b'{"a":"\xff"}')
@example(b'{"a":-0}')
@example(b'{"a":1e5}')
@example(b'{"a":1E+}')
@example(b'{"a":"\\ud83d\\ude00"}')
@example(b'{"a":"\\ude00"}')
@example(b'{"a":tru}')
@example(b'{"a":1,}')
@example(b'\xef\xbb\xbf{"a":1}')
@example(b'{"a":1}\x00')
def test_what_pydantic_reads_as_an_object_is_one(text: bytes) -> None:
    """But for what a prepared request does not leave to Pydantic."""
    if b"NaN" in text or b"Infinity" in text:
        return
    try:
        read = from_json(text)
    except ValueError:
        return
    assert isinstance(read, dict)
    assert names_in(text) == tuple(read)


@given(st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=4))
def test_a_prepared_request_reads_the_same_keys_however_the_answer_is_formatted(keys: dict[str, object]) -> None:
    request = Prepared(COMMANDS["SH_GET"], TKN, Parameters(keys=tuple(keys)))
    texts = [
        json.dumps({"SH_GET_RSP": body}, separators=separators).encode()
        for body in ({"keys": keys, "st": 1}, {"st": 1, "keys": keys}, {"keys": keys, "st": 1, "tkn": TKN})
        for separators in ((",", ":"), (", ", ": "))
    ]
    for text in texts:
        answer = request.read(text)
        assert answer["st"] == 1
        assert isinstance(answer["keys"], ObjectText)
        assert {name: json.loads(value) for name, value in answer["keys"].items()} == keys


@pytest.mark.parametrize("keys", ['"a":1},"keys":{"b":2', '"a"', '"a":1,', "}"])
def test_keys_that_are_no_object_are_refused_when_they_are_looked_at(keys: str) -> None:
    request = Prepared(COMMANDS["SH_GET"], TKN, Parameters(keys=()))
    for read in (lambda keys: keys.names, lambda keys: keys.split(), dict, len):
        with pytest.raises(ProtocolError), reading_answer(COMMANDS["SH_GET"]):
            read(request.read(f'{{"SH_GET_RSP":{{"keys":{{{keys}}},"st":1}}}}'.encode())["keys"])
    with pytest.raises(UNREADABLE):
        names_in(f"{{{keys}}}".encode())
