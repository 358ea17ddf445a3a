"""What a frame must be to be a request, and that what it stores comes back as the text that it was."""

from __future__ import annotations

import json
import time

import pytest

from tests.engine.asking import Asker

DEEPEST_FRAME = 512
# {"KV_SET":{"keys":{"a": stand around a value.
DEEPEST_VALUE = DEEPEST_FRAME - 3

NOT_JSON = {
    "nothing": b"",
    "blanks": b" \n\t",
    "a word": b"hello",
    "an open object": b'{"KV_COUNT":{}',
    "an open string": b'{"KV_COUNT',
    "one brace too many": b'{"KV_COUNT":{}}}',
    "two texts": b'{"KV_COUNT":{}}{"KV_COUNT":{}}',
    "a comma at the end": b'{"KV_COUNT":{},}',
    "single quotes": b"{'KV_COUNT':{}}",
    "a comment": b'{"KV_COUNT":{/**/}}',
    "no colon": b'{"KV_COUNT"{}}',
    "a name that is no string": b"{1:{}}",
    "a NUL at the end": b'{"KV_COUNT":{}}\0',
    "UTF-16": '{"KV_COUNT":{}}'.encode("utf-16"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + b'{"KV_COUNT":{}}',
    "a byte that is no UTF-8": b'{"KV_COUNT":{"x":"\xff"}}',
    "a surrogate in UTF-8": b'{"KV_COUNT":{"x":"\xed\xa0\x80"}}',
    "an overlong NUL": b'{"KV_COUNT":{"x":"\xc0\x80"}}',
    "a byte that is no UTF-8 in a name": b'{"KV_COUNT":{"\xff":1}}',
    "a control character": b'{"KV_COUNT":{"x":"\x01"}}',
    "a surrogate as a command": b'{"\\ud800":{}}',
}

NOT_A_VALUE = [
    *("NaN", "nan", "Infinity", "-Infinity", "1e400", "-1e400", "1.7976931348623159e308", "9" * 400 + ".5"),
    *("9" * 4301, "01", "+1", ".5", "1.", "1e", "-", "0x1", "1_0", "tru", "True", "None", "undefined", "[1,]", "[,1]"),
    *(
        '"\\x"',
        '"\\u12"',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '{"\\ud800":1}',
        '["\\ude00"]',
        "'a'",
        '"a',
        "\x0b1",
        "\xa01",
    ),
]

KEPT_AS_IT_CAME = [
    *("1e3", "1E3", "1e+3", "-0.0", "-0", "0.10", "1e-400", "5e-324", "1.7976931348623157e308", "0.30000000000000004"),
    *("1" * 30, "-" + "9" * 30, "18446744073709551616", "9" * 4300, "0." + "1" * 2000, "true", "false", "null", '""'),
    *(
        '"\\u00e9"',
        '"é"',
        '"\\ud83d\\ude00"',
        '"😀"',
        '"\\/"',
        '"\\u0000"',
        '"\x7f\u2028\ufeff"',
        '"\\\\\\""',
        "[]",
        "{}",
    ),
    *("[1 ,\t2]", '{"b":1,  "a":2}', '{"a":1,"a":2}', '{"":{"":[[{}]]}}', "[\r\n]", '"' + "[" * 3000 + '"'),
]


@pytest.mark.parametrize("frame", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_not_json_is_refused(ask: Asker, frame: bytes) -> None:
    name, body = await ask.frame(frame)
    assert (name, body["st"]) == ("ERR", 3)


@pytest.mark.parametrize("text", NOT_A_VALUE, ids=lambda text: text[:24])
async def test_a_value_that_could_not_come_back_as_it_is_is_refused_and_not_stored(ask: Asker, text: str) -> None:
    name, body = await ask.frame(f'{{"KV_SET":{{"keys":{{"before":1,"a":{text}}}}}}}')
    assert (name, body["st"]) == ("ERR", 3)
    assert await ask.shared() == {}


@pytest.mark.parametrize("text", KEPT_AS_IT_CAME, ids=lambda text: repr(text[:24]))
async def test_a_value_comes_back_as_the_text_that_it_was(ask: Asker, text: str) -> None:
    await ask.write("a", text)
    assert await ask.text("a") == text


@pytest.mark.parametrize("text", ["1e3", "-0.0", "0.10", "1" * 30, '"\\u00e9"', '{"b": [1e3 ], "a":{}}', "[ 0.10]"])
async def test_every_command_that_stores_keeps_the_text(ask: Asker, text: str) -> None:
    await ask.frame(f'{{"KV_ADD":{{"keys":{{"a":{text}}}}}}}')
    assert await ask.text("a") == text
    await ask.frame(f'{{"KV_CLEAR_SET":{{"keys":{{"b":{text}}}}}}}')
    assert await ask.text("b") == text
    await ask.frame(f'{{"KV_UPDATE":{{"key":"b","path":"$","value":{text}}}}}')
    assert await ask.text("b") == text
    await ask.write("c", "[]")
    await ask.frame(f'{{"KV_ARR_APPEND":{{"key":"c","items":[{text}]}}}}')
    assert await ask.text("c") == f"[{text}]"
    token = await ask.new()
    await ask.frame(f'{{"SH_SET":{{"tkn":{token},"keys":{{"a":{text}}}}}}}')
    answer = await ask.engine.handle(f'{{"SH_GET":{{"tkn":{token},"keys":["a"]}}}}'.encode())
    assert answer.startswith(b'{"SH_GET_RSP":{"keys":{"a":' + text.encode() + b"}")


class TestNesting:
    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
    async def test_a_frame_may_be_nested_to_the_limit_and_no_deeper(
        self, ask: Asker, opening: str, closing: str
    ) -> None:
        deepest = opening * (DEEPEST_VALUE - 1) + "[]" + closing * (DEEPEST_VALUE - 1)
        await ask.write("a", deepest)
        assert await ask.text("a") == deepest
        name, body = await ask.frame(f'{{"KV_SET":{{"keys":{{"a":{opening}{deepest}{closing}}}}}}}')
        assert (name, body["st"]) == ("ERR", 3)
        assert str(DEEPEST_FRAME) in body["m"]
        assert await ask.text("a") == deepest

    @pytest.mark.parametrize(
        "text",
        [
            json.dumps("[" * 3000),
            json.dumps('"' + "[{" * 3000),
            json.dumps('\\"' + "[" * 3000),
            json.dumps({"[" * 600: "{" * 600}),
            "[" + ",".join(["[[],{}]"] * 600) + "]",
        ],
        ids=["in a string", "after a quote", "after a backslash", "in a name", "side by side"],
    )
    async def test_brackets_that_nest_nothing_do_not_count(self, ask: Asker, text: str) -> None:
        await ask.write("a", text)
        assert await ask.text("a") == text

    @pytest.mark.parametrize("around", ['"[[[",', '"\\"",', '"\\\\",', '"]]]",'])
    async def test_strings_hide_no_nesting(self, ask: Asker, around: str) -> None:
        depth = DEEPEST_VALUE
        text = f"[{around}" * (depth + 1) + "1" + "]" * (depth + 1)
        name, body = await ask.frame(f'{{"KV_SET":{{"keys":{{"a":{text}}}}}}}')
        assert (name, body["st"]) == ("ERR", 3)

    @pytest.mark.parametrize("frame", [b"[" * 1_000_000, b'{"a":' * 200_000, (b"]" * 600 + b"[") * 1000])
    async def test_brackets_without_end_are_refused(self, ask: Asker, frame: bytes) -> None:
        name, body = await ask.frame(frame)
        assert (name, body["st"]) == ("ERR", 3)

    @pytest.mark.parametrize("filling", [b'\\"', b'"', b"\\\\", b'\\"x', b'"["'])
    async def test_the_time_to_tell_grows_with_the_frame_and_not_with_its_square(
        self, ask: Asker, filling: bytes
    ) -> None:
        frame = b"[" * 600 + b'"' + filling * 300_000
        started = time.perf_counter()
        name, body = await ask.frame(frame)
        assert (name, body["st"]) == ("ERR", 3)
        # It takes a tenth of a second; at the square of the size it would take half an hour.
        assert time.perf_counter() - started < 10


class TestTheFormOfARequest:
    @pytest.mark.parametrize("text", ["[]", "5", '"KV_COUNT"', "null", "true", "{}", '{"KV_COUNT":{},"KV_KEYS":{}}'])
    async def test_it_is_an_object_that_names_one_command(self, ask: Asker, text: str) -> None:
        name, body = await ask.frame(text)
        assert (name, body["st"]) == ("ERR", 13)

    @pytest.mark.parametrize("text", ["[]", "5", '""', "null", "true"])
    @pytest.mark.parametrize("command", ["KV_SET", "SH_NEW", "NOPE"])
    async def test_the_parameters_are_an_object(self, ask: Asker, command: str, text: str) -> None:
        name, body = await ask.frame(f'{{"{command}":{text}}}')
        assert (name, body["st"], body["tkn"]) == (f"{command}_RSP", 13, None)

    @pytest.mark.parametrize(
        ("command", "name", "status"),
        [
            *[("SH_NOPE", "SH_NOPE_RSP", 10), ("SV_NOPE", "SV_NOPE_RSP", 10), ("kv_set", "kv_set_RSP", 10)],
            *[
                ("KV_NOPE", "ERR", 10),
                ("KV_", "ERR", 10),
                ("NOPE", "NOPE_RSP", 13),
                ("", "_RSP", 13),
                ("ERR", "ERR", 13),
            ],
        ],
    )
    async def test_an_unknown_command_is_answered_as_nemesisdb_does(
        self, ask: Asker, command: str, name: str, status: int
    ) -> None:
        answer_name, body = await ask.frame(json.dumps({command: {}}))
        assert (answer_name, body["st"]) == (name, status)

    async def test_blanks_and_one_byte_order_mark_may_stand_around_it(self, ask: Asker) -> None:
        name, body = await ask.frame(b'\xef\xbb\xbf \n{ "KV_SET" :\t{"keys" : {"a" : 1 } } }\r\n')
        assert (name, body) == ("KV_SET_RSP", {"st": 1})
        assert await ask.text("a") == "1"

    async def test_names_may_be_written_with_escapes(self, ask: Asker) -> None:
        await ask.frame(b'{"\\u004bV_SET":{"\\u006beys":{"\\u0061":1}}}')
        assert await ask.shared() == {"a": 1}

    async def test_parameters_that_the_command_does_not_have_are_passed_over(self, ask: Asker) -> None:
        assert await ask("KV_COUNT", tkn="x", keys=5) == {"cnt": 0, "st": 1}


class TestNamesThatAreRepeated:
    @pytest.mark.parametrize("keys", ['{"a":1,"a":2}', '{"\\u0061":1,"a":2}'])
    async def test_the_last_of_equal_keys_is_kept(self, ask: Asker, keys: str) -> None:
        await ask.frame(f'{{"KV_SET":{{"keys":{keys}}}}}')
        assert await ask.shared() == {"a": 2}

    @pytest.mark.parametrize("first", ['{"b":1}', "5", "[]"])
    async def test_the_last_of_equal_parameters_is_taken(self, ask: Asker, first: str) -> None:
        _, body = await ask.frame(f'{{"KV_SET":{{"keys":{first},"keys":{{"a":2}}}}}}')
        assert body == {"st": 1}
        assert await ask.shared() == {"a": 2}

    @pytest.mark.parametrize("first", ['{"keys":{"a":1}}', "5", "{}", "null"])
    @pytest.mark.parametrize("command", ["KV_SET", "KV_ADD", "KV_CLEAR_SET"])
    async def test_the_last_of_equal_commands_is_carried_out(self, ask: Asker, command: str, first: str) -> None:
        name, body = await ask.frame(f'{{"{command}":{first},"{command}":{{"keys":{{"b":2}}}}}}')
        assert (name, body["st"]) == (f"{command}_RSP", 1)
        assert await ask.shared() == {"b": 2}

    @pytest.mark.parametrize("command", ["KV_SET", "KV_GET"])
    async def test_the_last_of_equal_commands_is_refused_if_it_has_no_parameters(
        self, ask: Asker, command: str
    ) -> None:
        name, body = await ask.frame(f'{{"{command}":{{"keys":{{"a":1}}}},"{command}":5}}')
        assert (name, body["st"]) == (f"{command}_RSP", 13)
        assert await ask.shared() == {}

    @pytest.mark.parametrize(
        "frame",
        [
            '{"SH_SET":{"tkn":%d,"tkn":%d,"keys":{"a":1}}}',
            '{"SH_SET":{"tkn":%d,"keys":{"a":1},"tkn":%d}}',
            '{"SH_SET":{"tkn":%d,"keys":{"a":1}},"SH_SET":{"tkn":%d,"keys":{"a":1}}}',
            '{"SH_ADD":{"tkn":%d,"tkn":%d,"keys":{"a":1}}}',
            '{"SH_CLEAR_SET":{"tkn":%d,"\\u0074kn":%d,"keys":{"a":1}}}',
        ],
    )
    async def test_the_last_of_equal_tokens_is_the_one_that_counts(self, ask: Asker, frame: str) -> None:
        one, other = await ask.new(), await ask.new()
        _, body = await ask.frame(frame % (one, other))
        assert body["st"] == 1
        assert [(await ask("SH_COUNT", tkn=tkn))["cnt"] for tkn in (one, other)] == [0, 1]

    async def test_a_value_keeps_the_names_that_it_repeats_and_its_readers_take_the_last(self, ask: Asker) -> None:
        await ask.write("a", '{"b":1,"b":{"c":1,"c":2}}')
        assert await ask.text("a") == '{"b":1,"b":{"c":1,"c":2}}'
        assert await ask("KV_FIND", path="$.b.c", rsp="paths") == {"paths": ["$['b']['c']"], "st": 1}
        await ask("KV_UPDATE", key="a", path="$.b.c", value=3)
        assert await ask.shared() == {"a": {"b": {"c": 3}}}
