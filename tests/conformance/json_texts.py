"""JSON texts of every kind that RFC 8259 knows, made here: such as must be taken, must be refused, or may be either.

A text stands for itself, and for a value of a request. What may be either is in `EITHER`, with what this engine does.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Final

_SPACES: Final = ("", " ", "\t", "\n", "\r", " \t\r\n ")
_SCALARS: Final = ("0", "1.5", "true", "false", "null", '"a"')


def _taken() -> Iterator[str]:
    yield from _SCALARS
    yield from ("[]", "{}", "[[]]", "[{}]", '{"":{}}', '{"a":[]}', '[[],{},""]', '{"a":{"b":{"c":[1,[2,[3]]]}}}')
    signs, wholes = ("", "-"), ("0", "1", "9", "10", "1234567890", "18446744073709551615", "18446744073709551616")
    fractions, exponents = ("", ".0", ".5", ".000", ".123456789012345678901"), ("", "e0", "E1", "e+2", "E-3", "e00")
    yield from map("".join, itertools.product(signs, wholes[:4], fractions[:4], exponents[:5]))
    yield from map("".join, itertools.product(signs, wholes[4:], (fractions[0], fractions[-1]), exponents[::5]))
    yield from ("1e308", "-1e308", "1.7976931348623157e308", "5e-324", "2.2250738585072014e-308", "1E+0000002")
    for space in _SPACES[1:]:
        yield from (f"[{space}]", f"{{{space}}}", f"[{space}1{space},{space}2{space}]")
        yield f'{{{space}"a"{space}:{space}1{space},{space}"b"{space}:{space}2{space}}}'
    for escape in '"\\/bfnrt':
        yield f'"\\{escape}"'
    for digits in ("0000", "0001", "001f", "0022", "005C", "007f", "00e9", "2028", "d7ff", "E000", "fffe", "FFFF"):
        yield f'"\\u{digits}"'
    yield from (r'"\ud83d\ude00"', r'"\uD800\uDC00"', r'"\uDBFF\uDFFF"', r'"\ud83d\ude00\ud83d\ude01"', r'"\\u0000"')
    yield from (r'"\\\""', r'"\\ud800"', r'"a\u0041b"', r'{"\u0061":1}', r'{"\ud83d\ude00":[]}', r'{"\"":"\\"}')
    for code in (0x20, 0x7F, 0x80, 0xA0, 0xE9, 0x7FF, 0x800, 0x2028, 0x2029, 0xD7FF, 0xE000, 0xFEFF, 0xFFFD, 0xFFFF):
        yield f'"{chr(code)}"'
        yield f'{{"{chr(code)}":0}}'
    yield from (f'"{chr(code)}"' for code in (0x10000, 0x1F600, 0x10FFFE, 0x10FFFF))
    yield from ('"' + "x" * 3000 + '"', "[" + ",".join(["0"] * 500) + "]", '{"__ndb__":1}', '{"KV_CLEAR":{}}')
    yield json.dumps({f"key {number}": number for number in range(100)})


_NUMBERS: Final = (
    *(
        "+1",
        "01",
        "-01",
        "00",
        "-",
        "--1",
        "-+1",
        "1.",
        ".1",
        "-.1",
        "1.e1",
        "1e",
        "1e+",
        "1e-",
        "1E",
        "1e1.0",
        "1e1e1",
    ),
    *(
        "0x1",
        "0b1",
        "0o7",
        "1_000",
        "1,000",
        "1 000",
        "1a",
        "1.2.3",
        "1..2",
        "-a",
        "- 1",
        "1 e1",
        "0e",
        "0.e1",
        "2.e+3",
    ),
    *("NaN", "-NaN", "nan", "Infinity", "-Infinity", "+Infinity", "inf", "1f", "1.0f", "1L", "1n", "\uff11", "\u0661"),
)
_LITERALS: Final = (
    *("True", "TRUE", "tru", "truee", "t", "fals", "False", "nul", "NULL", "None", "nil", "undefined", "a", "\\u0031"),
    *(
        "/**/1",
        "1/**/",
        "//1",
        "#1",
        "<null>",
        "@",
        "&",
        "*",
        "'a'",
        "`a`",
        "a:1",
        '"a":1',
        ":",
        ",",
        ";",
        "\\",
        "\ufeff1",
    ),
)
_STRINGS: Final = (
    *('"', '"a', 'a"', '"a""', '"\\"', '"\\', '"\\a"', '"\\x41"', '"\\0"', '"\\\'"', '"\\U0041"', '"\\ "', '"\\é"'),
    *('"\\u"', '"\\u1"', '"\\u12"', '"\\u123"', '"\\u123g"', '"\\u 123"', '"\\u+123"', '"\\u-123"', '"\\u{41}"'),
    *('"\\ud83d\\u"', '"\\ud83d\\ude0"', '"\\ud83d\\ude0g"', '"a" "b"', '"a"b', '"a"1', "“a”", '"\\\n"'),
)
_STRUCTURES: Final = (
    *(
        "[",
        "[1",
        "[1,",
        "[,",
        "[,1]",
        "[1,]",
        "[1,,2]",
        "[1 2]",
        "[1:2]",
        '["a":1]',
        "[1}",
        "[}",
        "[[]",
        "[]]",
        "[1;2]",
    ),
    *("{", "{,}", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '{,"a":1}', '{"a":1,,"b":2}', '{"a" 1}', '{"a"}'),
    *('{"a":}', "{:1}", "{1:1}", "{a:1}", "{'a':1}", "{null:1}", "{[]:1}", '{"a":1]', '{"a":1 "b":2}', '{"a"::1}'),
    *('{"a",1}', '{"a":1;"b":2}', '{"a"=1}', '{"a":1:2}', "{}{}", "[][]", "[]{}", "1 2", "[1]x", "{}x", "(1)", "()"),
    *("[...]", "[1,...]", "{...}", "[/**/]", "[1,//\n2]", '{"a":1/**/}', "[undefined]", "[NaN]", "[-]", "[01]", "[1.]"),
)
_WRONG_SPACES: Final = (
    "\x0b",
    "\x0c",
    "\xa0",
    "\x85",
    "\u2028",
    "\u2029",
    "\u2060",
    "\u3000",
    "\ufeff",
    "\x00",
    "\x1a",
)


def _refused() -> Iterator[str]:
    yield ""
    yield from _SPACES[1:]
    yield from (*_NUMBERS, *_LITERALS, *_STRINGS, *_STRUCTURES)
    for code in range(0x20):
        yield f'"{chr(code)}"'
    for space in _WRONG_SPACES:
        yield from (f"[{space}]", f"[1{space}]", f"{{{space}}}", f"1{space}")


# Not UTF-8: also in a string, where any character may stand.
NOT_UTF8: Final = tuple(
    before + spoilt + behind
    for before, behind in ((b'"', b'"'), (b"[", b"]"), (b'{"', b'":1}'))
    for spoilt in (
        *(b"\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"),
        *(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80"),
    )
)

_NO_DOUBLE: Final = "it is no double, so that other clients could not read it back"
_LONE: Final = "no client could write it as UTF-8 after reading it"

EITHER: Final[dict[str, tuple[bool, str]]] = {
    **dict.fromkeys(("1e309", "-1e309", "1e999", "[1e400]", '{"a":123e4567}', "0.1e400"), (False, _NO_DOUBLE)),
    **dict.fromkeys(("1e-400", "-1e-999", "0e999", "0e-999"), (True, "it rounds to zero, and its text is kept")),
    **dict.fromkeys(("-0", "-0.0", "-0e1"), (True, "its text is kept, sign and all")),
    "9" * 4300: (True, "its text is kept, whatever a reader makes of it"),
    "0." + "3" * 4300: (True, "its text is kept, whatever a reader makes of it"),
    **dict.fromkeys(
        (r'"\ud800"', r'"\udc00"', r'"\udfff"', r'"a\udbffb"', r'"\ud800\n"', r'"\udc00\ud800"', r'["\ud83d"]'),
        (False, _LONE),
    ),
    **dict.fromkeys((r'"\ud800\ud800\udc00"', r'{"\ud800":1}', r'{"a":"\udead"}', r'"\uD83D\u0041"'), (False, _LONE)),
    **dict.fromkeys(
        ('{"a":1,"a":2}', '{"a":1,"a":1}', r'{"a":1,"\u0061":2}', '{"":0,"":0}', '{"a":{},"b":1,"a":[]}'),
        (True, "its text is kept; who reads it takes the last"),
    ),
    "[" * 100 + "]" * 100: (True, "requests nest 512 levels deep, their own included"),
    '{"a":' * 100 + "0" + "}" * 100: (True, "requests nest 512 levels deep, their own included"),
    "[" * 513 + "]" * 513: (False, "requests nest 512 levels deep, their own included"),
    '{"a":' * 600 + "0" + "}" * 600: (False, "requests nest 512 levels deep, their own included"),
    "[" * 5000 + "]" * 5000: (False, "requests nest 512 levels deep, their own included"),
}

TAKEN: Final = tuple(text.encode() for text in dict.fromkeys(_taken()) if text not in EITHER)
REFUSED: Final = (*(text.encode() for text in dict.fromkeys(_refused())), *NOT_UTF8)

WRAPPINGS: Final[dict[str, tuple[bytes, bytes]]] = {
    "KV_SET": (b'{"KV_SET":{"keys":{"a":', b"}}}"),
    "SH_SET": (b'{"SH_SET":{"tkn":7,"keys":{"a":', b"}}}"),
    "KV_ARR_APPEND": (b'{"KV_ARR_APPEND":{"key":"l","items":[', b"]}}"),
}


def is_json(text: bytes) -> bool:
    """Tell by Python's own parser, without what it takes beyond RFC 8259."""
    try:
        json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)
