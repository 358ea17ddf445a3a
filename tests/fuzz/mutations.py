"""What is done to right requests: to what they say, to how it is written, and to the bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final

from ndb_models.protocol.commands import COMMANDS, ParamType
from tests.fuzz.requests import Requests

_PLACEHOLDER: Final = "@@here@@"

# JSON texts that stand where a value was; some are none.
NUMBERS: Final = (
    *("1e400", "-1e400", "1e-400", "1" + "0" * 400, "-" + "9" * 4300, "9" * 5000, "-0", "-0.0", "1E5", "1e+05", "1e3"),
    *("0.1e-5", "01", "1.", ".5", "+1", "0x10", "1e", "1e+", "--1", "NaN", "Infinity", "-Infinity", "nan", "1_000"),
    *("18446744073709551616", "-1", "1.0", "1e0", "5e-324", "1.7976931348623157e308", "1.7976931348623159e308"),
)
STRINGS: Final = (
    *(r'"\ud800"', r'"\udc00"', r'"\ud83d\ude00"', r'"\ude00\ud83d"', r'"\ud800\u0041"', r'"\u0000"', r'"\u00e9"'),
    *('"\x01"', '"\n"', '"\x7f"', r'"\x41"', r'"\u12"', r'"\u123g"', r'"\"', '"', '""', r'"\/"', "'a'", '"\\\n"'),
    *('"\ufeff"', '"\u2028"', '"' + "x" * 5000 + '"', r'"' + r"\u0041" * 200 + '"', r'"\uD800"', r'"\\ud800"'),
)
LITERALS: Final = (
    "True",
    "NULL",
    "tru",
    "undefined",
    "",
    ",",
    "{}",
    "[]",
    "{",
    "]",
    "/**/1",
    "1//",
    "[1,]",
    '{"a":1,}',
)
NESTINGS: Final = (8, 64, 508, 509, 510, 511, 512, 513, 600, 5000)
COMMAND_NAMES: Final = (
    *("", "_", "KV", "KV_", "SH_", "kv_set", "KV_SET ", "XX_SET", "SV_", "ERR", "ERR_RSP", "KV_SET_RSP", "SH_SET_RSP"),
    *("KV_É", "SH_😀", "SH_" + "x" * 3000, 'SH_"', "SH_\\", "SH_\n", "\0", "__class__", "SH_NEW_", "ARR_SET"),
)
AROUND: Final = ("\ufeff", "\ufeff\ufeff", " ", "\n\t\r ", "\0", "\x0b", "/* */", "x", "{}", "[", "}", ",", "null")


class Mutator:
    """Makes requests that are mostly wrong. `text_only` leaves out what is not UTF-8."""

    def __init__(self, rng: random.Random, requests: Requests, *, text_only: bool) -> None:
        self._rng = rng
        self._requests = requests
        self._text_only = text_only
        self._ways: tuple[tuple[Callable[[], str | bytes], float], ...] = (
            (self._right, 3),
            (self._wrong_type, 4),
            (self._other_parameters, 2),
            (self._other_command, 2),
            (self._other_shape, 2),
            (self._repeated, 2),
            (self._odd_text, 5),
            (self._nested, 0.5),
            (self._around, 1),
            (self._escaped_names, 1),
            (self._joined, 1),
            (self._bytes, 5),
        )

    def frame(self) -> bytes:
        """Return the next frame."""
        ways, weights = zip(*self._ways, strict=True)
        while True:
            (way,) = self._rng.choices(ways, weights)
            made = way()
            frame = made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")
            if self._text_only:
                frame = frame.decode("utf-8", "replace").encode()
            if not any(name.encode() in frame for name in self._requests.without):
                return frame

    def _written(self, value: object) -> str:
        way = self._rng.randrange(4)
        if way == 0:
            return json.dumps(value, indent=self._rng.choice((None, 1)), ensure_ascii=False)
        return json.dumps(value, separators=(",", ":"), ensure_ascii=way == 1)

    def _right(self) -> str:
        name, body = self._requests.any()
        return self._written({name: body})

    def _with(self, text: str) -> str:
        """Return a request in which a JSON text stands in the place of some value."""
        name, body = self._requests.any()
        place: Any = body
        for _ in range(self._rng.randrange(3)):
            inner = [each for each in place.values() if isinstance(each, dict)] if isinstance(place, dict) else []
            place = self._rng.choice(inner) if inner else place
        place[self._rng.choice([*place, "a"])] = _PLACEHOLDER
        return self._written({name: body}).replace(json.dumps(_PLACEHOLDER), text, 1)

    def _wrong_type(self) -> str:
        kind = self._rng.choice(list(ParamType))
        return self._with(self._written(self._requests.of_kind(kind)))

    def _other_parameters(self) -> str:
        name, body = self._requests.any()
        if body and self._rng.random() < 0.6:
            gone = self._rng.choice(list(body))
            value = body.pop(gone)
            if self._rng.random() < 0.5:
                body[self._rng.choice((gone.upper(), gone + " ", "", "key", "tkn", "keys"))] = value
        else:
            body[self._rng.choice(("extra", "", "tkns", "expiry", "rsp", "value"))] = self._requests.value(2)
        return self._written({name: body})

    def _other_command(self) -> str:
        name, body = self._requests.any()
        others = (*COMMAND_NAMES, *COMMANDS, name.lower(), name[::-1])
        return self._written({self._rng.choice(others): body})

    def _other_shape(self) -> str:
        name, body = self._requests.any()
        other, other_body = self._requests.any()
        value = self._requests.value(2)
        shapes: tuple[object, ...] = (
            value,
            [{name: body}],
            {name: value},
            {name: body, other: other_body},
            {},
            [],
            {name: [body]},
            body,
        )
        return self._written(self._rng.choice(shapes))

    def _repeated(self) -> str:
        """Name a member twice: the command, a parameter, or a key."""
        name, body = self._requests.any()
        first = self._written(self._requests.value(1) if self._rng.random() < 0.6 else body)
        if self._rng.random() < 0.4 or not body:
            return f'{{"{name}":{first},"{name}":{self._written(body)}}}'
        param = self._rng.choice(list(body))
        inside = body[param]
        if isinstance(inside, dict) and inside and self._rng.random() < 0.7:
            key = json.dumps(self._rng.choice(list(inside)))
            text = f"{{{key}:{first},{self._written(inside)[1:]}"
        else:
            text = f"{first},{json.dumps(param)}:{self._written(inside)}"
        body[param] = _PLACEHOLDER
        return self._written({name: body}).replace(json.dumps(_PLACEHOLDER), text, 1)

    def _odd_text(self) -> str:
        return self._with(self._rng.choice(self._rng.choice((NUMBERS, STRINGS, LITERALS))))

    def _nested(self) -> str:
        levels = self._rng.choice(NESTINGS)
        opening, closing = self._rng.choice((("[", "]"), ('{"a":', "}"), ('[{"[":', "}]")))
        return self._with(opening * levels + self._rng.choice(("1", '"]"', "")) + closing * levels)

    def _around(self) -> str:
        before, behind = self._rng.choice((*AROUND, "")), self._rng.choice((*AROUND, "", "", ""))
        return before + self._right() + behind

    def _escaped_names(self) -> str:
        """Write a name with escapes: the same name, in other bytes."""
        name, body = self._requests.any()
        chosen = self._rng.choice([name, *body])
        escaped = "".join(f"\\u{ord(letter):04x}" for letter in chosen)
        return self._written({name: body}).replace(f'"{chosen}"', f'"{escaped}"', 1)

    def _joined(self) -> str:
        """Cut two requests and put them together, or put one behind the other."""
        first, second = self._right(), self._right()
        if self._rng.random() < 0.5:
            return first[: self._rng.randrange(len(first) + 1)] + second[self._rng.randrange(len(second) + 1) :]
        return first + self._rng.choice(("", "\n", ",", " ")) + second

    def _bytes(self) -> bytes:
        frame = bytearray(self._right().encode("utf-8", "surrogatepass"))
        for _ in range(self._rng.choice((1, 1, 1, 2, 8))):
            self._damage(frame)
        return bytes(frame)

    def _damage(self, frame: bytearray) -> None:
        rng = self._rng
        at, to = sorted(rng.randrange(len(frame) + 1) for _ in range(2))
        match rng.randrange(6):
            case 0:
                del frame[at:]
            case 1:
                del frame[at : min(to, at + 4)]
            case 2:
                frame[at:at] = rng.randbytes(rng.randrange(1, 4))
            case 3:
                frame[at:at] = frame[at:to]
            case 4:
                frame[at : at + 1] = rng.choice(b'{}[]",:\\ue0 \n').to_bytes()
            case _:
                if at < len(frame):
                    frame[at] ^= 1 << rng.randrange(8)
