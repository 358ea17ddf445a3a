"""The most expensive requests that fit into a frame, for every command of the table."""

from __future__ import annotations

import json

from tests.engine.holding import MEBIBYTE

ROOM = MEBIBYTE - 200


def filled(before: str, part: str, after: str, most: int = ROOM) -> str:
    """Return as many parts as there is room for, with commas between them."""
    return before + ",".join([part] * ((most - len(before) - len(after)) // (len(part) + 1))) + after


def members(value: str, most: int = ROOM) -> str:
    """Return an object of as many members as there is room for."""
    return "{" + ",".join(f'"{number:x}":{value}' for number in range(most // (len(value) + 9))) + "}"


DEEP = 500

ARRAYS: dict[str, str] = {
    "empty arrays": filled("[", "[]", "]"),
    "empty objects": filled("[", "{}", "]"),
    "objects": filled("[", '{"":0}', "]"),
    "deep arrays": filled("[", "[" * DEEP + "]" * DEEP, "]"),
    "deep objects": filled("[", '{"":' * DEEP + "0" + "}" * DEEP, "]"),
    "strings": filled("[", '""', "]"),
    "escapes": filled("[", '"\\n"', "]"),
    "integers": filled("[", "0", "]"),
    "floats": filled("[", "1.5", "]"),
    "one string": '["' + "a" * ROOM + '"]',
}
VALUES: dict[str, str] = {**ARRAYS, "members": members("0")}
NAMES = json.dumps([f"{number:x}" for number in range(ROOM // 10)])
TOKENS = "[" + ",".join(str(number) for number in range(ROOM // 8)) + "]"

PATHS: dict[str, str] = {
    "quotes": "$" + "'\\" * (ROOM // 4),
    "wildcards": "$" + "[*,*]" * 24,
    "slices": "$[" + ",".join(["::1"] * 20_000) + "]",
    "few slices": "$[" + ",".join(["::1"] * 200) + "]",
    "descents": "$..*..*",
    "descents and all": "$..*..*..*..*",
    "names": "$" + ".a" * 250,
    "a long name": "$['" + "a" * 4000 + "']",
    "filters": "$" + "[?@]" * 200,
    "nested filters": "$[?@" * 60 + "[0]" + "]" * 60,
    "counts": "$..[?count($..*) == count(@..*)]",
    "equal to all": "$..[?@ == $]",
    "equal to each": "$[?@..[?@ == $[0]]]",
    "alternatives": "$[?" + "||".join(["@.a"] * 200) + "]",
    "all": "$..*",
    "parentheses": "$[?" + "(" * 2000 + "@" + ")" * 2000 + "]",
}
