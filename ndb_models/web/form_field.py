"""Looks for one field in the beginning of a form, while its body arrives. No I/O.

Both encodings of forms are sequences of pieces between delimiters, so one search does for both. The work is linear in
the bytes looked at, however small the messages are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_plus

LIMIT: Final = 64 * 1024
"""The bytes of a body that are looked through, unless said otherwise."""

_MOST_HEADER_BYTES: Final = 2048
_LONGEST_BOUNDARY: Final = 200
_PARAMETER: Final = re.compile(r';[ \t]*([^;="\s]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))')


class FormFieldSearch:
    """A search for a field of a form. Make one with `search_of`.

    Attributes:
        is_over: True once no further data can hold the field, or the limit is reached.
    """

    def __init__(
        self, delimiter: bytes, value_in: Callable[[bytes], str | None], start: bytes, limit: int, *, takes_end: bool
    ) -> None:
        self._delimiter = delimiter
        self._value_in = value_in
        self._text = bytearray(start)
        self._limit = limit + len(start)
        self._takes_end = takes_end  # the end of the body ends the last piece
        self._begin = self._sought = 0
        self.is_over: bool = False

    def feed(self, data: bytes, *, is_last: bool) -> str | None:
        """Return the value of the field if it has come whole by now, else None."""
        if self.is_over:
            return None
        room = self._limit - len(self._text)
        self._text += data[:room]
        while (end := self._text.find(self._delimiter, self._sought)) >= 0:
            value = self._piece(end)
            self._begin = self._sought = end + len(self._delimiter)
            if value is not None:
                return value
        self._sought = max(self._begin, len(self._text) - len(self._delimiter) + 1)
        self.is_over = is_last or len(self._text) >= self._limit
        return self._piece(len(self._text)) if is_last and self._takes_end and len(data) <= room else None

    def _piece(self, end: int) -> str | None:
        return self._value_in(bytes(self._text[self._begin : end]))


def search_of(content_type: str, field: str, limit: int = LIMIT) -> FormFieldSearch | None:
    """Return a search for a field in a body of this type, or None if it is no form."""
    kind, parameters = _parsed(content_type)
    if kind == "application/x-www-form-urlencoded":
        return FormFieldSearch(b"&", lambda pair: _value_of_pair(pair, field), b"", limit, takes_end=True)
    boundary = parameters.get("boundary", "")
    if kind != "multipart/form-data" or not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        return None
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    return FormFieldSearch(delimiter, lambda part: _value_of_part(part, field), b"\r\n", limit, takes_end=False)


def _parsed(header: str) -> tuple[str, dict[str, str]]:
    """Return the value of a header in lower case, and its parameters."""
    value = header.partition(";")[0].strip().lower()
    found = _PARAMETER.finditer(header)
    return value, {each[1].lower(): re.sub(r"\\(.)", r"\1", each[2]) if each[3] is None else each[3] for each in found}


def _value_of_pair(pair: bytes, field: str) -> str | None:
    name, _, value = pair.partition(b"=")
    return unquote_plus(value.decode("latin-1")) if unquote_plus(name.decode("latin-1")) == field else None


def _value_of_part(part: bytes, field: str) -> str | None:
    head, _, value = part.partition(b"\r\n\r\n")
    for line in head[:_MOST_HEADER_BYTES].decode("latin-1").split("\r\n"):
        name, _, disposition = line.partition(":")
        if name.strip().lower() == "content-disposition":
            parameters = _parsed(disposition)[1]
            is_field = parameters.get("name") == field and "filename" not in parameters
            return value.decode("latin-1") if is_field else None
    return None
