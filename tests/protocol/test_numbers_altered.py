"""Which numbers a NemesisDB would not return as they were sent, told without one."""

from __future__ import annotations

import pytest

from ndb_models.protocol.altered import may_be_altered, why_altered


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"18446744073709551615", None),
        (b"18446744073709551616", "beyond 64 bits"),
        (b"-9223372036854775808", None),
        (b"[1, -9223372036854775809]", "beyond 64 bits"),
        (b'{"a": 1e308}', None),
        (b'{"a": [1e309]}', "beyond a double"),
        (b"-1E+999", "beyond a double"),
        (b"0.0", None),
        (b"-0.0", "-0.0"),
        (b"-0e5", "-0.0"),
        (b'"1e999 -0.0 99999999999999999999999"', None),
        (b'{"99999999999999999999999": "\\"-0.0"}', None),
        (b"true", None),
    ],
)
def test_a_number_that_would_come_back_otherwise_is_found(text: bytes, why: str | None) -> None:
    told = why_altered(text)
    assert told is None if why is None else why in str(told)


@pytest.mark.parametrize("text", [b"18446744073709551616", b"-9223372036854775809", b"[-0.0]"])
def test_what_pydantic_writes_and_would_come_back_otherwise_is_never_passed_over(text: bytes) -> None:
    assert may_be_altered(text)
    assert not may_be_altered(b"123456789012345678")
