"""What a compare-and-set expects of keys, and how a request tells it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ndb_models.expectations import TextDigest, are_as_expected, expected_by, is_digest, told_by

TEXTS = st.integers(0, 200).map(lambda size: b'"%b"' % (b"x" * size)) | st.sampled_from([b"1", b"1.0", '"é"'.encode()])
NAMES = st.sampled_from("abc")


EXPECTED = st.dictionaries(NAMES, st.none() | TEXTS | TEXTS.map(TextDigest.of))


@given(keys=st.dictionaries(NAMES, TEXTS), expected=EXPECTED)
def test_a_request_tells_expectations_so_that_the_same_keys_fit(
    keys: dict[str, bytes], expected: dict[str, bytes | TextDigest | None]
) -> None:
    fit = all(
        name not in keys
        if value is None
        else name in keys and value == (TextDigest.of(keys[name]) if type(value) is TextDigest else keys[name])
        for name, value in expected.items()
    )
    assert are_as_expected(keys, expected) is fit
    assert are_as_expected(keys, expected_by(told_by(expected))) is fit


def test_a_text_is_told_as_it_is_and_a_long_one_by_its_digest() -> None:
    short, long = b'"%b"' % (b"x" * 62), b'"%b"' % (b"x" * 63)
    assert told_by({"short": short}) == {"texts": {"short": short.decode()}}
    told = told_by({"long": long, "gone": None, "short": short})
    assert told == {"digests": told["digests"], "absent": ["gone"], "texts": {"short": short.decode()}}
    assert is_digest(told["digests"]["long"])


def test_a_digest_has_32_small_hexadecimal_digits() -> None:
    assert is_digest("0123456789abcdef" * 2)
    for wrong in ("0" * 31, "0" * 33, "A" * 32, "g" * 32, "0" * 32 + "\n", " " + "0" * 31, 0, None, b"0" * 32):
        assert not is_digest(wrong)
