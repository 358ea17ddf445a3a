"""Split a large JSON text into pieces.

Decoding ten megabytes is one step for the interpreter, in any thread: everything else waits until it is done. Here each
piece is one step. Pieces are not validated yet: the caller must decode each one as the expected type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final


def _passed_over(_text: str) -> None:
    """Skip a number without converting it."""


_find_end: Final = json.JSONDecoder(
    parse_int=_passed_over, parse_float=_passed_over, parse_constant=_passed_over, strict=False
).raw_decode
_SPACE: Final = re.compile(r"[ \t\n\r]*")


class Pieces:
    """Reads a text from its start to its end.

    Raises:
        ValueError: the text is not UTF-8; or the next part is no JSON, or not of the requested kind.
        RecursionError: a piece is nested too deep.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text.decode()
        self._at = 0

    def items(self) -> Iterator[bytes]:
        """Yield the texts of an array's items."""
        self._require("[")
        more = not self._take("]")
        while more:
            yield self.value()
            more = self._has_next("]")

    def members(self) -> Iterator[bytes]:
        """Yield the names in an object, as JSON texts. Read each member's value before the next name."""
        self._require("{")
        more = not self._take("}")
        while more:
            name = self.value()
            self._require(":")
            yield name
            more = self._has_next("}")

    def value(self) -> bytes:
        """Return the text of the next value."""
        start = self._skip()
        _value: Any
        _value, self._at = _find_end(self._text, start)
        return self._text[start : self._at].encode()

    def require_end(self) -> None:
        """Raise `ValueError` if the rest of the text holds more than white space."""
        if self._skip() != len(self._text):
            raise ValueError

    def _has_next(self, end: str) -> bool:
        if self._take(end):
            return False
        self._require(",")
        return True

    def _skip(self) -> int:
        space = _SPACE.match(self._text, self._at)
        assert space is not None
        self._at = space.end()
        return self._at

    def _take(self, character: str) -> bool:
        taken = self._text.startswith(character, self._skip())
        self._at += taken
        return taken

    def _require(self, character: str) -> None:
        if not self._take(character):
            raise ValueError
